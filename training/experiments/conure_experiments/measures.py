"""What a learning curve says: its area, where it ends, when it gets somewhere. Success lies in [0,
1].
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TRAINING_WINDOW = 50


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
        columns = (
            [point.get(name, np.nan) for point in points]
            for name in ("steps", "success", "seconds")
        )
        steps, success, seconds = (np.array(list(column), dtype=float) for column in columns)
        first = np.unique(steps, return_index=True)[
            1
        ]  # one evaluation may stand for several that were due
        return Curve(steps[first], success[first], seconds[first], True)
    steps, outcomes = (
        np.array(result["curve"][name], dtype=float) for name in ("steps", "success")
    )
    ends = np.arange(1, len(outcomes) + 1)
    starts = np.maximum(0, ends - TRAINING_WINDOW)
    sums = np.concatenate([[0.0], np.cumsum(outcomes)])
    return Curve(
        steps, (sums[ends] - sums[starts]) / (ends - starts), np.full(len(steps), np.nan), False
    )


def area_under_curve(
    steps: Sequence[float] | NDArray, success: Sequence[float] | NDArray, budget: float
) -> float:
    """Mean success over [0, budget] steps, in [0, 1]: trapezoids, the first and the last value held
    to the ends.
    """
    x, y = np.asarray(steps, dtype=float), np.asarray(success, dtype=float)
    inside = (x > 0) & (x < budget)
    ends = np.interp([0.0, budget], x, y)
    x, y = (
        np.concatenate([[0.0], x[inside], [budget]]),
        np.concatenate([ends[:1], y[inside], ends[1:]]),
    )
    return float(np.trapezoid(y, x) / budget)


def final_success(success: Sequence[float] | NDArray) -> float:
    """The last value."""
    return float(np.asarray(success)[-1])


def steps_to(
    steps: Sequence[float] | NDArray, success: Sequence[float] | NDArray, level: float
) -> float:
    """Where the curve first reaches `level`, straight lines between its points; infinite if it
    never does.
    """
    x, y = np.asarray(steps, dtype=float), np.asarray(success, dtype=float)
    reached = np.flatnonzero(y >= level)
    if not len(reached):
        return float("inf")
    index = int(reached[0])
    if index == 0:
        return float(x[0])
    share = (level - y[index - 1]) / (y[index] - y[index - 1])
    return float(x[index - 1] + share * (x[index] - x[index - 1]))
