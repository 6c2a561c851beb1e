"""A stop in the driver itself: whoever commands the arm, nothing moves it until a person has reset
the stop.
"""

STEPPED_BACK_NS = 100_000_000


class StopLatch:
    """Latched by a stop, released by nothing but a `reset_stop` that came later.

    Messages of different topics come in any order: a robot_state that was sent before the stop must
    not release it. So it is not enough that control is not stopped; control must have been reset
    after the latch. Times are ns of the ROS clock, of the driver (`now_ns`) and of control
    (stamps); both clocks must agree.

    >>> latch = StopLatch()
    >>> latch.stop("the stop topic", now_ns=100)
    True
    >>> latch.hear(stopped=False, stamp_ns=101, reset_ns=90, now_ns=101), latch.reason
    (False, 'the stop topic')
    >>> latch.hear(stopped=False, stamp_ns=120, reset_ns=110, now_ns=120), latch.reason
    (True, '')
    """

    def __init__(self) -> None:
        self.reason = ""
        """Why nothing may move the arm; empty: commands may."""
        self._since_ns = self._now_ns = 0
        self._heard_ns = self._stale_ns = (
            0  # the last reset that was heard of; the one before the latch
        )

    def stop(self, why: str, now_ns: int) -> bool:
        """Latch; returns whether it was open before. The first reason stays, the time of the last
        stop counts.
        """
        self._mind_the_clock(now_ns)
        new = not self.reason
        self.reason = self.reason or why
        # A reset that was heard of came before this stop, also where control's clock is ahead.
        self._since_ns, self._stale_ns = max(self._since_ns, now_ns), self._heard_ns
        return new

    def hear(
        self, stopped: bool, stamp_ns: int, reset_ns: int, now_ns: int, why: str = "control"
    ) -> bool:
        """A robot_state: its flag, its stamp, its stamp of the last reset. Returns whether it
        latched or released.
        """
        self._mind_the_clock(now_ns)
        if stopped:
            new = not self.reason
            self.reason = self.reason or why
            self._since_ns, self._stale_ns = max(self._since_ns, stamp_ns), reset_ns
        else:
            new = bool(self.reason) and reset_ns > self._since_ns and reset_ns != self._stale_ns
            self.reason = "" if new else self.reason
        self._heard_ns = reset_ns
        return new

    def _mind_the_clock(self, now_ns: int) -> None:
        """After a clock was set back, what it showed before must not lock the arm until it shows
        that again.
        """
        if now_ns < self._now_ns - STEPPED_BACK_NS:
            self._since_ns = min(self._since_ns, now_ns)
        self._now_ns = now_ns
