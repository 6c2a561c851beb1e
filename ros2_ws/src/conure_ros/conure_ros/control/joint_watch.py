"""Which joint measurements can be relied on. Pure: samples and times come in, no clock is read."""

import math
from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import RobotError, StaleInput, UnsafeCommand
from conure_core.robot.arm import Arm
from conure_core.robot.description import RobotConfig
from conure_core.robot.measured_range import implausible
from conure_core.types import Array
from conure_ros.comms.messages import NANOSECONDS, JointPart, JointSample

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


WAITING = "waiting for joint_states"
NO_STAMP = "joint_states have no stamp, so their age is not known; set the driver to stamp them"
FOREIGN_NAMES = 12
"""Names of joints that are not the arm's, in a message for a person."""


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

    def leap(self, before_rad: Array, after_rad: Array, seconds: float | Array) -> str:
        """Name a joint that cannot have moved so far.

        Args:
            before_rad: Angles that were measured, shape (n,), rad.
            after_rad: Angles measured later, shape (n,), rad.
            seconds: Time between them, s; for each joint, shape (n,), or the same for all.

        Returns:
            The joint, its motion and its reach; '' if every joint can have moved there.
        """
        moved_rad = np.abs(after_rad - before_rad)
        times_s = np.broadcast_to(seconds, moved_rad.shape)
        allowed_rad = self._fastest_rad_s * times_s + NOISE_RAD
        worst = int((moved_rad - allowed_rad).argmax())
        if moved_rad[worst] <= allowed_rad[worst]:
            return ""
        return (
            f"'{self._names[worst]}' moved {moved_rad[worst]:.2f} rad in {times_s[worst]:.3f} s,"
            f" and can move {allowed_rad[worst]:.2f}"
        )


