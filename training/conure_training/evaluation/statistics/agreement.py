"""How far two people agree who label the same trials."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from conure_core.errors import ConfigError
from conure_training.evaluation.intervals import wilson_interval


@dataclass(frozen=True)
class Agreement:
    """Agreement of two raters. Intervals have 95 %."""

    trials: int
    """Trials that both labelled."""

    agreed: int
    """Trials with equal labels."""

    by_chance: float
    """Share of equal labels of two raters who draw from these labels at random, in [0, 1]."""

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa: 1 perfect, 0 as by chance; None where both gave one and the same label
        throughout, which leaves nothing to tell.
        """
        return self._kappa(self.agreed / self.trials)

    @property
    def kappa_interval(self) -> tuple[float, float] | None:
        """Interval of kappa; None where there is no kappa.

        Wilson's interval of the agreement, with agreement by chance taken for known. So it has a
        width after perfect agreement too.
        """
        low, high = (self._kappa(end) for end in wilson_interval(self.agreed, self.trials))
        return None if low is None or high is None else (low, high)

    def _kappa(self, agreement: float) -> float | None:
        if self.by_chance == 1.0:
            return None
        return (agreement - self.by_chance) / (1 - self.by_chance)


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> Agreement:
    """Compare the labels of two raters.

    Args:
        first: One rater's labels, one a trial.
        second: The other one's labels of the same trials, in the same order.

    Returns:
        Their agreement.

    Raises:
        ConfigError: The numbers of labels differ, or are 0.

    Source: Cohen, Educational and Psychological Measurement 20(1), 1960.
    """
    if len(first) != len(second) or not first:
        raise ConfigError(
            f"agreement needs two labels of each trial, got {len(first)} of the first rater and"
            f" {len(second)} of the second; leave out what only one labelled"
        )
    trials = len(first)
    agreed = sum(one == other for one, other in zip(first, second, strict=True))
    others = Counter(second)
    equal = sum(count * others[label] for label, count in Counter(first).items())
    return Agreement(trials, agreed, equal / trials**2)
