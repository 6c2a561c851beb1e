"""Rates, durations and drops of a node, published on /diagnostics once a second."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType

from conure_ros.comms.messages import key_values
from conure_ros.comms.qos import STREAM

WINDOW = 600
PERIOD_S = 1.0
NO_HARDWARE = "none"
"""What diagnostic_updater calls it, too."""


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


def diagnostics(
    node: Any, subject: str, hardware_id: str, fault: str, values: Mapping[str, str]
) -> DiagnosticArray:
    """Build one status: OK, or a warning with the fault. Source: REP 107.

    Args:
        node: The node that reports.
        subject: What of the node it is about.
        hardware_id: The device, robot or file that the node handles; 'none' without one.
        fault: What is wrong, for a person; '' if nothing.
        values: Further values by name.
    """
    level = DiagnosticStatus.WARN if fault else DiagnosticStatus.OK
    status = DiagnosticStatus(
        name=status_name(node, subject),
        level=level,
        message=fault or "ok",
        hardware_id=hardware_id or NO_HARDWARE,
    )
    status.values = key_values(values)
    message = DiagnosticArray(status=[status])
    message.header.stamp = node.get_clock().now().to_msg()
    return message


def status_name(node: Any, subject: str) -> str:
    """Name of a status: unique in the domain, as `left/control: mode` in the namespace `left`.

    Args:
        node: The node that reports.
        subject: What of the node it is about.
    """
    return f"{node.get_fully_qualified_name().lstrip('/')}: {subject}"


class Reporter:
    """Publishes a node's status on /diagnostics once a second.

    It ends with the node's other entities, where the node is a lifecycle node.
    """

    def __init__(
        self,
        node: Any,
        subject: str,
        hardware_id: str,
        look: Callable[[], tuple[str, Mapping[str, str]]],
    ) -> None:
        """Begin to report.

        Args:
            node: The node.
            subject: What of the node the status is about.
            hardware_id: See `diagnostics`.
            look: Returns the present fault, '' if nothing is wrong, and values by name.
        """
        self._node, self._look = node, look
        self._words = (subject, hardware_id)
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", STREAM)
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        timer = node.create_timer(PERIOD_S, self.report, clock=clock)
        register = getattr(node, "destroy_at_cleanup", None)
        if register is not None:
            register(node.destroy_publisher, self._publisher)
            register(node.destroy_timer, timer)

    def report(self) -> None:
        """Publish the present status."""
        self._publisher.publish(diagnostics(self._node, *self._words, *self._look()))