class JointWatch:
    """Judge every message of joint_states: is it plausible, reachable from the one before, and
    recent?

    Arm and gripper may come in messages apart, from one driver or several. Each joint has its own
    stamp, age and fault: a good message of one part neither renews another part nor ends its fault.
    The pose counts when every joint does, and is as old as its oldest joint.

    A measurement that the arm cannot have reached is refused. Those that agree with it are refused
    too: an encoder that slipped stays wrong. They count again after `reset`, which follows a
    person's choice. One that agrees with the last good one ends the fault.

    >>> watch = JointWatch(arm, stale_s=0.185)
    >>> watch.take(part, now_s, now_ns)
    >>> watch.present(now_s).joint_rad
    """

    def __init__(self, arm: Arm, stale_s: float) -> None:
        self._arm, self._stale_s = arm, stale_s
        self._reach = Reach(arm)
        self._names = arm.config.command_names
        self._home = np.array([*arm.config.home_rad, arm.config.gripper_open_m])
        count = len(self._names)
        self._settled = False
        self._trusted = np.full(count, np.nan)
        self._trusted_s = np.full(count, -np.inf)
        self._received_s = np.full(count, -np.inf)
        self._stamp_ns = np.full(count, -1, dtype=np.int64)
        self._stamped_s = np.full(count, -np.inf)
        self._faults = [WAITING] * count
        self._together: list[frozenset[int]] = [frozenset()] * count
        """The joints of the last message that had this one."""
        self._renewed = np.zeros(count, dtype=bool)
        """Measured anew since the last entry in the row."""
        self._row: deque[tuple[float, Array]] = deque(maxlen=REST_SAMPLES)
        self._foreign: tuple[str, ...] = ()

    @property
    def fault(self) -> str:
        """Why the newest measurements cannot be relied on; '' if they can."""
        waiting = [place for place, why in enumerate(self._faults) if why == WAITING]
        wrong = next((why for why in self._faults if why and why != WAITING), "")
        if wrong or not waiting:
            return wrong
        if len(waiting) == len(self._names):
            heard = ", ".join(self._foreign[:FOREIGN_NAMES])
            return f"{WAITING} of {self._named(waiting)}; they have: {heard}" if heard else WAITING
        return self._lacks(waiting, np.setdiff1d(np.arange(len(self._names)), waiting))

    def _named(self, places: Iterable[int]) -> str:
        return ", ".join(f"'{self._names[place]}'" for place in places)

    def _lacks(self, missing: Iterable[int], found: Iterable[int]) -> str:
        names = [self._names[place] for place in found]
        heard = ", ".join([*names, *self._foreign[:FOREIGN_NAMES]])
        return f"joint_states lacks {self._named(missing)}; it has: {heard}"

    def reset(self) -> None:
        """Forget all measurements. The next ones count if they agree with each other."""
        self._settled = False
        self._faults = [WAITING] * len(self._names)
        self._clear_row()

    def settle(self) -> None:
        """Control starts from the newest pose. From now on each measurement must be reachable from
        the last one.
        """
        self._settled = True

    def ignore(self, names: Sequence[str]) -> None:
        """Note the joints of a message that has none of the arm's; it changes nothing."""
        self._foreign = tuple(names)

    def refuse(self, why: str, index: NDArray[np.intp] | None = None) -> None:
        """Refuse what a message said of some joints.

        Args:
            why: The reason, for a person.
            index: The joints' places in `command_names`, shape (k,); None: all.
        """
        for place in range(len(self._names)) if index is None else index:
            self._faults[place] = why
        self._clear_row()

    def _clear_row(self) -> None:
        self._row.clear()
        self._renewed[:] = False

    def take(self, part: JointPart, now_s: float, now_ns: int) -> None:
        """Judge what one message measured, and keep it if it is good.

        Args:
            part: Some joints, or all, with the driver's stamp.
            now_s: Present time on the steady clock, s.
            now_ns: Present time on the clock of the stamps, ns.

        Raises:
            RobotError: It has no stamp, or lacks a joint that came with the others before.
            StaleInput: It is older than `stale_s`, or more than FUTURE_S in the future.
            UnsafeCommand: It lies outside the joint limits, or the arm cannot have moved there.
        """
        index = part.index
        gap_s = now_s - self._received_s
        self._received_s[index] = now_s
        pose = self._trusted.copy()
        pose[index] = part.positions
        try:
            new = self._require_stamp(part, now_s, now_ns)
            self._require_plausible(part)
            impossible = self._impossible(pose, index, now_s, gap_s)
            if impossible and self._settled:
                raise UnsafeCommand(impossible)
        except RobotError as error:
            self.refuse(str(error), index)
            raise
        # A late or wrong sample, and nothing has started from the last one: start over.
        if impossible:
            self._clear_row()
        self._trusted, self._trusted_s[index] = pose, now_s
        for place in index:
            self._faults[place] = ""
        self._require_company(index)
        self._add_to_row(index, new, now_s)

    def _add_to_row(self, index: NDArray[np.intp], new: bool, now_s: float) -> None:
        """Add the pose to the row when every joint was measured anew."""
        self._renewed[index] |= new
        soon = bool(self._row) and now_s - self._row[-1][0] < REST_STEP_S
        if new and self._renewed.all() and not soon:
            self._row.append((now_s, self._trusted[:-1].copy()))
            self._renewed[:] = False

    def _require_stamp(self, part: JointPart, now_s: float, now_ns: int) -> bool:
        """Whether the stamp differs from the last one. Raises: RobotError, StaleInput."""
        if part.stamp_ns <= 0:
            raise RobotError(NO_STAMP)
        ahead_s = (part.stamp_ns - now_ns) / NANOSECONDS
        if ahead_s > FUTURE_S:
            raise StaleInput(
                f"joint_states are stamped {ahead_s:.2f} s in the future; set both clocks alike"
            )
        if -ahead_s > self._stale_s:
            raise StaleInput(
                f"joint_states were {-ahead_s:.2f} s old when they came (limit"
                f" {self._stale_s:.2f} s)"
            )
        if (self._stamp_ns[part.index] == part.stamp_ns).any():
            return False
        self._stamp_ns[part.index], self._stamped_s[part.index] = part.stamp_ns, now_s
        return True

    def _require_plausible(self, part: JointPart) -> None:
        """Raises: UnsafeCommand naming the joints that lie outside their limits."""
        pose = self._home.copy()  # within every limit
        pose[part.index] = part.positions
        wrong = implausible(self._arm, pose[:-1], float(pose[-1]))
        if wrong:
            raise UnsafeCommand(
                f"joint_states: {'; '.join(wrong)}; check zero and turns of the joint"
            )

    def _require_company(self, index: NDArray[np.intp]) -> None:
        """Raises: RobotError if joints are missing that came in one message with these before."""
        together = frozenset(index.tolist())
        expected = frozenset[int]().union(*(self._together[place] for place in index))
        for place in index:
            self._together[place] = together
        missing = sorted(expected - together)
        if missing:
            why = self._lacks(missing, index)
            self.refuse(why, np.array(missing))
            for place in missing:
                self._together[place] = frozenset()
            raise RobotError(why)

    def _impossible(self, pose: Array, index: NDArray[np.intp], now_s: float, gap_s: Array) -> str:
        """Why the arm cannot have moved there from the last good pose; '' if it can.

        Args:
            pose: Where the joints are, shape (n + 1,), rad and m; NaN where not measured.
            index: Which of them the message has, shape (k,).
            now_s: Present time on the steady clock, s.
            gap_s: Time since the last message of each joint, shape (n + 1,), s.
        """
        judged = np.zeros(len(pose), dtype=bool)
        judged[index] = np.isfinite(self._trusted[index])
        before_rad = np.where(judged, self._trusted, 0.0)[:-1]
        after_rad = np.where(judged, pose, 0.0)[:-1]
        seconds = np.minimum(now_s - self._trusted_s, gap_s + GLITCH_S)[:-1]
        leap = self._reach.leap(before_rad, after_rad, np.where(judged[:-1], seconds, 0.0))
        remedy = "; if this stays, check its encoder, then choose a mode"
        return leap and f"joint_states: {leap}{remedy}"

    def present(self, now_s: float) -> JointSample:
        """The newest pose, with the stamp of its oldest joint. Raises: RobotError if it cannot be
        relied on, StaleInput if it is too old.
        """
        if self.fault:
            raise RobotError(self.fault)
        age_s, limit = self.age_s(now_s), f"(limit {self._stale_s:.2f} s)"
        if age_s > self._stale_s:
            old = np.flatnonzero(now_s - self._stamped_s > self._stale_s)
            of = "" if len(old) == len(self._names) else f" of {self._named(old)}"
            raise StaleInput(f"joint_states{of} are {age_s:.2f} s old {limit}")
        stamp_ns = int(self._stamp_ns.min())
        return JointSample(stamp_ns, self._trusted[:-1].copy(), float(self._trusted[-1]))

    def age_s(self, now_s: float) -> float:
        """Time since the oldest joint came with a new stamp, s. A clock or driver that stands still
        does not reset it.
        """
        return float(now_s - self._stamped_s.min())

    def arm_ages_s(self, now_s: float) -> Array:
        """Time since each joint of the arm came with a new stamp, shape (n,), s. A gripper that is
        measured seldom makes no joint of the arm older.
        """
        return np.maximum(0.0, now_s - self._stamped_s[:-1])

    def at_rest(self, now_s: float) -> JointSample:
        """The newest pose, if REST_SAMPLES in a row show an arm at rest. Raises: RobotError,
        StaleInput.
        """
        newest = self.present(now_s)
        recent = np.array(
            [joint_rad for taken_s, joint_rad in self._row if now_s - taken_s <= REST_WITHIN_S]
        )
        if len(recent) < REST_SAMPLES:
            raise RobotError(
                f"waiting for {REST_SAMPLES} joint_states in a row, {len(recent)} came"
            )
        apart_rad = recent.max(axis=0) - recent.min(axis=0)
        worst = int(apart_rad.argmax())
        if apart_rad[worst] > REST_RAD:
            raise RobotError(
                f"waiting for the arm to rest: '{self._names[worst]}' moves,"
                f" {apart_rad[worst]:.3f} rad in the last samples"
            )
        return newest


