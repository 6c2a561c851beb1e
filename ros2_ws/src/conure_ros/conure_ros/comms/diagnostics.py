"""Rates, durations and drops of a node, published on /diagnostics once a second."""

import threading
import time
from collections import deque
from collections.abc import Mapping

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

WINDOW = 600


class Tally:
    """Durations of the last `WINDOW` ticks, and a count of each kind of drop. One thread adds,
    another reads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._durations_s: deque[float] = deque(maxlen=WINDOW)
        self._ticks: deque[float] = deque(maxlen=WINDOW)
        self._drops: dict[str, int] = {}
        self.worst_s = 0.0

    def add(self, duration_s: float) -> None:
        with self._lock:
            self._durations_s.append(duration_s)
            self._ticks.append(time.monotonic())
            self.worst_s = max(self.worst_s, duration_s)

    def drop(self, why: str) -> None:
        with self._lock:
            self._drops[why] = self._drops.get(why, 0) + 1

    def values(self) -> dict[str, str]:
        """rate_hz over the last five seconds, p50_ms and p99_ms of the window, worst_ms since the
        start, and all drop counts.
        """
        with self._lock:
            recent = sum(tick > time.monotonic() - 5.0 for tick in self._ticks)
            durations, drops = np.array(self._durations_s), dict(self._drops)
        p50, p99 = np.percentile(durations, [50, 99]) * 1e3 if durations.size else (0.0, 0.0)
        figures = {
            "rate_hz": recent / 5.0,
            "p50_ms": p50,
            "p99_ms": p99,
            "worst_ms": self.worst_s * 1e3,
        }
        texts = {name: f"{value:.3f}" for name, value in figures.items()}
        return {**texts, **{f"dropped: {why}": str(count) for why, count in drops.items()}}


def diagnostics(stamp: object, name: str, fault: str, values: Mapping[str, str]) -> DiagnosticArray:
    """Build one status: OK, or a warning with the fault.

    Args:
        stamp: The message's time, builtin_interfaces/Time.
        name: Name of the status, "node: subject".
        fault: What is wrong, for a person; '' if nothing.
        values: Further values by name.
    """
    level = DiagnosticStatus.WARN if fault else DiagnosticStatus.OK
    status = DiagnosticStatus(name=name, level=level, message=fault or "ok")
    status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message
