"""Observations as an array of rows, or as several arrays by name, such as an image beside a state.

An observation is one or the other all through a run; these functions take both.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

Rows = Any
"""An array or a tensor, one row an observation; or a mapping of names to such."""


def each(function: Callable[..., Any], *observations: Rows) -> Rows:
    """Apply a function to the arrays of the same name.

    Args:
        function: Takes one array of each observation.
        *observations: All named alike, or all arrays.

    Returns:
        What the function gives, by name if the observations are named.
    """
    first = observations[0]
    if isinstance(first, Mapping):
        return {name: function(*(item[name] for item in observations)) for name in first}
    return function(*observations)


def take(observation: Rows, index: Any) -> Rows:
    """Take rows.

    Args:
        observation: n rows.
        index: A number, a slice, an index or a mask.

    Returns:
        The rows; for a number the row itself.
    """
    return each(lambda rows: rows[index], observation)


def stack(observations: Sequence[Rows]) -> Rows:
    """Make single observations, numpy's, into rows."""
    return each(lambda *rows: np.stack(rows), *observations)


def join(observations: Sequence[Rows]) -> Rows:
    """Put rows, numpy's, end to end."""
    return each(lambda *rows: np.concatenate(rows), *observations)


def as_tensors(observation: Rows) -> Rows:
    """The same memory as tensors."""
    return each(torch.from_numpy, observation)


def as_arrays(observation: Rows) -> Rows:
    """The same memory as numpy's arrays."""
    return each(lambda rows: rows.numpy(), observation)


def count_rows(observation: Rows) -> int:
    """How many there are."""
    rows = next(iter(observation.values())) if isinstance(observation, Mapping) else observation
    return len(rows)
