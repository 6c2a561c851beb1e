"""Whether a person's input is one of now, and not the last one again. Pure: stamps and steady
seconds come in.
"""

import math
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass

from conure_core.errors import StaleInput, UnsafeCommand
from conure_ros.comms.messages import NANOSECONDS
from conure_ros.control.clock_watch import ClockWatch

FUTURE_S = 0.05
"""How far a driver's clock may be ahead."""
RELEASED_S = 0.5
"""An input that was silent for so long was let go."""


@dataclass(frozen=True)
class Moment:
    """Now, on both clocks: that of the stamps, ns, and a steady one, s."""

    stamp_ns: int
    steady_s: float


class InputWatch:
    """Age and change of the inputs of one hand, from several devices.

    An input is good for `stale_s` after it was made, by its stamp, and for `stale_s` after it came,
    by a steady clock: where the clock of the stamps stands still, nothing would ever grow old. One
    with the stamp of the last is that one.

    `unchanged_s`: how long an input that moves the arm may do so without any change, as a device
    that is out of range and whose driver says its last message again and again has none; 0: for
    ever. A hand that lets go begins anew.
    """

    def __init__(self, stale_s: float, unchanged_s: float) -> None:
        self._stale_s, self._unchanged_s = stale_s, unchanged_s
        self._clock = ClockWatch()
        self._stamps: defaultdict[str, int] = defaultdict(int)
        self._held: dict[str, tuple[Hashable, float, float]] = {}
        self.stamp_ns, self._arrived_s = 0, -math.inf
        """The stamp of the newest input; 0 before the first."""

    def is_new(self, source: str, stamp_ns: int, now: Moment) -> bool:
        """Whether this input was not seen before.

        Raises: UnsafeCommand for one whose time is not known or to come, StaleInput for one that is
        long past.
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
        """The newest input is this one, and comes now."""
        self.stamp_ns, self._arrived_s = stamp_ns, now.steady_s

    def expect_change(self, source: str, values: Hashable, now_s: float) -> None:
        """To be called with each new input that moves the arm. Raises: UnsafeCommand if it did not
        change for long.
        """
        before, since_s, last_s = self._held.get(source, (None, now_s, now_s))
        if values != before or now_s - last_s >= RELEASED_S:
            since_s = now_s
        self._held[source] = (values, since_s, now_s)
        if self._unchanged_s and now_s - since_s > self._unchanged_s:
            raise UnsafeCommand(
                f"{source} moves the arm and has not changed for {now_s - since_s:.1f} s (limit"
                f" unchanged_s {self._unchanged_s:g} s); let go, or move the hand; is the device in"
                " range?"
            )

    def let_go(self, source: str) -> None:
        """The hand rests."""
        self._held.pop(source, None)

    def age_s(self, now: Moment) -> float:
        """Of the newest input, on whichever clock it is older."""
        return max((now.stamp_ns - self.stamp_ns) / NANOSECONDS, now.steady_s - self._arrived_s)

    def stale(self, now: Moment) -> bool:
        """Whether the newest input is silence by now, or lies in the future of a clock that went
        back.
        """
        return (
            self.age_s(now) > self._stale_s
            or (self.stamp_ns - now.stamp_ns) / NANOSECONDS > FUTURE_S
        )
