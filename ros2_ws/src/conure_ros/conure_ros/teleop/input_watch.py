"""Whether a person's input is new, and not a repetition of the last one. Pure: times come in."""

import math
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass

from conure_core.errors import StaleInput, UnsafeCommand
from conure_ros.comms.messages import NANOSECONDS
from conure_ros.control.clock_watch import ClockWatch

FUTURE_S = 0.05
"""How far a driver's clock may be ahead, s."""
RELEASED_S = 0.5
"""An input that was silent for so long was released, s; longer if `stale_s` is."""


@dataclass(frozen=True)
class Moment:
    """The present time on both clocks: that of the stamps, ns, and the steady one, s."""

    stamp_ns: int
    steady_s: float


class InputWatch:
    """Age and change of the inputs of one person, from several devices.

    An input is good for `stale_s` after its stamp, and for `stale_s` after it came, on the steady
    clock: if the clock of the stamps stands still, nothing would ever grow old. An input with the
    stamp of the last one is the same input.

    `unchanged_s`: how long an input may move the arm without a change; 0: no limit. A device out of
    range whose driver repeats its last message never changes. The time restarts when the person
    lets go.
    """

    def __init__(self, stale_s: float, unchanged_s: float) -> None:
        self._stale_s, self._unchanged_s = stale_s, unchanged_s
        self._clock = ClockWatch()
        self._stamps: defaultdict[str, int] = defaultdict(int)
        self._held: dict[str, tuple[Hashable, float, float]] = {}
        self.stamp_ns, self._arrived_s = 0, -math.inf
        """The stamp of the newest input; 0 before the first."""

    def is_new(self, source: str, stamp_ns: int, now: Moment) -> bool:
        """Whether this input is newer than all before.

        Args:
            source: Topic of the device.
            stamp_ns: The input's stamp, ns.
            now: Present time.

        Raises:
            UnsafeCommand: It has no stamp, or lies in the future.
            StaleInput: It is older than `stale_s`.
        """
        if not stamp_ns:
            raise UnsafeCommand(
                f"{source} has no stamp, so its age is not known; set the driver to stamp it"
            )
        if self._clock.stepped_back_s(now.stamp_ns):
            self._stamps.clear()
        age_s = (now.stamp_ns - stamp_ns) / NANOSECONDS
        if age_s < -FUTURE_S:
            raise UnsafeCommand(
                f"{source} is stamped {-age_s:.2f} s in the future (limit {FUTURE_S} s);"
                " synchronise the clocks of its driver and of this machine, or give both the same"
                " use_sim_time"
            )
        if stamp_ns <= self._stamps[source]:
            return False
        if age_s > self._stale_s:
            raise StaleInput(
                f"{source} was {age_s:.2f} s old when it came (limit stale_s {self._stale_s:g} s)"
            )
        self._stamps[source] = stamp_ns
        return True

    def take(self, stamp_ns: int, now: Moment) -> None:
        """Take an input as the newest one.

        Args:
            stamp_ns: Its stamp, ns.
            now: Present time.
        """
        self.stamp_ns, self._arrived_s = stamp_ns, now.steady_s

    def require_change(self, source: str, values: Hashable, now_s: float) -> None:
        """Refuse an input that moves the arm and did not change for `unchanged_s`; call it for each
        new one.

        Args:
            source: Topic of the device.
            values: All values of the input.
            now_s: Present time on the steady clock, s.

        Raises:
            UnsafeCommand: It did not change for too long.
        """
        before, since_s, last_s = self._held.get(source, (None, now_s, now_s))
        if values != before or now_s - last_s >= max(RELEASED_S, self._stale_s):
            since_s = now_s
        self._held[source] = (values, since_s, now_s)
        if self._unchanged_s and now_s - since_s > self._unchanged_s:
            raise UnsafeCommand(
                f"{source} moves the arm and has not changed for {now_s - since_s:.1f} s (limit"
                f" unchanged_s {self._unchanged_s:g} s); let go, or move the hand; is the device in"
                " range?"
            )

    def let_go(self, source: str) -> None:
        """Note that the device is released."""
        self._held.pop(source, None)

    def age_s(self, now: Moment) -> float:
        """Age of the newest input, s: the larger one of both clocks."""
        return max((now.stamp_ns - self.stamp_ns) / NANOSECONDS, now.steady_s - self._arrived_s)

    def stale(self, now: Moment) -> bool:
        """Whether the newest input is too old, or lies in the future of a clock that went back."""
        return (
            self.age_s(now) > self._stale_s
            or (self.stamp_ns - now.stamp_ns) / NANOSECONDS > FUTURE_S
        )
