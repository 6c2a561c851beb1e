"""Two clocks, and the detection of one that was set back. Pure."""

from typing import Protocol

TOLERANCE_NS = 20_000_000


class Clock(Protocol):
    """Two times: a steady one, and the one of the stamps."""

    def steady_s(self) -> float: ...
    def now_ns(self) -> int: ...


class ClockWatch:
    """Detect backward steps of a clock. After one, older stamps lie in the future for as long as
    the step.

    >>> watch = ClockWatch()
    >>> watch.stepped_back_s(7_000_000_000), watch.stepped_back_s(2_000_000_000)
    (0.0, 5.0)
    """

    def __init__(self) -> None:
        self._latest_ns: int | None = None

    def stepped_back_s(self, now_ns: int) -> float:
        """How far the clock went back since the last call, s; 0 if it did not."""
        before_ns, self._latest_ns = self._latest_ns, now_ns
        back_ns = 0 if before_ns is None else before_ns - now_ns
        return back_ns / 1e9 if back_ns > TOLERANCE_NS else 0.0
