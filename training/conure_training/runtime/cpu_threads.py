"""How many cores torch uses: those that other processes leave free."""

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
"""Of a core, that others may use before it counts as theirs: no desktop is ever still."""


@dataclass(frozen=True)
class Reading:
    """Seconds that all cores together have been busy, in all and with this process, and when that
    was read.
    """

    at_s: float
    busy_s: float
    own_s: float

    @classmethod
    def now(cls) -> Self:
        every, own = psutil.cpu_times(), psutil.Process().cpu_times()
        busy_s = every.user + every.nice + every.system + every.irq + every.softirq
        return cls(time.monotonic(), busy_s, own.user + own.system)


def free_cores(before: Reading, after: Reading, cores: int) -> int:
    """Of so many cores, those that other processes left free between the readings; at least one."""
    others = (after.busy_s - before.busy_s - (after.own_s - before.own_s)) / (
        after.at_s - before.at_s
    )
    return max(1, cores - math.ceil(max(0.0, others - TOLERATED)))


class FreeCores:
    """Inside, torch computes on every core that others leave free, if this process may use it;
    afterwards as before.

    With a thread on a core that is not free, each product waits for the scheduler, and training
    takes up to ten times as long as on one core. Sums over more threads round differently, in the
    last bit.

    Example:
        with FreeCores() as cores:
            for _ in range(steps):
                train()
                cores.look()
    """

    def __enter__(self) -> Self:
        self._threads_before, self._last = torch.get_num_threads(), Reading.now()
        time.sleep(FIRST_LOOK_S)
        self._adapt()
        return self

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._threads_before)

    def look(self) -> None:
        """Adapt to what others do now, unless it was looked at a moment ago."""
        if time.monotonic() - self._last.at_s > LOOK_EVERY_S:
            self._adapt()

    def _adapt(self) -> None:
        reading, allowed = Reading.now(), len(os.sched_getaffinity(0))
        torch.set_num_threads(min(allowed, free_cores(self._last, reading, os.cpu_count() or 1)))
        self._last = reading
