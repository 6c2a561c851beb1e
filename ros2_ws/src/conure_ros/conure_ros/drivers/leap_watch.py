"""Which measurements of an armed arm its driver may act on. Pure: times come in."""

import math

import numpy as np

from conure_core.robot.arm import Arm
from conure_core.types import Array
from conure_ros.control.joint_watch import GLITCH_S, NOISE_RAD, Reach


class LeapWatch:
    """Refuse readings that the joints cannot have moved to. The last good one counts meanwhile.

    Readings that agree with each other for `agreed_s` count again: a hand or a new scene put the
    arm there, or an encoder slipped. Control judges them by itself, and moves nothing from there
    until a person chooses a mode.

    >>> watch = LeapWatch(arm, agreed_s=0.25)
    >>> watch.begin(joint_rad, now_s)
    >>> watch.take(joint_rad, now_s + 0.01)
    ''
    """

    def __init__(self, arm: Arm, agreed_s: float) -> None:
        """Trust nothing yet.

        Args:
            arm: The arm, for the speeds of its joints.
            agreed_s: Time of agreeing readings after which they count, s.
        """
        self._reach, self._agreed_s = Reach(arm), agreed_s
        self._trusted_rad: Array | None = None
        self._refused_rad: Array | None = None
        self._trusted_s = self._read_s = self._refused_s = -math.inf

    def begin(self, joint_rad: Array, now_s: float) -> None:
        """Trust a reading whatever came before.

        Args:
            joint_rad: Measured angles, shape (n,), rad.
            now_s: Present time on the steady clock, s.
        """
        self._trusted_rad, self._trusted_s, self._read_s = joint_rad, now_s, now_s
        self._refused_rad = None

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
            if leap and not self._is_agreed(joint_rad, now_s):
                return leap
        self.begin(joint_rad, now_s)
        return ""

    def _is_agreed(self, joint_rad: Array, now_s: float) -> bool:
        before_rad, self._refused_rad = self._refused_rad, joint_rad
        if before_rad is None or float(np.abs(joint_rad - before_rad).max()) > NOISE_RAD:
            self._refused_s = now_s
        return now_s - self._refused_s > self._agreed_s
