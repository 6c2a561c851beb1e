"""Variances from fits that lack one part of the data each."""

import numpy as np

from conure_core.types import Array


def jackknife_variance(parts: Array) -> Array:
    """Compute the variance of estimates by the delete-a-group jackknife.

    Args:
        parts: Estimates, each without one of n parts of the data, shape (n, ...).

    Returns:
        Shape (...).

    Source: Efron & Stein, Annals of Statistics 9(3), 1981.
    """
    count = len(parts)
    squares = (parts - parts.mean(axis=0)) ** 2
    return np.asarray((count - 1) / count * squares.sum(axis=0))
