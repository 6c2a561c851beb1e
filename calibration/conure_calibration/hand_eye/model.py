"""What a camera should see of the board for given unknowns, and how far that is from what it saw.

The unknowns are small motions of a start: x (6) of X, z (6) of Z, then the offsets of the free
joints, rad. The first and the last joint are gauge: an offset of theirs is the same as another
place of the base's frame and of the tool's, so that both are fixed at 0.
"""

from dataclasses import dataclass

import numpy as np

from conure_calibration.hand_eye.samples import Samples
from conure_calibration.poses import Chain, adjoint, difference, inverse, pose
from conure_core.types import Array

X = slice(0, 6)
Z = slice(6, 12)
OFFSETS = slice(12, None)
STEP = 1e-6


@dataclass(frozen=True)
class ArmNoise:
    """How far the tool is from where exact kinematics put it, from pose to pose."""

    translation_m: float = 0.002
    """Standard deviation along each axis."""
    rotation_rad: float = 0.00873
    """Standard deviation about each axis."""

    @property
    def covariance(self) -> Array:
        """Of the twist in the tool's frame, shape (6, 6)."""
        deviations = np.repeat([self.translation_m, self.rotation_rad], 3)
        return np.diag(deviations**2)


@dataclass(frozen=True)
class Loop:
    """The loop from base to tool to board to camera, with a start for its unknowns."""

    chain: Chain
    samples: Samples
    x: Array
    """Start of X, shape (4, 4)."""
    z: Array
    """Start of Z, shape (4, 4)."""
    free: tuple[int, ...]
    """Joints whose offsets are unknowns."""
    offsets_rad: Array
    """Start of all joints' offsets, shape (joints,)."""

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return OFFSETS.start + len(self.free)

    def moved(self, unknowns: Array) -> "Loop":
        """The loop that starts where some unknowns (size,) lead."""
        x, z, offsets = self._at(unknowns)
        return Loop(self.chain, self.samples, x, z, self.free, offsets)

    def of(self, samples: Samples) -> "Loop":
        """The same loop for other samples."""
        return Loop(self.chain, samples, self.x, self.z, self.free, self.offsets_rad)

    def _at(self, unknowns: Array) -> tuple[Array, Array, Array]:
        x = self.x @ pose(unknowns[..., X])
        z = self.z @ pose(unknowns[..., Z])
        shape = (*unknowns.shape[:-1], self.chain.joints)
        offsets = np.broadcast_to(self.offsets_rad, shape).copy()
        offsets[..., list(self.free)] += unknowns[..., OFFSETS]
        return x, z, offsets

    def predicted(self, unknowns: Array) -> Array:
        """The board's poses in the camera's frame, (..., n, 4, 4), for unknowns (..., size)."""
        x, z, offsets = self._at(unknowns)
        joint_rad = self.samples.joint_rad + offsets[..., None, :]
        outer_from_inner = self.samples.outer_from_inner(self.chain, joint_rad)
        one_each = (..., None, slice(None), slice(None))
        camera_from_inner = inverse(x)[one_each] @ inverse(outer_from_inner)
        return np.asarray(camera_from_inner @ z[one_each])

    def errors(self, unknowns: Array) -> Array:
        """Twists from measured to predicted board poses, (..., n, 6), in the board's frame."""
        return difference(self.samples.camera_from_board, self.predicted(unknowns))

    def jacobian(self, unknowns: Array) -> Array:
        """Derivatives of `errors`, shape (n, 6, size)."""
        steps = STEP * np.eye(self.size)
        forward = self.errors(unknowns + steps)
        backward = self.errors(unknowns - steps)
        derivatives = (forward - backward) / (2 * STEP)
        return np.moveaxis(derivatives, 0, -1)

    def whiteners(self, noise: ArmNoise) -> Array:
        """Matrices (n, 6, 6) that give the errors unit variance: arm and detector together."""
        count = len(self.samples)
        board_from_tool = np.broadcast_to(inverse(self.z), (count, 4, 4))
        if self.samples.mount == "wrist":
            joint_rad = self.samples.joint_rad + self.offsets_rad
            board_from_tool = board_from_tool @ self.chain.forward(joint_rad)
        carried = adjoint(board_from_tool)
        of_arm = carried @ noise.covariance @ np.swapaxes(carried, -1, -2)
        lower = np.linalg.cholesky(of_arm + self.samples.covariance)
        return np.linalg.inv(lower)

    def whitened(self, whiteners: Array, unknowns: Array) -> Array:
        """Compute errors of unit variance.

        Args:
            whiteners: As `whiteners` gives them, shape (n, 6, 6).
            unknowns: Shape (size,).

        Returns:
            Shape (n, 6).
        """
        return np.einsum("nij,nj->ni", whiteners, self.errors(unknowns))
