"""How likely the prior finds what the policy does, and what follows from it. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from conure_core.errors import ConfigError, unknown_name


class Verdict(IntEnum):
    """Permissions of a policy, from least to most severe."""

    GO = 0
    SLOW = 1
    HOLD = 2
    HAND_OVER = 3


@dataclass(frozen=True)
class Level:
    """Reached when this many log-likelihoods in a row lie below a threshold of the bundle, less
    `margin_nats`.
    """

    verdict: Verdict
    threshold: str
    ticks: int
    margin_nats: float


class PriorMonitor:
    """Judge of a run of log-likelihoods log p(action | observation), nats, by held-out
    demonstrations' quantiles.

    One likely action ends the run. An infinite or NaN one counts as unlikely.

    >>> monitor = PriorMonitor({"p01": 3.0}, [Level(Verdict.HOLD, "p01", 2, 0.0)])
    >>> monitor.judge(2.0)[0].name, monitor.judge(1.0)[0].name, monitor.judge(4.0)[0].name
    ('GO', 'HOLD', 'GO')
    """

    def __init__(self, thresholds: Mapping[str, float], levels: list[Level]) -> None:
        """Begin without a run.

        Args:
            thresholds: Log-likelihoods of the bundle, nats, by name (`p01`, ...).
            levels: Which runs lead to which verdict, in any order.

        Raises:
            ConfigError: No action could reach a level. Its threshold is not the bundle's (those are
                listed), or one of its numbers is not finite, or it takes less than one tick.
        """
        for level in levels:
            if level.threshold not in thresholds:
                raise unknown_name("log-likelihood threshold", level.threshold, thresholds)
        self._limits = {level: thresholds[level.threshold] - level.margin_nats for level in levels}
        for level, limit in self._limits.items():
            if not math.isfinite(limit) or level.ticks < 1:
                raise ConfigError(
                    f"the level {level.verdict.name} needs a finite threshold and margin and one"
                    f" tick or more, got {level.threshold} {thresholds[level.threshold]} nats,"
                    f" margin {level.margin_nats} nats, {level.ticks} ticks"
                )
        self._levels = sorted(levels, key=lambda level: level.verdict, reverse=True)
        self._runs = dict.fromkeys(levels, 0)

    def reset(self) -> None:
        """Forget the run: somebody else moves the arm, or it starts anew."""
        self._runs = dict.fromkeys(self._runs, 0)

    def judge(self, log_likelihood: float) -> tuple[Verdict, str]:
        """Count this action, and return the most severe level reached and why; GO and '' if none
        is.
        """
        value = log_likelihood if math.isfinite(log_likelihood) else -math.inf
        for level, limit in self._limits.items():
            self._runs[level] = self._runs[level] + 1 if value < limit else 0
        for level in self._levels:
            if self._runs[level] >= level.ticks:
                return level.verdict, self._reason(level, log_likelihood)
        return Verdict.GO, ""

    def _reason(self, level: Level, log_likelihood: float) -> str:
        limit = f"{self._limits[level]:.1f} ({level.threshold} less {level.margin_nats:g})"
        return (
            f"the prior finds the policy's actions unlikely: log-likelihood {log_likelihood:.1f}"
            f" nats, {self._runs[level]} in a row below {limit}"
        )
