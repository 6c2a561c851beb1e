"""How a joint command is followed between two control ticks: linearly, as
joint_trajectory_controller does.
"""

import numpy as np

from conure_core.types import Array


class LinearFollower:
    """Set point s(t) = start + (goal - start) * min(1, t / duration), per joint; a new goal starts
    at the present one.

    Units are the caller's (rad for joints, m for a gripper); the simulated arm, in the environment
    and as a ROS node, follows its commands by this.
    """

    def __init__(self, position: Array) -> None:
        self._start = np.array(position, dtype=np.float64)
        self._head_for(self._start, 1e-9)

    @property
    def position(self) -> Array:
        """The present set point."""
        fraction = min(1.0, self._elapsed_s / self._duration_s)
        return self._start + self._way * fraction

    @property
    def goal(self) -> Array:
        """The position where the set point ends."""
        return self._start + self._way

    @property
    def speed(self) -> Array:
        """The present speed of the set point; zero once the goal is reached."""
        if self._elapsed_s < self._duration_s:
            return self._speed.copy()
        return np.zeros_like(self._speed)

    def follow(self, goal: Array, duration_s: float) -> None:
        """Head for a new goal from the present set point.

        Args:
            goal: Shape (n,), in the units of the position at construction.
            duration_s: Time until the goal is reached, s; 0 or less: at the next advance.
        """
        self._start = self.position
        self._head_for(np.array(goal, dtype=np.float64), max(duration_s, 1e-9))

    def _head_for(self, goal: Array, duration_s: float) -> None:
        self._elapsed_s = 0.0
        self._duration_s = duration_s
        self._way = goal - self._start
        self._speed = self._way / duration_s

    def ahead(self, seconds: float, times: int) -> tuple[Array, Array]:
        """Let time pass in equal steps, and record each.

        Args:
            seconds: Length of one step, s.
            times: Number of steps; 0 changes nothing.

        Returns:
            The set points after each step, shape (times, n), and their speeds per second, of the
            same shape.
        """
        steps_s = [self._elapsed_s, *[seconds] * times]
        elapsed_s = np.cumsum(steps_s)[1:, None]
        if times:
            self._elapsed_s = float(elapsed_s[-1, 0])
        fraction = np.minimum(1.0, elapsed_s / self._duration_s)
        positions = self._start + self._way * fraction
        speeds = np.where(elapsed_s < self._duration_s, self._speed, 0.0)
        return positions, speeds

    def advance(self, seconds: float) -> Array:
        """Let time pass; returns the new set point."""
        self._elapsed_s += seconds
        return self.position
