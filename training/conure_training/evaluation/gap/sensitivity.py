"""Which factor a policy is sensitive to: worlds in which one factor is changed, against one in
which none is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from conure_core.errors import ConfigError
from conure_training.evaluation.comparison import Difference, Rate
from conure_training.evaluation.outcomes import Evaluation
from conure_training.evaluation.statistics.differences import (
    difference_interval,
    unpaired_p_value,
)


@dataclass(frozen=True)
class FactorEffect:
    """What one changed factor does to a policy's success."""

    factor: str
    rate: Rate
    """With the factor changed."""
    change: Difference
    """That rate minus the one without any change."""
    p_value: float
    """Fisher's exact test, times the number of factors (Bonferroni), at most 1."""


def factor_effects(plain: Evaluation, changed: Mapping[str, Evaluation]) -> list[FactorEffect]:
    """Measure what each factor does to success, the most harmful first.

    Trials are not compared in pairs: another randomization draws other scenes from a seed.

    Args:
        plain: Without any change.
        changed: An evaluation of the same policy and task for each factor, by the factor's name.

    Returns:
        One effect a factor.

    Raises:
        ConfigError: An evaluation is of another task.
    """
    before = Rate.of(plain.outcomes)
    effects: list[FactorEffect] = []
    for name, evaluation in changed.items():
        if evaluation.task != plain.task:
            raise ConfigError(
                f"expected task '{plain.task}' as in {plain.path}, got '{evaluation.task}' in"
                f" {evaluation.path}; evaluate all factors on one task"
            )
        rate = Rate.of(evaluation.outcomes)
        interval = difference_interval(rate.counts, before.counts)
        p_value = min(1.0, len(changed) * unpaired_p_value(rate.counts, before.counts))
        change = Difference(rate.rate - before.rate, *interval)
        effects.append(FactorEffect(name, rate, change, p_value))
    return sorted(effects, key=lambda effect: effect.change.value)
