"""Which joint measurements can be relied on. Pure: samples and times come in, no clock is read."""

from collections import deque

import numpy as np

from conure_core.errors import RobotError, StaleInput, UnsafeCommand
from conure_core.robot.arm import Arm
from conure_core.robot.measured_range import implausible
from conure_core.types import Array
from conure_ros.comms.messages import NANOSECONDS, JointSample

REST_SAMPLES = 5
"""Number of trusted samples in a row, at rest, that anchor control: one wrong sample never does.
"""
REST_RAD = 0.01
"""Largest difference between them."""
REST_STEP_S = 0.008
"""Shortest time between two of them: a fast driver does not prove rest sooner."""
REST_WITHIN_S = 1.0
SPEED_FACTOR = 2.0
"""Factor on the URDF's speed limit: a joint that moved faster was measured wrongly."""
NOISE_RAD = 0.05
GLITCH_S = 0.03
"""Part of a gap with wrong samples in which the arm may have moved."""
FUTURE_S = 0.05
"""How far a stamp may be ahead of this clock."""
FASTEST_RAD_S = 20.0
"""Speed limit where the URDF gives none, or a larger one."""


class Reach:
    """How far the joints of an arm can move in a time.

    >>> Reach(arm).leap(before_rad, after_rad, seconds=0.01)
    "'waist' moved 1.50 rad in 0.010 s, and can move 0.11"
    """

    def __init__(self, arm: Arm) -> None:
        limit = arm.velocity_limit_rad_s
        known = np.isfinite(limit) & (limit > 0.0) & (limit < FASTEST_RAD_S)
        self._fastest_rad_s: Array = SPEED_FACTOR * np.where(known, limit, FASTEST_RAD_S)
        self._names = arm.config.joint_names

    def leap(self, before_rad: Array, after_rad: Array, seconds: float) -> str:
        """Name a joint that cannot have moved so far.

        Args:
            before_rad: Angles that were measured, shape (n,), rad.
            after_rad: Angles measured later, shape (n,), rad.
            seconds: Time between them, s.

        Returns:
            The joint, its motion and its reach; '' if every joint can have moved there.
        """
        moved_rad = np.abs(after_rad - before_rad)
        allowed_rad = self._fastest_rad_s * seconds + NOISE_RAD
        worst = int((moved_rad - allowed_rad).argmax())
        if moved_rad[worst] <= allowed_rad[worst]:
            return ""
        return (
            f"'{self._names[worst]}' moved {moved_rad[worst]:.2f} rad in {seconds:.3f} s, and can"
            f" move {allowed_rad[worst]:.2f}"
        )


