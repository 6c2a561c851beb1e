"""Where an arm's controller is heading, and where it is on its way: as far as whoever commands it
can know. Pure.
"""

import math

import numpy as np

from conure_core.control.interpolation import LinearFollower
from conure_core.types import Array


class SetPoint:
    """The set point of joints and gripper, (n + 1,), rad and m, from the commands that were sent.

    >>> set_point = SetPoint(position, now_s=0.0)
    >>> set_point.follow(goal, duration_s=0.1, now_s=0.0)
    >>> set_point.at(0.05), set_point.waiting_s(0.05)  # half way, 0.05
    """

    def __init__(self, position: Array, now_s: float) -> None:
        self._follower, self._now_s = LinearFollower(position), now_s
        self._reached_s = -math.inf

    def at(self, now_s: float) -> Array:
        """Where it is; time never runs back."""
        position = self._follower.advance(max(0.0, now_s - self._now_s))
        self._now_s = max(self._now_s, now_s)
        return np.array(position)

    @property
    def goal(self) -> Array:
        """Where the last command leads, (n + 1,)."""
        return self._follower.goal

    def follow(self, goal: Array, duration_s: float, now_s: float) -> None:
        """A command to be there so much later."""
        self.at(now_s)
        self._follower.follow(goal, duration_s)
        self._reached_s = now_s + duration_s

    def waiting_s(self, now_s: float) -> float:
        """How long the last command still needs."""
        return max(0.0, self._reached_s - now_s)

    def rests(self) -> None:
        """The last command goes nowhere: nothing is left to wait for."""
        self._reached_s = -math.inf
