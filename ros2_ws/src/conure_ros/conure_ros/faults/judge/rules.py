"""The rules for an arm's motion, judged from commands and from measured joints."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from conure_core.types import Array
from conure_ros.faults.judge.clearances import Clearances, Nearness
from conure_ros.faults.judge.description import describe

POSITION_RAD = 1e-6
BOX_M = 1e-3
"""Tolerance of commands beyond the box: the residual of inverse kinematics."""
PAIR_M = 2e-3
"""Tolerance of the distance of two shapes: PyBullet rounds the edges of each by its margin of 1 mm.
"""
TABLE_M = 1e-4
SPEED, ACCELERATION, ROUNDING_M = 1e-6, 1e-4, 2e-6
"""Growth of a violation that counts as rounding."""
SLOW = 0.1
"""Share of its speed for an arm in a violating pose."""
MEASURED_RAD, MEASURED_M = 0.01, 5e-3
"""How far the joints may be beyond their commands: the arm's following error."""
MEASURED_SPEED = 0.05
WINDOW_ROUNDING_S = 1e-6
"""Share of the speed limit by which a measured speed may exceed it."""
STOP_S, COAST_RAD = 0.06, 0.02
"""A stop may take STOP_S to reach the arm. From then on it brakes, and settles within `COAST_RAD`.
"""
REST_S, REST_RAD = 0.35, 5e-3
"""Later than REST_S after the braking began, no joint moves by more than REST_RAD."""


@dataclass(frozen=True)
class CommandedMotion:
    """Joint commands (k, n), rad, in order, that start at `start_rad` (n,), at rest.

    `rested`: (k,) whether the arm held before that command, so that its speed began at zero.
    `duration_s` (k,): the time that each takes; None: the robot's settling time.
    """

    start_rad: Array
    commands_rad: Array
    rested: Array
    duration_s: Array | None = None


@dataclass(frozen=True)
class MeasuredMotion:
    """Measured joints: times (k,), s, and angles (k, n), rad."""

    times_s: Array
    joint_rad: Array


@dataclass(frozen=True)
class Judgement:
    """The largest excess over each rule; 0 or less means that it was kept, `-inf` that there was
    nothing to judge.

    From a pose that violates a rule, the excess is the growth of the violation since it was
    smallest.
    """

    rows: int = 0
    not_finite: int = 0
    position_rad: float = -np.inf
    speed: float = -np.inf
    acceleration: float = -np.inf
    box_m: float = -np.inf
    pair_m: float = -np.inf
    table_m: float = -np.inf
    distances_measured: int = 0
    worst: tuple[str, ...] = field(default=(), compare=False)

    def merge(self, other: "Judgement") -> "Judgement":
        counts = ("rows", "not_finite", "distances_measured")
        values = {name: getattr(self, name) + getattr(other, name) for name in counts}
        values |= {name: max(getattr(self, name), getattr(other, name)) for name in RULES}
        return Judgement(**values, worst=tuple(dict.fromkeys([*self.worst, *other.worst]))[:5])

    @property
    def broken(self) -> dict[str, float]:
        """The broken rules, and each excess."""
        found = {name: getattr(self, name) for name in RULES if getattr(self, name) > 0.0}
        return found | ({"not_finite": float(self.not_finite)} if self.not_finite else {})

    @property
    def kept(self) -> bool:
        return not self.broken

    def figures(self, what: str) -> dict[str, float]:
        """Counts and excesses for a report; a rule that judged nothing is left out.

        Args:
            what: The name of what was judged, in the plural.
        """
        excesses = {f"{what} beyond {RULES[name]}": getattr(self, name) for name in RULES}
        return {
            what: float(self.rows),
            f"{what} not finite": float(self.not_finite),
            **{name: value for name, value in excesses.items() if np.isfinite(value)},
            f"distances measured at {what}": float(self.distances_measured),
        }


RULES = {
    "position_rad": "joint position, rad",
    "speed": "joint speed, rad/s",
    "acceleration": "joint acceleration, rad/s²",
    "box_m": "workspace box, m",
    "pair_m": "clearance of two parts, m",
    "table_m": "clearance of the table, m",
}
"""What each rule limits, and the unit of its excess."""


