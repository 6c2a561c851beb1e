"""Intervals for what was counted, and for what a few runs scored."""

from collections.abc import Callable, Sequence
from math import sqrt

import numpy as np

from conure_core.types import Array

Z_95 = 1.959963984540054


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a success rate; (0, 1) without trials. Source: Wilson, JASA 22(158),
    1927.
    """
    if trials == 0:
        return 0.0, 1.0
    rate, z2 = successes / trials, Z_95**2
    centre = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 / (1 + z2 / trials) * sqrt(rate * (1 - rate) / trials + z2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def mean(scores: Array) -> Array:
    """Over the last axis."""
    return np.asarray(np.mean(scores, axis=-1))


def interquartile_mean(scores: Array) -> Array:
    """Mean of the middle half of the scores of the last axis; a quarter, rounded down, is cut at
    either end.

    Source: Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice,
    NeurIPS 2021.
    """
    ordered = np.sort(scores, axis=-1)
    cut = ordered.shape[-1] // 4
    return mean(ordered[..., cut : ordered.shape[-1] - cut])


def stratified_interval(
    strata: Sequence[Array],
    statistic: Callable[[Array], Array] = mean,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of all scores; runs are drawn anew within each
    task.

    `strata`: the scores of each task's runs, (runs,) each; `statistic`: of all of them, over the
    last axis. Source: Agarwal et al., NeurIPS 2021: stratified bootstrap, tasks as strata.
    """
    rng = np.random.default_rng(seed)
    tasks = [np.asarray(scores, dtype=float) for scores in strata]
    drawn = [scores[rng.integers(len(scores), size=(resamples, len(scores)))] for scores in tasks]
    ends = np.quantile(
        statistic(np.concatenate(drawn, axis=-1)), [(1 - confidence) / 2, (1 + confidence) / 2]
    )
    return float(ends[0]), float(ends[1])


def bracketed_interval(
    strata: Sequence[Array],
    show: Callable[[float], str],
    statistic: Callable[[Array], Array] = mean,
) -> str:
    """Text such as " [0.1, 0.7]"; empty where a task has a single run: a bootstrap takes that for
    exact.
    """
    if min(map(len, strata)) < 2:
        return ""
    low, high = stratified_interval(strata, statistic)
    return f" [{show(low)}, {show(high)}]"
