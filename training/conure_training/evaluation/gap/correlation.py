"""Whether simulation orders policies as reality does: Pearson's r and mean maximum rank violation.

Source of both measures: Li et al., Evaluating Real-World Robot Manipulation Policies in Simulation
(SIMPLER), CoRL 2024.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import pearsonr

from conure_core.errors import ConfigError
from conure_core.types import Array

FEWEST_POLICIES = 4
"""Fisher's interval of r needs as many."""
DRAWS = 4000
Counts = tuple[int, int]
"""Successes and trials."""


@dataclass(frozen=True)
class Measure:
    """A measure of agreement, with its interval and what trials alone allow."""

    value: float
    """Of the measured rates."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end of it."""
    floor: float
    """What a perfect simulator passes in 95 % of evaluations with as many trials: r falls below
    it, the rank violation above it, in the other 5 %."""


@dataclass(frozen=True)
class Correlation:
    """How success in simulation goes with success in reality, over policies."""

    policies: int
    pearson: Measure
    """Its interval is Fisher's: over policies that might have been chosen."""
    rank_violation: Measure
    """Mean maximum rank violation, 0 to 1; 0: no pair of policies is in the wrong order. Its
    interval is over trials."""


def mean_maximum_rank_violation(simulated: Array, real: Array) -> Array:
    """Compute how much real success a wrong order in simulation costs, at worst, on average.

    A pair of policies that simulation orders otherwise than reality violates by the difference of
    its **real** rates; of each policy the largest violation counts. So the arguments cannot be
    exchanged.

    Args:
        simulated: Success rates in simulation, (..., n).
        real: Success rates of the same policies in reality, (..., n).

    Returns:
        The mean over policies, (...), 0 to 1.
    """
    simulated = np.asarray(simulated, dtype=np.float64)
    real = np.asarray(real, dtype=np.float64)
    is_below = simulated[..., :, None] < simulated[..., None, :]
    distances = real[..., :, None] - real[..., None, :]
    violations = np.abs(distances) * (is_below != (distances < 0))
    return np.asarray(violations.max(axis=-1).mean(axis=-1))


def correlate(simulated: Sequence[Counts], real: Sequence[Counts], seed: int = 0) -> Correlation:
    """Measure how well simulation predicts reality over policies.

    Args:
        simulated: Successes and trials of each policy in simulation.
        real: Those of the same policies in reality, in the same order.
        seed: Of the draws behind intervals and floors.

    Returns:
        The correlation.

    Raises:
        ConfigError: There are fewer than FEWEST_POLICIES, or all rates of one side are equal.
    """
    if len(simulated) != len(real) or len(real) < FEWEST_POLICIES:
        raise ConfigError(
            f"expected at least {FEWEST_POLICIES} policies on either side, got {len(simulated)}"
            f" simulated and {len(real)} real; evaluate more policies, such as earlier checkpoints"
        )
    successes = np.array([simulated, real], dtype=np.int64)[..., 0]
    trials = np.array([simulated, real], dtype=np.int64)[..., 1]
    rates = successes / trials
    for name, side in zip(("simulated", "real"), rates, strict=True):
        if np.ptp(side) == 0.0:
            raise ConfigError(
                f"all {name} rates are {side[0]:.0%}, so that nothing can go with them; choose"
                " policies that differ, such as earlier checkpoints"
            )

    rng = np.random.default_rng(seed)
    again = rng.binomial(trials, rates, (DRAWS, *rates.shape)) / trials
    pooled = successes.sum(axis=0) / trials.sum(axis=0)
    perfect = rng.binomial(trials, pooled, (DRAWS, *rates.shape)) / trials

    found = pearsonr(*rates)
    low, high = found.confidence_interval(0.95)
    r_floor = _quantiles(_correlations(perfect), 0.05)[0]
    violations = mean_maximum_rank_violation(again[:, 0], again[:, 1])
    by_chance = mean_maximum_rank_violation(perfect[:, 0], perfect[:, 1])
    return Correlation(
        policies=len(real),
        pearson=Measure(float(found.statistic), float(low), float(high), r_floor),
        rank_violation=Measure(
            float(mean_maximum_rank_violation(*rates)),
            *_quantiles(violations, 0.025, 0.975),
            *_quantiles(by_chance, 0.95),
        ),
    )


def _correlations(draws: Array) -> Array:
    """Pearson's r of each draw (k, 2, n) whose rates differ, (at most k,)."""
    centred = draws - draws.mean(axis=2, keepdims=True)
    norms = np.linalg.norm(centred, axis=2)
    varies = (norms > 0).all(axis=1)
    products = (centred[:, 0] * centred[:, 1]).sum(axis=1)
    return np.asarray(products[varies] / norms[varies].prod(axis=1))


def _quantiles(values: Array, *shares: float) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(values, shares))
