"""Pairs of an arm's pose and a board's pose, as every solver here takes them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from conure_calibration.poses import Chain, inverse
from conure_core.errors import unknown_name
from conure_core.types import Array

MOUNTS = ("wrist", "stand")


@dataclass(frozen=True)
class Samples:
    """Simultaneous poses of arm and board.

    wrist: the camera rides on the tool, the board lies still. stand: the camera stands still, the
    board is fixed to the tool.
    """

    mount: str
    """"wrist" or "stand"."""
    names: tuple[str, ...]
    joint_rad: Array
    """Measured joint angles, shape (n, joints)."""
    camera_from_board: Array
    """Measured board poses, shape (n, 4, 4), metres."""
    covariance: Array
    """Of their twists in the board's frame, shape (n, 6, 6), m and rad."""
    shares: Array
    """Share of the board's corners that was seen, shape (n,)."""

    def __post_init__(self) -> None:
        if self.mount not in MOUNTS:
            raise unknown_name("mount", self.mount, MOUNTS)

    def __len__(self) -> int:
        return len(self.names)

    def chosen(self, indices: Sequence[int]) -> "Samples":
        """The samples at some places, in that order."""
        places = list(indices)
        return replace(
            self,
            names=tuple(self.names[place] for place in places),
            joint_rad=self.joint_rad[places],
            camera_from_board=self.camera_from_board[places],
            covariance=self.covariance[places],
            shares=self.shares[places],
        )

    def outer_from_inner(self, chain: Chain, joint_rad: Array | None = None) -> Array:
        """Compute the arm's part of the loop; see the function `outer_from_inner`.

        Args:
            chain: The arm.
            joint_rad: Joint angles, shape (..., joints); None: those that were measured.
        """
        angles = self.joint_rad if joint_rad is None else joint_rad
        return outer_from_inner(chain, self.mount, angles)


def outer_from_inner(
    chain: Chain,
    mount: str,
    joint_rad: Array,
) -> Array:
    """Compute the arm's part of the loop, G in G_i X C_i = Z.

    wrist: base_from_tool, with X = tool_from_camera and Z = base_from_board.
    stand: tool_from_base, with X = base_from_camera and Z = tool_from_board.

    Args:
        chain: The arm.
        mount: "wrist" or "stand".
        joint_rad: Shape (..., joints).

    Returns:
        Shape (..., 4, 4), metres.
    """
    base_from_tool = chain.forward(joint_rad)
    return base_from_tool if mount == "wrist" else inverse(base_from_tool)
