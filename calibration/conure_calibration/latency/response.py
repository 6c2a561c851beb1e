"""What a joint does when it is told something: a delay, then a first-order lag."""

import numpy as np
from scipy.signal import lfilter

from conure_core.types import Array

STEP_S = 0.001


def follow(
    stamps_s: Array,
    command: Array,
    lag_s: float,
    until_s: float,
) -> tuple[Array, Array]:
    """Let a first-order lag follow commands that hold until the next one.

    Args:
        stamps_s: When the commands come, shape (n,), rising.
        command: Shape (n,).
        lag_s: Time constant.
        until_s: Where to end.

    Returns:
        Times (k,), every millisecond, and the response (k,), which begins at rest.
    """
    times = np.arange(stamps_s[0], until_s, STEP_S)
    latest = np.searchsorted(stamps_s, times, side="right") - 1
    held = command[latest]
    decay = np.exp(-STEP_S / max(lag_s, 1e-6))
    # y[k] = decay y[k-1] + (1 - decay) u[k-1]
    numerator = [0.0, 1.0 - decay]
    denominator = [1.0, -decay]
    response, _ = lfilter(numerator, denominator, held, zi=[held[0]])
    return times, np.asarray(response)


def regressed(basis: Array, values: Array) -> Array:
    """Compute what no gain and offset explain.

    Args:
        basis: Shape (n, k).
        values: Shape (n,).

    Returns:
        Values minus their best linear fit in the basis, shape (n,).
    """
    weights = np.linalg.lstsq(basis, values, rcond=None)[0]
    return np.asarray(values - basis @ weights)