class JointHistory:
    """The newest messages of joint_states, for the pose at a moment.

    >>> history = JointHistory(robot)
    >>> history.add(part)
    >>> sample, apart_s = history.nearest(captured_ns)
    """

    def __init__(self, robot: RobotConfig, length: int = 200) -> None:
        """Begin empty.

        Args:
            robot: Names of the joints.
            length: How many messages of each part are kept.
        """
        self._count, self._length = len(robot.command_names), length
        self._parts: dict[tuple[int, ...], deque[JointPart]] = {}

    def add(self, part: JointPart) -> None:
        """Add one message. Raises: RobotError if it has no stamp."""
        if part.stamp_ns <= 0:
            raise RobotError(NO_STAMP)
        key = tuple(part.index.tolist())
        self._parts.setdefault(key, deque(maxlen=self._length)).append(part)

    def nearest(self, moment_ns: int) -> tuple[JointSample | None, float]:
        """The pose of measurements nearest to a moment.

        Args:
            moment_ns: The moment, on the clock of the stamps, ns.

        Returns:
            The pose, with the stamp of the joint that is farthest from the moment, and how far that
            is, s. None and infinity where a joint was never measured.
        """
        positions, stamps_ns = np.full(self._count, np.nan), np.zeros(self._count, dtype=np.int64)
        for parts in self._parts.values():
            part = min(parts, key=lambda part: abs(part.stamp_ns - moment_ns))
            place = part.index
            nearer = np.abs(stamps_ns[place] - moment_ns) > abs(part.stamp_ns - moment_ns)
            better = place[np.isnan(positions[place]) | nearer]
            positions[better] = part.positions[np.isin(place, better)]
            stamps_ns[better] = part.stamp_ns
        if np.isnan(positions).any():
            return None, math.inf
        farthest_ns = int(stamps_ns[np.abs(stamps_ns - moment_ns).argmax()])
        sample = JointSample(farthest_ns, positions[:-1], float(positions[-1]))
        return sample, abs(farthest_ns - moment_ns) / NANOSECONDS