class Judge:
    """The judge of one robot.

    >>> judge = Judge("wx250s")
    >>> judge.judge_commands(CommandedMotion(home_rad, commands_rad, rested)).broken
    {}
    """

    def __init__(self, robot: str) -> None:
        self.robot = describe(robot)
        self.clearances = Clearances(self.robot)

    def close(self) -> None:
        self.clearances.close()

    def is_violating(self, joint_rad: Array) -> bool:
        """Whether no command may lead to a pose (n,) from outside it."""
        return bool(self._places(np.asarray(joint_rad)[None]).is_violating(COMMANDED).any())

    def judge_commands(
        self, commanded: CommandedMotion, acceleration_scale: float = 1.0
    ) -> Judgement:
        """Judge commands by every rule.

        Args:
            commanded: Commands of shape (k, n), rad, from one start.
            acceleration_scale: Factor on the robot's acceleration limits.
        """
        commands = np.asarray(commanded.commands_rad, dtype=np.float64)
        good = np.isfinite(commands).all(axis=1)
        if not good.all():
            return Judgement(
                rows=len(commands),
                not_finite=int((~good).sum()),
                worst=("a command is not finite",),
            )
        if not len(commands):
            return Judgement()
        places = self._places(np.vstack([commanded.start_rad, commands]))
        speed, acceleration = self._motion(
            commanded, places.is_violating(COMMANDED)[:-1], acceleration_scale
        )
        return self._judged(
            places, COMMANDED, {"speed": speed, "acceleration": acceleration}, len(commands)
        )

    def _motion(
        self, commanded: CommandedMotion, slow: NDArray[np.bool_], acceleration_scale: float
    ) -> tuple[float, float]:
        """Largest excess over the speed limit, rad/s, and over the acceleration limit, rad/s2."""
        robot = self.robot
        before = np.vstack([commanded.start_rad, commanded.commands_rad[:-1]])
        duration_s = (
            robot.settle_s if commanded.duration_s is None else commanded.duration_s[:, None]
        )
        speed = (commanded.commands_rad - before) / duration_s
        limit = robot.speed_rad_s * np.where(slow, SLOW, 1.0)[:, None]
        previous = (
            np.vstack([np.zeros_like(speed[:1]), speed[:-1]])
            * ~commanded.rested.astype(bool)[:, None]
        )
        acceleration = np.abs(speed - previous) / robot.period_s
        over = acceleration - acceleration_scale * robot.acceleration_rad_s2
        # An arm in a violating pose must slow down at once.
        over = over[~slow]
        return float((np.abs(speed) - limit).max() - SPEED), float(
            over.max(initial=-np.inf) - ACCELERATION
        )

    def judge_motion(
        self,
        measured: MeasuredMotion,
        window_s: float = 0.0,
        speed_rad_s: Array | None = None,
        every: int = 1,
    ) -> Judgement:
        """Judge measured joints by every rule except acceleration.

        Args:
            measured: Angles of shape (k, n), rad, with times, s.
            window_s: Shortest time over which a speed is taken, s.
            speed_rad_s: Speed limits, shape (n,), rad/s; None: the robot's.
            every: Poses are judged at one of so many samples; speeds at all.
        """
        joints = np.asarray(measured.joint_rad, dtype=np.float64)
        good = np.isfinite(joints).all(axis=1)
        if not good.all():
            return Judgement(
                rows=len(joints), not_finite=int((~good).sum()), worst=("a joint is not finite",)
            )
        if not len(joints):
            return Judgement()
        limit = self.robot.speed_rad_s if speed_rad_s is None else speed_rad_s
        speed = measured_speed(measured, window_s) - limit * (1.0 + MEASURED_SPEED)
        fastest = float(speed.max(initial=-np.inf)) - SPEED
        return self._judged(
            self._places(joints[::every]), MEASURED, {"speed": fastest}, len(joints)
        )

    def _places(self, joints: Array) -> "_Places":
        robot = self.robot
        position = np.maximum(robot.lower_rad - joints, joints - robot.upper_rad)
        return _Places(
            position,
            robot.outside_m(joints),
            self.clearances.near(joints),
            len(self.clearances.pairs),
        )

    def _judged(
        self, places: "_Places", allowed: "Tolerances", rules: dict[str, float], rows: int
    ) -> Judgement:
        pairs, tables = places.split
        growths = {
            "position_rad": (
                _growth(np.maximum(places.position_rad, 0.0), 0.0) - allowed.position_rad
            ),
            "box_m": _growth(np.maximum(places.box_m, 0.0)[:, None], allowed.box_m) - ROUNDING_M,
            "pair_m": _growth(np.maximum(-pairs, 0.0), 0.0) - allowed.pair_m,
            "table_m": _growth(np.maximum(-tables, 0.0), 0.0) - allowed.table_m,
        }
        beside = [f"limit of {name}" for name in self.robot.joints], ["box"]
        names = [*beside[0], *beside[1], *places.near.names]
        broken = np.concatenate([(growth > 0.0).any(axis=0) for growth in growths.values()])
        rules = rules | {
            name: float(growth.max(initial=-np.inf)) for name, growth in growths.items()
        }
        worst = tuple(name for name, is_broken in zip(names, broken, strict=True) if is_broken)
        empty = Judgement(rows=rows, distances_measured=places.near.measured, worst=worst[:5])
        return replace(empty, **rules)  # type: ignore[arg-type]  # every one of RULES is a float


@dataclass(frozen=True)
class Tolerances:
    """The tolerance of each rule: rad, m."""

    position_rad: float
    box_m: float
    pair_m: float
    table_m: float


COMMANDED = Tolerances(POSITION_RAD, BOX_M, PAIR_M, TABLE_M)
MEASURED = Tolerances(MEASURED_RAD, BOX_M + MEASURED_M, PAIR_M + MEASURED_M, TABLE_M + MEASURED_M)


