"""One goal of the gripper on its way: arrived, or stalled on an object. Pure."""

import math
from dataclasses import dataclass
from typing import Any

from control_msgs.action import GripperCommand

from conure_core.errors import RobotError
from conure_core.robot.description import RobotConfig

STALL_S = 0.6
"""How long a gripper must stand to count as stalled, s."""
STALL_M_S = 0.002
"""Speed below which it stands, m/s."""
FOLLOW_S = 0.5
"""Time that a gripper is given beyond the way at its full speed before standing still counts, s."""
BEYOND_M = 1e-6


@dataclass(frozen=True)
class GripOutcome:
    """Where a goal of the gripper ended, m."""

    position_m: float
    stalled: bool


def read_position(goal: Any, robot: RobotConfig) -> float:
    """Read and check a goal of the gripper.

    Args:
        goal: Goal of GripperCommand or of ParallelGripperCommand.
        robot: The gripper's joint and stroke.

    Returns:
        Position of the gripper joint, m.

    Raises:
        RobotError: It names another joint or a velocity, or is not within the stroke.
    """
    command = goal.command
    if isinstance(goal, GripperCommand.Goal):
        position_m = float(command.position)
    else:
        names, joint = list(command.name), robot.gripper_joint
        if names not in ([], [joint]) or len(command.position) != 1:
            raise RobotError(f"expected one position, of '{joint}', got {names or 'no name'}")
        if len(command.velocity):
            raise RobotError("no velocity can be given; gripper_speed_m_s of the robot limits it")
        position_m = float(command.position[0])
    lower, upper = sorted((robot.gripper_closed_m, robot.gripper_open_m))
    if not lower - BEYOND_M <= position_m <= upper + BEYOND_M:
        raise RobotError(
            f"position must be from {lower:g} to {upper:g} m (joint '{robot.gripper_joint}'), got"
            f" {position_m:g}"
        )
    return position_m


class Gripping:
    """Leads the gripper to a position, until it is there or stands.

    >>> gripping = Gripping(0.02, tolerance_m=0.002, way_m=0.01, speed_m_s=0.15)
    >>> outcome = gripping.judge(measured_m, seconds)  # None: it goes on
    """

    def __init__(self, target_m: float, tolerance_m: float, way_m: float, speed_m_s: float) -> None:
        """Begin.

        Args:
            target_m: Position to reach, m.
            tolerance_m: How near counts as there, m.
            way_m: Distance from the present position, m.
            speed_m_s: The gripper's speed limit, m/s.
        """
        self.target_m, self._tolerance_m = target_m, tolerance_m
        self._patience_s = abs(way_m) / speed_m_s + FOLLOW_S
        self._time_s = self._stood_s = 0.0
        self._last_m = math.nan

    def judge(self, measured_m: float, seconds: float) -> GripOutcome | None:
        """Judge a measurement.

        Args:
            measured_m: Measured position, m.
            seconds: Time since the last call in which control followed, s.

        Returns:
            How it ended; None while it goes on.
        """
        self._time_s += seconds
        moved_m = abs(measured_m - self._last_m)
        stands = moved_m <= STALL_M_S * seconds
        self._stood_s = self._stood_s + seconds if stands else 0.0
        self._last_m = measured_m
        if abs(measured_m - self.target_m) <= self._tolerance_m:
            return GripOutcome(measured_m, stalled=False)
        if self._time_s > self._patience_s and self._stood_s >= STALL_S:
            return GripOutcome(measured_m, stalled=True)
        return None
