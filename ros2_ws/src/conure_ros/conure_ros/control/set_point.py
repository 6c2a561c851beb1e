"""The set point of an arm's controller, estimated from the commands that were sent. Pure."""

import math

import numpy as np

from conure_core.control.interpolation import LinearFollower
from conure_core.types import Array


class SetPoint:
    """The set point of joints and gripper, (n + 1,), rad and m, along the commands that were sent.

    >>> set_point = SetPoint(position, now_s=0.0)
    >>> set_point.follow(goal, duration_s=0.1, now_s=0.0)
    >>> set_point.at(0.05), set_point.waiting_s(0.05)  # half way, 0.05
    """

    def __init__(self, position: Array, now_s: float) -> None:
        self._follower, self._now_s = LinearFollower(position), now_s
        self._reached_s = -math.inf

    def at(self, now_s: float) -> Array:
        """The set point, shape (n + 1,), at a time on the steady clock, s. Time never runs back."""
        position = self._follower.advance(max(0.0, now_s - self._now_s))
        self._now_s = max(self._now_s, now_s)
        return np.array(position)

    @property
    def goal(self) -> Array:
        """The goal of the last command, shape (n + 1,)."""
        return self._follower.goal

    def follow(self, goal: Array, duration_s: float, now_s: float) -> None:
        """Follow one more command.

        Args:
            goal: Joint angles and gripper position, shape (n + 1,), rad and m.
            duration_s: Time until the goal is to be reached, s.
            now_s: Present time on the steady clock, s.
        """
        self.at(now_s)
        self._follower.follow(goal, duration_s)
        self._reached_s = now_s + duration_s

    def waiting_s(self, now_s: float) -> float:
        """Time that the last command still needs, s."""
        return max(0.0, self._reached_s - now_s)

    def finish(self) -> None:
        """The last command moves nothing: do not wait for its end."""
        self._reached_s = -math.inf