@dataclass(frozen=True)
class _Places:
    """Poses: excess of each joint (k, n), rad, depth outside the box (k,), m, and the clearances
    left.

    The first `pairs` clearances are between two parts of the arm, the others over the table.
    """

    position_rad: Array
    box_m: Array
    near: Nearness
    pairs: int

    @property
    def split(self) -> tuple[Array, Array]:
        return self.near.left_m[:, : self.pairs], self.near.left_m[:, self.pairs :]

    def is_violating(self, allowed: Tolerances) -> NDArray[np.bool_]:
        """(k,)"""
        pairs, tables = self.split
        limits = (self.position_rad > allowed.position_rad).any(axis=1)
        near = (pairs < -allowed.pair_m).any(axis=1) | (tables < -allowed.table_m).any(axis=1)
        return np.asarray(limits | near | (self.box_m > allowed.box_m))


def _growth(excess: Array, allowed: float) -> Array:
    """(k - 1, m): how much larger each excess (k, m) is than its smallest before, or than the
    allowed one.
    """
    best = np.minimum.accumulate(excess, axis=0)[:-1]
    return (
        np.asarray(excess[1:] - np.maximum(best, allowed))
        if len(excess) > 1
        else np.full((1, excess.shape[1]), -np.inf)
    )


def measured_speed(measured: MeasuredMotion, window_s: float = 0.0) -> Array:
    """Mean speed from each sample to the first one at least `window_s` later.

    Args:
        measured: Angles of shape (k, n), rad, with times, s.
        window_s: Shortest time over which a speed is taken, s; 0: to the next sample.

    Returns:
        Absolute speeds, shape (rows, n), rad/s; fewer rows than samples.
    """
    # Times are sums of steps: without this tolerance a window of two steps often spans three.
    later = np.searchsorted(
        measured.times_s, measured.times_s + max(window_s - WINDOW_ROUNDING_S, 1e-9)
    )
    rows = np.flatnonzero(later < len(measured.times_s))
    seconds = measured.times_s[later[rows]] - measured.times_s[rows]
    return np.asarray(
        np.abs(measured.joint_rad[later[rows]] - measured.joint_rad[rows]) / seconds[:, None]
    )


@dataclass(frozen=True)
class StopMotion:
    """The fastest joint after a stop: its motion later than `STOP_S` after the request, and its
    allowed motion, rad.

    `stopped_rad`: its motion while it should have been at rest. `ended_s`: when it last moved, s
    after the request.
    """

    late_rad: float
    braking_rad: float
    stopped_rad: float
    ended_s: float

    @property
    def kept(self) -> bool:
        return self.late_rad <= self.braking_rad + COAST_RAD and self.stopped_rad <= REST_RAD


def motion_after_stop(
    measured: MeasuredMotion,
    asked_s: float,
    until_s: float,
    acceleration_rad_s2: Array,
    stop_s: float = STOP_S,
    lag_s: float = 0.0,
) -> StopMotion:
    """Measure the motion from the request for a stop until its reset.

    An arm that brakes at its acceleration a from its speed v, `stop_s` after the request, moves v^2
    / 2a. One that follows its set point by a first-order lag of time constant T moves v T, even if
    the set point stands still.

    Args:
        measured: Angles of shape (k, n), rad, with times, s.
        asked_s: Time of the request, s.
        until_s: Time of the reset, s.
        acceleration_rad_s2: Braking acceleration of each joint, shape (n,), rad/s^2.
        stop_s: Time after the request from which the arm must brake, s.
        lag_s: Time constant of the arm's lag, s; 0: unknown.

    Raises:
        ValueError: The joints were not measured over the whole time.
    """
    times, joints = measured.times_s, measured.joint_rad
    from_s, rest_s = asked_s + stop_s, asked_s + stop_s + REST_S
    late, rest = (times >= from_s) & (times <= until_s), (times >= rest_s) & (times <= until_s)
    if not rest.any():
        raise ValueError(
            f"the joints were not measured from {stop_s + REST_S:.2f} s after the stop on: it was"
            " reset too early"
        )
    first = int(np.flatnonzero(late)[0])
    way = np.abs(joints[late] - joints[first])
    before = max(0, int(np.searchsorted(times, times[first] - STOP_S / 2)) - 1)
    speed = np.abs(joints[first] - joints[before]) / max(times[first] - times[before], 1e-9)
    braking = np.maximum(speed**2 / (2 * acceleration_rad_s2), speed * lag_s)
    worst = int(np.argmax(way.max(axis=0) - braking))
    resting = joints[rest]
    moving = np.abs(joints[late] - joints[late][-1]).max(axis=1) > REST_RAD
    ended_s = float((times[late][moving] - asked_s).max(initial=0.0))
    return StopMotion(
        float(way[:, worst].max()),
        float(braking[worst]),
        float(np.ptp(resting, axis=0).max()),
        ended_s,
    )
