"""The optimizer's part of demonstration resets: where episodes begin.

Algorithm 2 of Salimans and Chen, Learning Montezuma's Revenge from a Single Demonstration, arXiv
1812.03381.
"""

from dataclasses import dataclass, field
from typing import Any

from conure_core.config.values import COUNT, COUNT_OR_NONE, SHARE


@dataclass(frozen=True)
class ResetSchedule:
    """When tau* moves."""

    shift: int = field(default=3, metadata=COUNT)
    """Delta: steps of a move."""
    threshold: float = field(default=0.2, metadata=SHARE)
    """rho: success rate from which tau* moves earlier."""
    episodes: int = field(default=64, metadata=COUNT)
    """Episodes between decisions, at least."""
    patience: int = field(default=1500, metadata=COUNT_OR_NONE)
    """Episodes in a row without success after which tau* moves later; 0: never."""


class ResetOptimizer:
    """tau*, which begins at the demonstration's end and moves towards its start.

        tau* <- tau* - Delta    where the success rate since the last decision reached rho
        tau* <- tau* + Delta    where `patience` episodes in a row failed

    `finished` is True once tau* = 0 was as successful.
    """

    def __init__(self, end: int, schedule: ResetSchedule) -> None:
        """Begin at the end.

        Args:
            end: The demonstration's last step.
            schedule: When to move.
        """
        self.end = end
        self.schedule = schedule
        self.point = end
        self.finished = False
        self._episodes = 0
        self._successes = 0
        self._failures_in_a_row = 0

    def report(self, start: int, succeeded: bool) -> None:
        """Count an episode.

        Args:
            start: Where it began; beyond tau* it does not count.
            succeeded: Whether it was as good as the demonstration.
        """
        if start > self.point:
            return
        self._episodes += 1
        self._successes += succeeded
        self._failures_in_a_row = 0 if succeeded else self._failures_in_a_row + 1

    def move(self) -> int:
        """Decide on the episodes reported since the last decision; the new tau*."""
        schedule = self.schedule
        if self._episodes < schedule.episodes:
            return self.point
        if self._successes >= schedule.threshold * self._episodes:
            self.finished = self.finished or self.point == 0
            self.point = max(0, self.point - schedule.shift)
            self._failures_in_a_row = 0
        elif schedule.patience and self._failures_in_a_row >= schedule.patience:
            self.point = min(self.end, self.point + schedule.shift)
            self._failures_in_a_row = 0
        self._episodes = 0
        self._successes = 0
        return self.point

    def state_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return {
            "point": self.point,
            "finished": self.finished,
            "episodes": self._episodes,
            "successes": self._successes,
            "failures": self._failures_in_a_row,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` gave."""
        self.point = state["point"]
        self.finished = state["finished"]
        self._episodes = state["episodes"]
        self._successes = state["successes"]
        self._failures_in_a_row = state["failures"]
