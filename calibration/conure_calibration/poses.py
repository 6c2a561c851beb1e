"""Many rigid transforms at once, and a chain of revolute joints as a product of exponentials.

A pose is (..., 4, 4), metres. A small motion is a twist (..., 6): translation (m) above rotation
vector (rad), both in the moved frame.
"""

from dataclasses import dataclass

import numpy as np

from conure_core.robot.arm import Arm
from conure_core.types import Array

TINY_RAD = 1e-9
NEAR_HALF_TURN = 1e-6
"""Length of the axial vector below which a large rotation's axis is taken from R + I."""
ROTATION = (..., slice(0, 3), slice(0, 3))
"""Where a pose (..., 4, 4) has its rotation matrix."""
TRANSLATION = (..., slice(0, 3), 3)
"""Where a pose (..., 4, 4) has its translation."""
LINEAR = (..., slice(0, 3))
"""Where a twist (..., 6) has its translation."""
ANGULAR = (..., slice(3, 6))
"""Where a twist (..., 6) has its rotation vector."""


def skew(vectors: Array) -> Array:
    """Cross-product matrices (..., 3, 3) of vectors (..., 3)."""
    vectors = np.asarray(vectors, dtype=np.float64)
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    first = np.stack([zero, -z, y], -1)
    second = np.stack([z, zero, -x], -1)
    third = np.stack([-y, x, zero], -1)
    return np.stack([first, second, third], -2)


def rotation(vectors: Array) -> Array:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3), rad.

    Source: Rodrigues' formula.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    turns = angle > TINY_RAD
    safe = np.maximum(angle, TINY_RAD)
    sine = np.sin(safe) / safe
    cosine = (1.0 - np.cos(safe)) / safe**2
    first = np.where(turns, sine, 1.0)
    second = np.where(turns, cosine, 0.5)
    cross = skew(vectors)
    result: Array = np.eye(3) + first * cross + second * (cross @ cross)
    return result


def rotation_vector(matrices: Array) -> Array:
    """Rotation vectors (..., 3), rad, of at most pi, of rotation matrices (..., 3, 3)."""
    w = 1.0 + np.trace(matrices, axis1=-2, axis2=-1)
    axial = _axial(matrices)
    length = np.linalg.norm(axial, axis=-1)
    angle = np.arctan2(length, w - 2.0)
    ratio = angle / np.maximum(length, TINY_RAD)
    scale = np.where(length > TINY_RAD, ratio, 0.5)
    vectors: Array = scale[..., None] * axial
    half_turns = (length <= NEAR_HALF_TURN) & (w < 2.0)
    if np.any(half_turns):
        vectors = np.where(half_turns[..., None], _half_turn(matrices), vectors)
    return vectors


def _axial(matrices: Array) -> Array:
    """Vectors (..., 3) of the antisymmetric parts of matrices (..., 3, 3), doubled."""
    odd = matrices - np.swapaxes(matrices, -1, -2)
    return np.stack([odd[..., 2, 1], odd[..., 0, 2], odd[..., 1, 0]], -1)


def _half_turn(matrices: Array) -> Array:
    """Rotation vectors of turns by pi: the column of (R + I) that is longest."""
    sums = matrices + np.eye(3)
    norms = np.linalg.norm(sums, axis=-2)
    longest = np.argmax(norms, axis=-1)
    columns = np.take_along_axis(sums, longest[..., None, None], axis=-1)
    axes = columns[..., 0]
    lengths = np.linalg.norm(axes, axis=-1, keepdims=True)
    return np.asarray(np.pi * axes / lengths)


def pose(twists: Array) -> Array:
    """Poses (..., 4, 4) with translation and rotation vector (..., 6)."""
    twists = np.asarray(twists, dtype=np.float64)
    turned = rotation(twists[ANGULAR])
    return assembled(turned, twists[LINEAR])


def assembled(rotations: Array, translations_m: Array) -> Array:
    """Put poses together.

    Args:
        rotations: Shape (..., 3, 3).
        translations_m: Shape (..., 3).

    Returns:
        Poses, shape (..., 4, 4).
    """
    translations_m = np.asarray(translations_m)
    shape = np.broadcast_shapes(
        rotations.shape[:-2],
        translations_m.shape[:-1],
    )
    result = np.zeros((*shape, 4, 4))
    result[ROTATION] = rotations
    result[TRANSLATION] = translations_m
    result[..., 3, 3] = 1.0
    return result


