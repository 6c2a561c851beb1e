"""How many cores torch uses."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def use_threads() -> Iterator[None]:
    """Let torch use every core for a while, as training alone may; elsewhere one thread is faster."""
    before = torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
