"""Timing for `conure bench training`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

WARM_UP = 3


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch computes on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def alternate(
    first: Callable[[], object], second: Callable[[], object], repeats: int, calls: int = 1
) -> tuple[float, float]:
    """Time two functions in turns, so that a disturbance affects both.

    Args:
        first: One function.
        second: The other one.
        repeats: Timings that the median is of, after a warm-up.
        calls: Calls in a row in each timing.

    Returns:
        Median seconds a call of each.
    """
    first_s = []
    second_s = []
    for _ in range(WARM_UP + repeats):
        first_s.append(_block_s(first, calls))
        second_s.append(_block_s(second, calls))
    taken = np.array([first_s, second_s])
    medians = np.median(taken[:, WARM_UP:], axis=1) / calls
    return float(medians[0]), float(medians[1])


def each_call_s(work: Callable[[], object], calls: int) -> NDArray[np.float64]:
    """Time single calls, after a warm-up.

    Args:
        work: The function.
        calls: How many calls.

    Returns:
        Seconds, shape (calls,).
    """
    taken = [_block_s(work, 1) for _ in range(WARM_UP + calls)]
    return np.array(taken[WARM_UP:])


def _block_s(work: Callable[[], object], calls: int) -> float:
    start_s = time.perf_counter()
    for _ in range(calls):
        work()
    return time.perf_counter() - start_s