def inverse(poses: Array) -> Array:
    """Invert poses (..., 4, 4)."""
    turned = np.swapaxes(poses[ROTATION], -1, -2)
    carried = turned @ poses[..., :3, 3:]
    return assembled(turned, -carried[..., 0])


def transformed(a_from_b: Array, points_m: Array) -> Array:
    """Express points in another frame.

    Args:
        a_from_b: Pose, shape (4, 4), metres.
        points_m: In frame b, shape (n, 3).

    Returns:
        In frame a, shape (n, 3), metres.
    """
    return np.asarray(points_m @ a_from_b[ROTATION].T + a_from_b[TRANSLATION])


def difference(a_from_b: Array, a_from_c: Array) -> Array:
    """Compute the twists that lead from one pose to another.

    Args:
        a_from_b: Poses to start from, shape (..., 4, 4), metres.
        a_from_c: Poses to arrive at, shape (..., 4, 4), metres.

    Returns:
        Twists, shape (..., 6), in frame b: `a_from_b @ pose(twist)` is `a_from_c`.
    """
    b_from_c = inverse(a_from_b) @ a_from_c
    turns = rotation_vector(b_from_c[ROTATION])
    return np.concatenate([b_from_c[TRANSLATION], turns], -1)


def adjoint(poses: Array) -> Array:
    """Matrices (..., 6, 6) that express small twists of frame b in frame a, for a_from_b."""
    turned = poses[ROTATION]
    shifted = skew(poses[TRANSLATION])
    result = np.zeros((*poses.shape[:-2], 6, 6))
    result[..., :3, :3] = turned
    result[..., 3:, 3:] = turned
    result[..., :3, 3:] = shifted @ turned
    return result


@dataclass(frozen=True)
class Chain:
    """Forward kinematics of many joint vectors at once.

    base_from_tool(q) = exp(S_1 q_1) ... exp(S_n q_n) M. Source: Brockett, Mathematical Theory of
    Networks and Systems, 1984; Lynch & Park, Modern Robotics, 2017, 4.1.
    """

    axes: Array
    """Unit axes of the joints at zero, shape (n, 3), base frame."""
    points_m: Array
    """A point on each axis at zero, shape (n, 3), base frame."""
    base_from_tool: Array
    """Tool pose at zero, shape (4, 4), metres."""

    @classmethod
    def of(cls, arm: Arm) -> "Chain":
        """Read the chain off an arm's kinematics."""
        zero = np.zeros(len(arm.config.joint_names))
        base_from_tool = arm.forward(zero)
        jacobian = arm.jacobian(zero)
        axes = jacobian[3:].T
        # The tool's velocity is axis x (tool - point): the point nearest to the tool.
        offsets_m = np.cross(jacobian[:3].T, axes)
        points_m = base_from_tool[TRANSLATION] - offsets_m
        return cls(axes, points_m, base_from_tool)

    @property
    def joints(self) -> int:
        """Number of joints."""
        return len(self.axes)

    def turns(self, joint: int, angles_rad: Array) -> Array:
        """Compute how one joint moves the base frame, the others at zero.

        Args:
            joint: Which one, from the base.
            angles_rad: Shape (...).

        Returns:
            Motions, shape (..., 4, 4), metres.
        """
        angles_rad = np.asarray(angles_rad)
        turned = rotation(angles_rad[..., None] * self.axes[joint])
        point = self.points_m[joint]
        return assembled(turned, point - turned @ point)

    def forward(self, joint_rad: Array) -> Array:
        """Compute base_from_tool, (..., 4, 4), for joint angles (..., n), rad."""
        joint_rad = np.asarray(joint_rad)
        result = self.turns(0, joint_rad[..., 0])
        for joint in range(1, self.joints):
            result = result @ self.turns(joint, joint_rad[..., joint])
        return np.asarray(result @ self.base_from_tool)

    def tool_turns(self, angles_rad: Array) -> Array:
        """Motions of the tool frame, (..., 4, 4), that the last joint makes of angles (...)."""
        turn = self.turns(self.joints - 1, angles_rad)
        return np.asarray(inverse(self.base_from_tool) @ turn @ self.base_from_tool)
