"""Which measurements of an armed arm its driver may act on. Pure: times come in."""

import math

from conure_core.robot.arm import Arm
from conure_core.types import Array
from conure_ros.control.joint_watch import GLITCH_S, Reach


class LeapWatch:
    """Refuse readings that the joints cannot have moved to. The last good one counts meanwhile.

    As in control: readings that agree with a refused one are refused too, since an encoder that
    slipped stays wrong.

    >>> watch = LeapWatch(arm)
    >>> watch.begin(joint_rad, now_s)
    >>> watch.take(joint_rad, now_s + 0.01)
    ''
    """

    def __init__(self, arm: Arm) -> None:
        self._reach = Reach(arm)
        self._trusted_rad: Array | None = None
        self._trusted_s = self._read_s = -math.inf

    def begin(self, joint_rad: Array, now_s: float) -> None:
        """Trust a reading whatever came before.

        Args:
            joint_rad: Measured angles, shape (n,), rad.
            now_s: Present time on the steady clock, s.
        """
        self._trusted_rad, self._trusted_s, self._read_s = joint_rad, now_s, now_s

    def take(self, joint_rad: Array, now_s: float) -> str:
        """Judge a reading.

        Args:
            joint_rad: Measured angles, shape (n,), rad.
            now_s: Present time on the steady clock, s.

        Returns:
            Why it cannot be true; '' if it can, and it is the trusted one then.
        """
        now_s = max(now_s, self._read_s)  # a cycle that waited for a request began before it
        gap_s, self._read_s = now_s - self._read_s, now_s
        if self._trusted_rad is not None:
            seconds = min(now_s - self._trusted_s, gap_s + GLITCH_S)
            leap = self._reach.leap(self._trusted_rad, joint_rad, seconds)
            if leap:
                return leap
        self._trusted_rad, self._trusted_s = joint_rad, now_s
        return ""

    def refused_s(self, now_s: float) -> float:
        """How long readings have been refused, s."""
        return now_s - self._trusted_s
