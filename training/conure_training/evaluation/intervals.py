"""Intervals for success rates, and for the scores of a few runs."""

from collections.abc import Callable, Sequence
from math import sqrt

import numpy as np
from scipy.special import betaincinv

from conure_core.types import Array

Z_95 = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Compute the 95 % interval of a success rate.

    Args:
        successes: How many trials succeeded.
        trials: How many there were.

    Returns:
        Lower and upper end, in [0, 1]; (0, 1) without trials.

    Source: Wilson, JASA 22(158), 1927.
    """
    if trials == 0:
        return 0.0, 1.0
    rate = successes / trials
    z2 = Z_95**2
    centre = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 / (1 + z2 / trials) * sqrt(rate * (1 - rate) / trials + z2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def exact_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Compute an interval of a success rate that holds it with no less than the confidence.

    At every rate and number of trials, so that it is wider than Wilson's, whose coverage is the
    confidence on average.

    Args:
        successes: How many trials succeeded.
        trials: How many there were.
        confidence: Of the interval, in (0, 1).

    Returns:
        Lower and upper end, in [0, 1]; (0, 1) without trials.

    Source: Clopper and Pearson, Biometrika 26(4), 1934.
    """
    failures = trials - successes
    tail = (1 - confidence) / 2
    low = betaincinv(successes, failures + 1, tail) if successes else 0.0
    high = betaincinv(successes + 1, failures, 1 - tail) if failures else 1.0
    return float(low), float(high)


def estimate_rate(outcomes: Sequence[bool]) -> dict[str, float]:
    """Compute a success rate with its counts.

    Returns `rate`, `low` and `high` (the Wilson 95 % interval), `successes` and `trials`.
    """
    successes = sum(outcomes)
    trials = len(outcomes)
    low, high = wilson_interval(successes, trials)
    return {
        "rate": successes / max(1, trials),
        "low": low,
        "high": high,
        "successes": successes,
        "trials": trials,
    }


def mean(scores: Array) -> Array:
    """Average over the last axis."""
    return np.asarray(np.mean(scores, axis=-1))


def interquartile_mean(scores: Array) -> Array:
    """Average the central half of the scores, over the last axis.

    A quarter of them, rounded down, is cut at either end. Source: Agarwal et al., Deep
    Reinforcement Learning at the Edge of the Statistical Precipice, NeurIPS 2021.
    """
    ordered = np.sort(scores, axis=-1)
    count = ordered.shape[-1]
    cut = count // 4
    return mean(ordered[..., cut : count - cut])


def stratified_interval(
    strata: Sequence[Array],
    statistic: Callable[[Array], Array] = mean,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Compute a percentile bootstrap interval of a statistic of all scores.

    Runs are resampled within each task.

    Args:
        strata: The scores of each task's runs, shape (runs,) each.
        statistic: Of all scores together, over the last axis.
        confidence: Of the interval, in (0, 1).
        resamples: Bootstrap samples.
        seed: Draws them.

    Returns:
        Lower and upper end.

    Source: Agarwal et al., NeurIPS 2021: stratified bootstrap, tasks as strata.
    """
    rng = np.random.default_rng(seed)
    drawn = []
    for stratum in strata:
        scores = np.asarray(stratum, dtype=float)
        index = rng.integers(len(scores), size=(resamples, len(scores)))
        drawn.append(scores[index])
    values = statistic(np.concatenate(drawn, axis=-1))
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def bracketed_interval(
    strata: Sequence[Array],
    show: Callable[[float], str],
    statistic: Callable[[Array], Array] = mean,
) -> str:
    """Write a `stratified_interval` as text.

    Args:
        strata: The scores of each task's runs, shape (runs,) each.
        show: Formats an end.
        statistic: Of all scores together, over the last axis.

    Returns:
        Text such as " [0.1, 0.7]"; empty where a task has a single run, which a bootstrap would
        take for exact.
    """
    if min(map(len, strata)) < 2:
        return ""
    low, high = stratified_interval(strata, statistic)
    return f" [{show(low)}, {show(high)}]"
