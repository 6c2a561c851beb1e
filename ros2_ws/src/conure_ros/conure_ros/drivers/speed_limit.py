"""How long a command takes at least: no driver moves a joint faster than its limit."""

import numpy as np

from conure_core.robot.description import RobotConfig
from conure_core.types import Array


class SpeedLimit:
    """The largest speeds of joints and gripper, (n + 1,), rad/s and m/s.

    >>> limit = SpeedLimit(robot)
    >>> limit.shortest_s(position, goal)
    """

    def __init__(self, robot: RobotConfig) -> None:
        gripper_m_s = robot.gripper_speed_m_s / robot.settle_fraction
        self._largest: Array = np.array([*robot.max_speed_rad_s, gripper_m_s])

    def shortest_s(self, position: Array, goal: Array) -> float:
        """Compute the shortest time from one position to another.

        Args:
            position: Present set point of joints and gripper, shape (n + 1,), rad and m.
            goal: Where they are to be, shape (n + 1,), rad and m.

        Returns:
            Time in which no joint exceeds its limit, s.
        """
        return float(np.max(np.abs(goal - position) / self._largest))