class JointWatch:
    """Judge every sample of joint_states: is it plausible, reachable from the one before, and
    recent?

    A sample that the arm cannot have reached is refused. Samples that agree with it are refused
    too: an encoder that slipped stays wrong. They count again after `reset`, which follows a
    person's choice. A sample that agrees with the last good one ends the fault.

    >>> watch = JointWatch(arm, stale_s=0.185)
    >>> watch.take(sample, now_s, now_ns)
    >>> watch.present(now_s).joint_rad
    """

    def __init__(self, arm: Arm, stale_s: float) -> None:
        self._arm, self._stale_s = arm, stale_s
        self._reach = Reach(arm)
        self._trusted: JointSample | None = None
        self._settled = False
        self._trusted_s, self._received_s, self._stamp_ns, self._stamped_s = (
            -np.inf,
            -np.inf,
            -1,
            -np.inf,
        )
        self._row: deque[tuple[float, JointSample]] = deque(maxlen=REST_SAMPLES)
        self.fault = "waiting for joint_states"
        """Why the newest sample cannot be relied on; '' if it can."""

    def reset(self) -> None:
        """Forget all samples. The next ones count if they agree with each other."""
        self._trusted, self._settled = None, False
        self._row.clear()
        self.fault = "waiting for joint_states"

    def settle(self) -> None:
        """Control starts from the newest sample. From now on each sample must be reachable from the
        last one.
        """
        self._settled = True

    def refuse(self, why: str) -> None:
        """Note a message that holds no valid sample, and why."""
        self.fault = why
        self._row.clear()

    def take(self, sample: JointSample, now_s: float, now_ns: int) -> None:
        """Judge one sample, and keep it if it is good.

        Args:
            sample: Joints in the robot's order, rad, and gripper, m, with the driver's stamp, ns.
            now_s: Present time on the steady clock, s.
            now_ns: Present time on the clock of the stamps, ns.

        Raises:
            RobotError: It has no stamp.
            StaleInput: It is older than `stale_s`, or more than FUTURE_S in the future.
            UnsafeCommand: It lies outside the joint limits, or the arm cannot have moved there.
        """
        gap_s, self._received_s = now_s - self._received_s, now_s
        try:
            new = self._require_stamp(sample, now_s, now_ns)
            wrong = implausible(self._arm, sample.joint_rad, sample.gripper_m)
            if wrong:
                raise UnsafeCommand(
                    f"joint_states: {'; '.join(wrong)}; check zero and turns of the joint"
                )
            impossible = self._impossible(sample, now_s, gap_s)
            if impossible and self._settled:
                raise UnsafeCommand(impossible)
        except RobotError as error:
            self.refuse(str(error))
            raise
        # A late or wrong sample, and nothing has started from the last one: start over.
        if impossible:
            self._row.clear()
        self._trusted, self._trusted_s, self.fault = sample, now_s, ""
        if new and (not self._row or now_s - self._row[-1][0] >= REST_STEP_S):
            self._row.append((now_s, sample))

    def _require_stamp(self, sample: JointSample, now_s: float, now_ns: int) -> bool:
        """Whether the stamp differs from the last one. Raises: RobotError, StaleInput."""
        if sample.stamp_ns <= 0:
            raise RobotError(
                "joint_states have no stamp, so their age is not known; set the driver to stamp"
                " them"
            )
        ahead_s = (sample.stamp_ns - now_ns) / NANOSECONDS
        if ahead_s > FUTURE_S:
            raise StaleInput(
                f"joint_states are stamped {ahead_s:.2f} s in the future; set both clocks alike"
            )
        if -ahead_s > self._stale_s:
            raise StaleInput(
                f"joint_states were {-ahead_s:.2f} s old when they came (limit"
                f" {self._stale_s:.2f} s)"
            )
        if sample.stamp_ns == self._stamp_ns:
            return False
        self._stamp_ns, self._stamped_s = sample.stamp_ns, now_s
        return True

    def _impossible(self, sample: JointSample, now_s: float, gap_s: float) -> str:
        """Why the arm cannot have moved there from the last good sample; '' if it can."""
        if self._trusted is None:
            return ""
        seconds = min(now_s - self._trusted_s, gap_s + GLITCH_S)
        leap = self._reach.leap(self._trusted.joint_rad, sample.joint_rad, seconds)
        remedy = "; if this stays, check its encoder, then choose a mode"
        return leap and f"joint_states: {leap}{remedy}"

    def present(self, now_s: float) -> JointSample:
        """The newest sample. Raises: RobotError if it cannot be relied on, StaleInput if it is too
        old.
        """
        if self.fault or self._trusted is None:
            raise RobotError(self.fault or "waiting for joint_states")
        age_s = self.age_s(now_s)
        if age_s > self._stale_s:
            raise StaleInput(f"joint_states are {age_s:.2f} s old (limit {self._stale_s:.2f} s)")
        return self._trusted

    def age_s(self, now_s: float) -> float:
        """Time since a sample with a new stamp came, s. A clock or driver that stands still does
        not reset it.
        """
        return now_s - self._stamped_s

    def at_rest(self, now_s: float) -> JointSample:
        """The newest sample, if REST_SAMPLES in a row show an arm at rest. Raises: RobotError,
        StaleInput.
        """
        newest = self.present(now_s)
        recent = np.array(
            [sample.joint_rad for taken_s, sample in self._row if now_s - taken_s <= REST_WITHIN_S]
        )
        if len(recent) < REST_SAMPLES:
            raise RobotError(
                f"waiting for {REST_SAMPLES} joint_states in a row, {len(recent)} came"
            )
        apart_rad = recent.max(axis=0) - recent.min(axis=0)
        worst = int(apart_rad.argmax())
        if apart_rad[worst] > REST_RAD:
            name = self._arm.config.joint_names[worst]
            raise RobotError(
                f"waiting for the arm to rest: '{name}' moves, {apart_rad[worst]:.3f} rad in the"
                " last samples"
            )
        return newest
