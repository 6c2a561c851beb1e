"""How a joint command is followed between two control ticks: linearly, as joint_trajectory_controller does."""

import numpy as np

from conure_core.arm import Array


class LinearFollower:
    """Set point s(t) = start + (goal - start) * min(1, t / duration), per joint; a new goal starts at the present one.

    Units are the caller's (rad for joints, m for a gripper); the simulated arm, in the environment and as a ROS node,
    follows its commands by this.
    """

    def __init__(self, position: Array) -> None:
        self._start = self._goal = np.array(position, dtype=np.float64)
        self._elapsed_s, self._duration_s = 0.0, 1e-9

    @property
    def position(self) -> Array:
        """The present set point."""
        return self._start + (self._goal - self._start) * min(1.0, self._elapsed_s / self._duration_s)

    @property
    def speed(self) -> Array:
        """The present speed of the set point; zero once the goal is reached."""
        moving = self._elapsed_s < self._duration_s
        return (self._goal - self._start) / self._duration_s if moving else np.zeros_like(self._goal)

    def follow(self, goal: Array, duration_s: float) -> None:
        """Head for a new goal, to be reached `duration_s` from now."""
        self._start, self._goal = self.position, np.array(goal, dtype=np.float64)
        self._elapsed_s, self._duration_s = 0.0, max(duration_s, 1e-9)

    def advance(self, seconds: float) -> Array:
        """Let time pass; returns the new set point."""
        self._elapsed_s += seconds
        return self.position
