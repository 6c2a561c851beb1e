"""What a learning curve says: its area, where it ends, when it gets somewhere. Success lies in [0,
1].
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TRAINING_WINDOW = 50

Values = Sequence[float] | NDArray
"""Numbers, shape (n,)."""


@dataclass(frozen=True)
class Curve:
    """Success (n,) at environment steps (n,), ascending; `seconds` (n,) of work so far, NaN:
    unknown.

    `evaluated`: of evaluations on fixed seeds; otherwise of the last training episodes.
    """

    steps: NDArray[np.float64]
    success: NDArray[np.float64]
    seconds: NDArray[np.float64]
    evaluated: bool


def curve_of(result: Mapping[str, Any]) -> Curve:
    """The curve in a record's result of `conure rl`: evaluations, or if none were made the training
    episodes.
    """
    points = result["evaluations"]
    if points:
        steps = _column(points, "steps")
        success = _column(points, "success")
        seconds = _column(points, "seconds")
        # One evaluation may stand for several that were due.
        _, first = np.unique(steps, return_index=True)
        return Curve(steps[first], success[first], seconds[first], True)
    steps = np.array(result["curve"]["steps"], dtype=float)
    outcomes = np.array(result["curve"]["success"], dtype=float)
    ends = np.arange(1, len(outcomes) + 1)
    starts = np.maximum(0, ends - TRAINING_WINDOW)
    sums = np.concatenate([[0.0], np.cumsum(outcomes)])
    successes = sums[ends] - sums[starts]
    success = successes / (ends - starts)
    unknown = np.full(len(steps), np.nan)
    return Curve(steps, success, unknown, False)


def _column(points: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    """One value of every evaluation; NaN where it has none."""
    values = [point.get(name, np.nan) for point in points]
    return np.array(values, dtype=float)


def area_under_curve(
    steps: Values,
    success: Values,
    budget: float,
) -> float:
    """Compute the mean success over [0, budget] steps, by trapezoids.

    The first and the last value are held to the ends.

    Args:
        steps: Environment steps, ascending, shape (n,).
        success: Success in [0, 1], shape (n,).
        budget: Environment steps to average over.

    Returns:
        A number in [0, 1].
    """
    x = np.asarray(steps, dtype=float)
    y = np.asarray(success, dtype=float)
    inside = (x > 0) & (x < budget)
    first, last = np.interp([0.0, budget], x, y)
    x = np.concatenate([[0.0], x[inside], [budget]])
    y = np.concatenate([[first], y[inside], [last]])
    area = np.trapezoid(y, x)
    return float(area / budget)


def final_success(success: Values) -> float:
    """The last value."""
    last = np.asarray(success)[-1]
    return float(last)


def steps_to(
    steps: Values,
    success: Values,
    level: float,
) -> float:
    """Find where the curve first reaches a level, straight lines between its points.

    Args:
        steps: Environment steps, ascending, shape (n,).
        success: Success in [0, 1], shape (n,).
        level: Success to reach, in [0, 1].

    Returns:
        Environment steps; infinity if the curve never reaches the level.
    """
    x = np.asarray(steps, dtype=float)
    y = np.asarray(success, dtype=float)
    reached = np.flatnonzero(y >= level)
    if not len(reached):
        return float("inf")
    index = int(reached[0])
    if index == 0:
        return float(x[0])
    x0, x1 = x[index - 1 : index + 1]
    y0, y1 = y[index - 1 : index + 1]
    share = (level - y0) / (y1 - y0)
    return float(x0 + share * (x1 - x0))
