"""How a person's hand moves an arm that the person watches: late, unsteadily, with pauses, and past
the goal.
"""

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from conure_core.types import Array

AXES = 4
"""x, y, z, and the turn about z."""


@dataclass(frozen=True)
class Habits:
    """Of one person."""

    reaction_s: float = 0.22
    """How old what is seen is when the hand answers, s."""
    speed_m_s: float = 0.13
    turn_rad_s: float = 0.9
    eagerness_per_s: float = 3.0
    """Speed for a distance; much of it with a late eye overshoots."""
    tremor: float = 0.12
    """Standard deviation of the unsteadiness, of the speed asked for."""
    smoothing_s: float = 0.12
    pause_share: float = 0.15
    """Chance of a pause at a new intention."""
    pause_s: tuple[float, float] = (0.3, 1.2)


@dataclass
class Hand:
    """Follows a goal by velocities. Pure: the caller's clock, and its randomness."""

    random: np.random.Generator
    period_s: float
    habits: Habits = field(default_factory=Habits)
    _seen: deque[Array] = field(default_factory=deque)
    _velocity: Array = field(default_factory=lambda: np.zeros(AXES))
    _pause_steps: int = 0

    def rest(self) -> None:
        """Forget what was seen: the arm was put elsewhere."""
        self._seen.clear()
        self._velocity = np.zeros(AXES)
        self._pause_steps = 0

    def intend(self) -> None:
        """Begin something new, sometimes after a pause."""
        if self.random.random() < self.habits.pause_share:
            pause_s = self.random.uniform(*self.habits.pause_s)
            self._pause_steps = round(pause_s / self.period_s)

    def move(self, pose: Array, goal: Array) -> Array:
        """The velocity asked for now.

        Args:
            pose: The tool's x, y, z, m, and yaw, rad, in the base frame, as it is.
            goal: Where it should be, the same values.

        Returns:
            Velocity (4,), m/s and rad/s; zeros in a pause.
        """
        late = max(1, round(self.habits.reaction_s / self.period_s))
        self._seen.append(np.array(pose, dtype=np.float64))
        while len(self._seen) > late:
            self._seen.popleft()
        if self._pause_steps > 0:
            self._pause_steps -= 1
            self._velocity = np.zeros(AXES)
            return self._velocity
        wanted = self._wanted(goal - self._seen[0])
        share = min(1.0, self.period_s / self.habits.smoothing_s)
        self._velocity = self._velocity + share * (wanted - self._velocity)
        return self._velocity

    def _wanted(self, error: Array) -> Array:
        error[3] = turn_between(0.0, error[3])
        wanted = self.habits.eagerness_per_s * error
        linear = float(np.linalg.norm(wanted[:3]))
        wanted[:3] *= min(1.0, self.habits.speed_m_s / max(linear, 1e-9))
        wanted[3] = np.clip(wanted[3], -self.habits.turn_rad_s, self.habits.turn_rad_s)
        unsteady = self.random.normal(0.0, self.habits.tremor, AXES)
        largest = np.array([np.abs(wanted[:3]).max()] * 3 + [abs(wanted[3])])
        return np.asarray(wanted + unsteady * largest)


def turn_between(from_rad: float, to_rad: float) -> float:
    """The shorter turn between two directions of a line, which has two ends: in [-pi/2, pi/2).

    Args:
        from_rad: Direction of the first.
        to_rad: Direction of the second.
    """
    return (to_rad - from_rad + math.pi / 2) % math.pi - math.pi / 2
