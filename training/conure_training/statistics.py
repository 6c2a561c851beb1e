"""Intervals for what was counted, and for what a few runs scored."""

from collections.abc import Callable, Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Z_95 = 1.959963984540054


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a success rate; (0, 1) without trials. Source: Wilson, JASA 22(158), 1927."""
    if trials == 0:
        return 0.0, 1.0
    rate, z2 = successes / trials, Z_95**2
    centre = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 / (1 + z2 / trials) * sqrt(rate * (1 - rate) / trials + z2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def interquartile_mean(scores: Array) -> float:
    """Mean of the middle half of all scores, of any shape; a quarter of them, rounded down, is cut at either end.

    Source: Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, NeurIPS 2021.
    """
    ordered = np.sort(np.asarray(scores, dtype=float), axis=None)
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def stratified_interval(
    strata: Sequence[Array],
    statistic: Callable[[Array], float] = np.mean,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of all scores; runs are drawn anew within each task.

    `strata`: the scores of each task's runs, (runs,) each; `statistic`: of all of them, (n,).
    Source: Agarwal et al., NeurIPS 2021: stratified bootstrap, tasks as strata.
    """
    rng = np.random.default_rng(seed)
    tasks = [np.asarray(scores, dtype=float) for scores in strata]
    drawn = [
        statistic(np.concatenate([scores[rng.integers(len(scores), size=len(scores))] for scores in tasks]))
        for _ in range(resamples)
    ]
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
