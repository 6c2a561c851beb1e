"""Differences of two success rates: intervals and tests, in pairs or in trials of their own."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

from scipy.special import bdtrc
from scipy.stats import fisher_exact

from conure_training.evaluation.intervals import wilson_interval


@dataclass(frozen=True)
class PairCounts:
    """How often each outcome of a pair came: two policies on the same initial scene."""

    both: int
    """Pairs that both policies solve."""

    only_first: int
    """Pairs that the first policy alone solves."""

    only_second: int
    """Pairs that the second policy alone solves."""

    neither: int
    """Pairs that no policy solves."""

    @classmethod
    def of(cls, pairs: Iterable[tuple[bool, bool]]) -> "PairCounts":
        """Count pairs of the first policy's and the second policy's success."""
        listed = list(pairs)
        return cls(
            both=listed.count((True, True)),
            only_first=listed.count((True, False)),
            only_second=listed.count((False, True)),
            neither=listed.count((False, False)),
        )

    @property
    def pairs(self) -> int:
        """All pairs."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def first(self) -> tuple[int, int]:
        """Successes and trials of the first policy."""
        return self.both + self.only_first, self.pairs

    @property
    def second(self) -> tuple[int, int]:
        """Successes and trials of the second policy."""
        return self.both + self.only_second, self.pairs

    @property
    def correlation(self) -> float:
        """Correlation phi of the outcomes, a positive one reduced for continuity.

        It is 0 where a policy solves all pairs or none. Source: Newcombe, Statistics in Medicine
        17:2635, 1998, method 10.
        """
        sums = 1
        for successes, trials in (self.first, self.second):
            sums *= successes * (trials - successes)
        if sums == 0:
            return 0.0
        excess: float = self.both * self.neither - self.only_first * self.only_second
        if excess > 0:
            excess = max(excess - self.pairs / 2, 0)
        return excess / sqrt(sums)


def difference_interval(
    first: tuple[int, int], second: tuple[int, int], correlation: float = 0.0
) -> tuple[float, float]:
    """Compute the 95 % interval of the first success rate minus the second.

    Args:
        first: Successes and trials of one policy.
        second: Successes and trials of the other one.
        correlation: Of their outcomes, where trials are pairs; 0 for trials of their own.

    Returns:
        Lower and upper end, in [-1, 1]; (-1, 1) without trials of either.

    Source: Newcombe, Statistics in Medicine 17:873 and 17:2635, 1998, the methods 10: from Wilson's
    intervals.
    """
    if min(first[1], second[1]) == 0:
        return -1.0, 1.0
    below, above = _half_widths(first)
    other_below, other_above = _half_widths(second)
    difference = first[0] / first[1] - second[0] / second[1]
    down = _joined(below, other_above, correlation)
    up = _joined(above, other_below, correlation)
    return max(-1.0, difference - down), min(1.0, difference + up)


def paired_interval(counts: PairCounts) -> tuple[float, float]:
    """Compute the 95 % interval of the first success rate minus the second, from pairs."""
    return difference_interval(counts.first, counts.second, counts.correlation)


def paired_p_value(counts: PairCounts) -> float:
    """Test whether two policies succeed equally often, in pairs of the same scenes.

    The exact two-sided McNemar test: given the pairs that one policy alone solves, each policy is
    the one with probability 1/2. For a number of pairs that was fixed in advance.

    Source: McNemar, Psychometrika 12(2), 1947.
    """
    discordant = counts.only_first + counts.only_second
    more = max(counts.only_first, counts.only_second)
    if discordant == 0:
        return 1.0
    return min(1.0, 2 * float(bdtrc(more - 1, discordant, 0.5)))


def unpaired_p_value(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Test whether two policies succeed equally often, in trials of their own.

    Fisher's exact two-sided test, for numbers of trials that were fixed in advance.

    Args:
        first: Successes and trials of one policy.
        second: Successes and trials of the other one.

    Returns:
        The p-value.
    """
    table = [[successes, trials - successes] for successes, trials in (first, second)]
    return float(fisher_exact(table)[1])


def _half_widths(counts: tuple[int, int]) -> tuple[float, float]:
    """How far Wilson's interval reaches below and above the rate."""
    low, high = wilson_interval(*counts)
    rate = counts[0] / counts[1]
    return rate - low, high - rate


def _joined(one: float, other: float, correlation: float) -> float:
    return sqrt(max(0.0, one**2 - 2 * correlation * one * other + other**2))
