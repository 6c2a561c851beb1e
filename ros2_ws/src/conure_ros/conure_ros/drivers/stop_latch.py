"""A stop inside the driver: nothing moves the arm, whoever commands it, until a person resets the
stop.
"""

STEPPED_BACK_NS = 100_000_000


class StopLatch:
    """Latched by a stop, released only by a later `reset_stop`.

    Messages of different topics come in any order: a robot_state sent before the stop must not
    release it. So control being not stopped is not enough; it must have been reset after the latch.
    Times are ns of the ROS clock, of the driver (`now_ns`) and of control (stamps); both clocks
    must agree.

    >>> latch = StopLatch()
    >>> latch.stop("the stop topic", now_ns=100)
    True
    >>> latch.take_state(stopped=False, stamp_ns=101, reset_ns=90, now_ns=101), latch.reason
    (False, 'the stop topic')
    >>> latch.take_state(stopped=False, stamp_ns=120, reset_ns=110, now_ns=120), latch.reason
    (True, '')
    """

    def __init__(self) -> None:
        self.reason = ""
        """Why nothing may move the arm; '': commands may."""
        self._since_ns = self._now_ns = 0
        self._newest_reset_ns = self._stale_ns = 0  # the last known reset; the one before the latch

    def stop(self, why: str, now_ns: int) -> bool:
        """Latch a stop. The first reason stays; the time of the last stop counts.

        Args:
            why: Reason to show.
            now_ns: Present time on the driver's ROS clock, ns.

        Returns:
            Whether the latch was open before.
        """
        self._follow_clock(now_ns)
        new = not self.reason
        self.reason = self.reason or why
        # Any known reset came before this stop, even if control's clock is ahead.
        self._since_ns, self._stale_ns = max(self._since_ns, now_ns), self._newest_reset_ns
        return new

    def take_state(
        self, stopped: bool, stamp_ns: int, reset_ns: int, now_ns: int, why: str = "control"
    ) -> bool:
        """Take a robot_state of control: latch with it, or release if it was reset after the latch.

        Args:
            stopped: Whether control is stopped.
            stamp_ns: Stamp of the state, ns.
            reset_ns: Stamp of control's last reset_stop, ns; 0 for none.
            now_ns: Present time on the driver's ROS clock, ns.
            why: Reason to show if it latches.

        Returns:
            Whether the latch changed.
        """
        self._follow_clock(now_ns)
        if stopped:
            new = not self.reason
            self.reason = self.reason or why
            # A state from before the clock was set back lies in the future.
            stamp_ns = min(stamp_ns, now_ns + STEPPED_BACK_NS)
            self._since_ns, self._stale_ns = max(self._since_ns, stamp_ns), reset_ns
        else:
            new = bool(self.reason) and reset_ns > self._since_ns and reset_ns != self._stale_ns
            self.reason = "" if new else self.reason
        self._newest_reset_ns = reset_ns
        return new

    def _follow_clock(self, now_ns: int) -> None:
        """If the clock was set back, times from before must not lock the arm until the clock
        reaches them again.
        """
        if now_ns < self._now_ns - STEPPED_BACK_NS:
            self._since_ns = min(self._since_ns, now_ns)
        self._now_ns = now_ns
