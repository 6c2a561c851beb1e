"""How many trials tell two success rates apart, before they are run.

Error rates are one-sided: of a claim that one policy is better, which was named in advance. A
two-sided claim at 5 % has 2.5 % on either side.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from scipy.special import ndtri
from scipy.stats import binom

from conure_core.errors import ConfigError
from conure_core.types import Array
from conure_training.evaluation.statistics.sequential import ending_probabilities

MOST_PAIRS = 8192
"""Designs with more pairs are refused."""
FUTILE = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""E-values below which a sequential design may end undecided."""


@dataclass(frozen=True)
class PairedRates:
    """Two success rates on the same scenes, the second one higher."""

    rate: float
    """Of the policy that is worse, in (0, 1)."""

    higher: float
    """Of the policy that is better, in (0, 1)."""

    correlation: float = 0.0
    """Of the outcomes on the same scene, -1 to 1; 0 where the scene decides nothing."""

    def __post_init__(self) -> None:
        """Raises: ConfigError if there are no such outcomes."""
        if not 0.0 < self.rate < self.higher < 1.0:
            raise ConfigError(
                "two success rates must lie between 0 and 1, the lower one first, got"
                f" {self.rate:g} and {self.higher:g}"
            )
        lowest = max(0.0, self.rate + self.higher - 1) - self.rate * self.higher
        low, high = (cut / self._deviations for cut in (lowest, self.rate * (1 - self.higher)))
        if not low <= self.correlation <= high:
            raise ConfigError(
                f"the correlation of outcomes with rates {self.rate:g} and {self.higher:g} must be"
                f" from {low:.2f} to {high:.2f}, got {self.correlation:g}"
            )

    @property
    def _deviations(self) -> float:
        """Product of both outcomes' standard deviations."""
        return sqrt(self.rate * (1 - self.rate) * self.higher * (1 - self.higher))

    @property
    def both(self) -> float:
        """Probability that both succeed."""
        return self.rate * self.higher + self.correlation * self._deviations

    @property
    def discordant(self) -> float:
        """Probability that one alone succeeds."""
        return self.rate + self.higher - 2 * self.both

    @property
    def share(self) -> float:
        """Share of the better policy among the scenes that one alone solves."""
        return (self.higher - self.both) / self.discordant


@dataclass(frozen=True)
class SequentialPlan:
    """A design that is looked at after every pair."""

    most: int
    """Pairs after which it ends undecided."""

    mean: float
    """Pairs on average, if the rates are as planned."""

    futile: float
    """E-value below which it ends undecided; 0: it goes on to the last pair."""


def trials_per_policy(rate: float, higher: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Compute how many trials each policy needs, each in scenes of its own.

    Args:
        rate: Success rate of the policy that is worse, in (0, 1).
        higher: Success rate of the better one.
        alpha: One-sided error rate.
        power: Probability of finding the difference.

    Returns:
        Trials of each policy, for Fisher's exact test.

    Raises:
        ConfigError: The rates are not two rates in order.

    Source: Fleiss, Tytun and Ury, Biometrics 36(2), 1980, with continuity correction.
    """
    rates = PairedRates(rate, higher)
    difference = rates.higher - rates.rate
    mean = (rates.higher + rates.rate) / 2
    noise = sqrt(2 * mean * (1 - mean))
    spread = sqrt(rate * (1 - rate) + higher * (1 - higher))
    uncorrected = ((ndtri(1 - alpha) * noise + ndtri(power) * spread) / difference) ** 2
    correction = (1 + sqrt(1 + 4 / (uncorrected * difference))) ** 2 / 4
    return ceil(uncorrected * correction)


def pairs_fixed(rates: PairedRates, alpha: float = 0.05, power: float = 0.8) -> int:
    """Compute how many pairs McNemar's exact test needs, their number fixed in advance.

    Args:
        rates: What is to be told apart.
        alpha: One-sided error rate.
        power: Probability of finding the difference.

    Returns:
        Pairs.

    Raises:
        ConfigError: They are more than MOST_PAIRS.
    """

    def power_within(horizon: int) -> Callable[[int], float]:
        counts = np.arange(horizon + 1)
        needed = binom.isf(alpha, counts, 0.5)
        found = binom.sf(needed, counts, rates.share)
        return lambda pairs: float(binom.pmf(counts, pairs, rates.discordant) @ found)

    found = _fewest(power_within, power, MOST_PAIRS)
    if found is None:
        raise _too_close(rates)
    return found[0]


def pairs_sequential(rates: PairedRates, alpha: float = 0.05, power: float = 0.8) -> SequentialPlan:
    """Compute how many pairs `SequentialPairedTest` needs, exactly.

    Args:
        rates: What is to be told apart.
        alpha: One-sided error rate.
        power: Probability of finding the difference.

    Returns:
        The design with the fewest pairs on average, among those that end undecided where the test
        is futile and that take at most half as many pairs again as the design that never does.

    Raises:
        ConfigError: They are more than MOST_PAIRS.
    """
    patient = _sequential_plan(rates, alpha, power, 0.0, MOST_PAIRS)
    if patient is None:
        raise _too_close(rates)
    limit = min(3 * patient.most // 2, MOST_PAIRS)
    plans = [_sequential_plan(rates, alpha, power, futile, limit) for futile in FUTILE]
    return min((plan for plan in [patient, *plans] if plan), key=lambda plan: plan.mean)


def _sequential_plan(
    rates: PairedRates, alpha: float, power: float, futile: float, limit: int
) -> SequentialPlan | None:
    """None: that power takes more pairs than the limit."""

    def power_within(horizon: int) -> Callable[[int], float]:
        decided, _ = ending_probabilities(rates.share, horizon, alpha, futile)
        return lambda pairs: float(decided @ _reached(pairs, horizon, rates))

    found = _fewest(power_within, power, limit)
    if found is None:
        return None
    most, horizon = found
    ended = np.sum(ending_probabilities(rates.share, horizon, alpha, futile), axis=0)
    # Wald's identity: discordant pairs seen, divided by their probability, are pairs run.
    running_before = 1 - np.concatenate([[0.0], np.cumsum(ended)[:-1]])
    seen = running_before[1:] @ _reached(most, horizon, rates)[1:]
    return SequentialPlan(most, float(seen / rates.discordant), futile)


def _reached(pairs: int, horizon: int, rates: PairedRates) -> Array:
    """Probability of at least 0, 1, ... `horizon` discordant pairs."""
    return np.asarray(binom.sf(np.arange(horizon + 1) - 1, pairs, rates.discordant))


def _fewest(
    power_within: Callable[[int], Callable[[int], float]], power: float, limit: int
) -> tuple[int, int] | None:
    """Find the fewest pairs with that power, and the horizon that they were found within.

    None: they are more than the limit.
    """
    horizon = min(64, limit)
    power_of = power_within(horizon)
    while power_of(horizon) < power:
        if horizon == limit:
            return None
        horizon = min(2 * horizon, limit)
        power_of = power_within(horizon)
    low, high = 0, horizon
    while high - low > 1:
        half = (low + high) // 2
        low, high = (low, half) if power_of(half) >= power else (half, high)
    return high, horizon


def _too_close(rates: PairedRates) -> ConfigError:
    return ConfigError(
        f"to tell {rates.rate:g} from {rates.higher:g} takes more than {MOST_PAIRS} pairs; give"
        " rates that differ more, or a lower power"
    )
