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
    """Torch on one thread: ours and the peers alike."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def alternate(
    first: Callable[[], object], second: Callable[[], object], repeats: int, calls: int = 1
) -> tuple[float, float]:
    """Median time of a call of each, s. They take turns, `calls` at a time, so that what disturbs
    one disturbs both.
    """
    taken = np.array(
        [[_block_s(work, calls) for work in (first, second)] for _ in range(WARM_UP + repeats)]
    )
    medians = np.median(taken[WARM_UP:], axis=0) / calls
    return float(medians[0]), float(medians[1])


def each_call_s(work: Callable[[], object], calls: int) -> NDArray[np.float64]:
    """Times of single calls, (calls,) s."""
    return np.array([_block_s(work, 1) for _ in range(WARM_UP + calls)][WARM_UP:])


def _block_s(work: Callable[[], object], calls: int) -> float:
    began = time.perf_counter()
    for _ in range(calls):
        work()
    return time.perf_counter() - began
