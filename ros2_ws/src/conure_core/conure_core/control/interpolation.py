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
        return self._start + self._way * min(1.0, self._elapsed_s / self._duration_s)

    @property
    def goal(self) -> Array:
        """Where the set point ends."""
        return self._start + self._way

    @property
    def speed(self) -> Array:
        """The present speed of the set point; zero once the goal is reached."""
        return (
            self._speed.copy() if self._elapsed_s < self._duration_s else np.zeros_like(self._speed)
        )

    def follow(self, goal: Array, duration_s: float) -> None:
        """Head for a new goal, to be reached `duration_s` from now."""
        self._start = self.position
        self._head_for(np.array(goal, dtype=np.float64), max(duration_s, 1e-9))

    def _head_for(self, goal: Array, duration_s: float) -> None:
        self._elapsed_s, self._duration_s = 0.0, duration_s
        self._way = goal - self._start
        self._speed = self._way / duration_s

    def ahead(self, seconds: float, times: int) -> tuple[Array, Array]:
        """Let time pass, so much and so many times; the set points and their speeds after each,
        (times, n) both.
        """
        elapsed_s = np.cumsum([self._elapsed_s, *[seconds] * times])[1:, None]
        self._elapsed_s = float(elapsed_s[-1, 0]) if times else self._elapsed_s
        way = self._way * np.minimum(1.0, elapsed_s / self._duration_s)
        return self._start + way, np.where(elapsed_s < self._duration_s, self._speed, 0.0)

    def advance(self, seconds: float) -> Array:
        """Let time pass; returns the new set point."""
        self._elapsed_s += seconds
        return self.position
