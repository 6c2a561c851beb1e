"""Torch's threads: one for every core that other processes leave free."""

import math
import os
import time
from dataclasses import dataclass
from typing import Self

import psutil
import torch

FIRST_LOOK_S = 0.3
LOOK_EVERY_S = 5.0
TOLERATED = 0.2
"""Load by others, in cores, that does not count yet: no desktop is ever idle."""


@dataclass(frozen=True)
class Reading:
    """Processor time, in seconds since the machine or the process started."""

    at_s: float
    """Monotonic time of the reading."""

    busy_s: float
    """Busy time of all cores together, over all processes."""

    own_s: float
    """The part of it that this process used."""

    @classmethod
    def now(cls) -> Self:
        every = psutil.cpu_times()
        own = psutil.Process().cpu_times()
        busy_s = every.user + every.nice + every.system + every.irq + every.softirq
        return cls(time.monotonic(), busy_s, own.user + own.system)


def free_cores(before: Reading, after: Reading, cores: int) -> int:
    """Count the cores that other processes left free between two readings.

    Args:
        before: The earlier reading.
        after: The later reading.
        cores: Cores of the machine.

    Returns:
        A number in 1..cores.
    """
    elapsed_s = after.at_s - before.at_s
    busy_s = after.busy_s - before.busy_s
    own_s = after.own_s - before.own_s
    others = (busy_s - own_s) / elapsed_s
    return max(1, cores - math.ceil(max(0.0, others - TOLERATED)))


class FreeCores:
    """Inside, torch computes on every core that is free and allowed; afterwards as before.

    A thread on a core that is not free makes every product wait for the scheduler, and training
    takes up to ten times as long as on one core. Sums over more threads round differently, in the
    last bit.

    Example:
        with FreeCores() as cores:
            for _ in range(steps):
                train()
                cores.look()
    """

    def __enter__(self) -> Self:
        self._threads_before = torch.get_num_threads()
        self._last = Reading.now()
        time.sleep(FIRST_LOOK_S)
        self._adapt()
        return self

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._threads_before)

    def look(self) -> None:
        """Adapt to the other processes' present load, at most once in LOOK_EVERY_S seconds."""
        if time.monotonic() - self._last.at_s > LOOK_EVERY_S:
            self._adapt()

    def _adapt(self) -> None:
        reading = Reading.now()
        allowed = len(os.sched_getaffinity(0))
        free = free_cores(self._last, reading, os.cpu_count() or 1)
        torch.set_num_threads(min(allowed, free))
        self._last = reading
