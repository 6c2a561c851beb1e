"""What an arm may do, judged from what it was told and from where its joints were."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from conure_core.types import Array
from conure_ros.faults.judge.clearances import Clearances, Nearness
from conure_ros.faults.judge.description import describe

POSITION_RAD = 1e-6
BOX_M = 1e-3
"""A command may leave the box by this much: what inverse kinematics leaves over."""
PAIR_M = 2e-3
"""How exactly two shapes' distance is known: PyBullet rounds their edges by its margin of 1 mm,
each.
"""
TABLE_M = 1e-4
SPEED, ACCELERATION, ROUNDING_M = 1e-6, 1e-4, 2e-6
"""A micrometre deeper, in all, is no deeper."""
SLOW = 0.1
"""Of its speed, for an arm that is where it may not be."""
MEASURED_RAD, MEASURED_M = 0.01, 5e-3
"""How far the joints may be beyond what they were told: an arm follows its commands within that."""
MEASURED_SPEED = 0.05
WINDOW_ROUNDING_S = 1e-6
"""Share of the speed limit by which a measured speed may exceed it."""
STOP_S, COAST_RAD = 0.06, 0.02
"""A stop has this long to reach the arm; from then on it brakes, and its joints settle within
`COAST_RAD`.
"""
REST_S, REST_RAD = 0.35, 5e-3
"""Later than this after the stop must have reached the arm, no joint moves by more than that."""


@dataclass(frozen=True)
class Told:
    """Joint commands (k, n), rad, in order, that lead from `start_rad` (n,), at rest.

    `rested`: (k,) whether the arm held before that command, so that its speed began at zero;
    `duration_s` (k,): how long each takes; None: the robot's settling time.
    """

    start_rad: Array
    commands_rad: Array
    rested: Array
    duration_s: Array | None = None


@dataclass(frozen=True)
class Seen:
    """Where the joints were: times (k,), s, and angles (k, n), rad."""

    times_s: Array
    joint_rad: Array


@dataclass(frozen=True)
class Judgement:
    """The worst excess beyond each rule; 0 or less: it was kept. `-inf`: there was nothing to
    judge.

    From a pose that violates a rule, the excess is what the violation grew by since it was
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

    def joined(self, other: "Judgement") -> "Judgement":
        counts = ("rows", "not_finite", "distances_measured")
        values = {name: getattr(self, name) + getattr(other, name) for name in counts}
        values |= {name: max(getattr(self, name), getattr(other, name)) for name in RULES}
        return Judgement(**values, worst=tuple(dict.fromkeys([*self.worst, *other.worst]))[:5])

    @property
    def broken(self) -> dict[str, float]:
        """The rules that were broken, and by how much."""
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
    """Of one robot.

    >>> judge = Judge("wx250s")
    >>> judge.told(Told(home_rad, commands_rad, rested)).broken
    {}
    """

    def __init__(self, robot: str) -> None:
        self.robot = describe(robot)
        self.clearances = Clearances(self.robot)

    def close(self) -> None:
        self.clearances.close()

    def violated(self, joint_rad: Array) -> bool:
        """Whether a pose (n,) is one that no command may lead to from outside it."""
        return bool(self._places(np.asarray(joint_rad)[None]).violated(COMMANDED).any())

    def told(self, told: Told, acceleration_scale: float = 1.0) -> Judgement:
        """Commands alone. `acceleration_scale` multiplies the robot's acceleration limits."""
        commands = np.asarray(told.commands_rad, dtype=np.float64)
        good = np.isfinite(commands).all(axis=1)
        if not good.all():
            return Judgement(
                rows=len(commands),
                not_finite=int((~good).sum()),
                worst=("a command is not finite",),
            )
        if not len(commands):
            return Judgement()
        places = self._places(np.vstack([told.start_rad, commands]))
        speed, acceleration = self._motion(
            told, places.violated(COMMANDED)[:-1], acceleration_scale
        )
        return self._judged(
            places, COMMANDED, {"speed": speed, "acceleration": acceleration}, len(commands)
        )

    def _motion(
        self, told: Told, slow: NDArray[np.bool_], acceleration_scale: float
    ) -> tuple[float, float]:
        """Largest excess over the speed limit, rad/s, and over the acceleration limit, rad/s2."""
        robot = self.robot
        before = np.vstack([told.start_rad, told.commands_rad[:-1]])
        duration_s = robot.settle_s if told.duration_s is None else told.duration_s[:, None]
        speed = (told.commands_rad - before) / duration_s
        limit = robot.speed_rad_s * np.where(slow, SLOW, 1.0)[:, None]
        previous = (
            np.vstack([np.zeros_like(speed[:1]), speed[:-1]]) * ~told.rested.astype(bool)[:, None]
        )
        acceleration = np.abs(speed - previous) / robot.period_s
        over = acceleration - acceleration_scale * robot.acceleration_rad_s2
        # An arm that finds itself where it may not be must slow down at once.
        over = over[~slow]
        return float((np.abs(speed) - limit).max() - SPEED), float(
            over.max(initial=-np.inf) - ACCELERATION
        )

    def seen(
        self, seen: Seen, window_s: float = 0.0, speed_rad_s: Array | None = None, every: int = 1
    ) -> Judgement:
        """Joints alone. A speed is taken over at least `window_s`; its limit is the robot's, or
        another one (n,).

        Speeds are those of all samples; where the arm was is judged at one of `every`.
        """
        joints = np.asarray(seen.joint_rad, dtype=np.float64)
        good = np.isfinite(joints).all(axis=1)
        if not good.all():
            return Judgement(
                rows=len(joints), not_finite=int((~good).sum()), worst=("a joint is not finite",)
            )
        if not len(joints):
            return Judgement()
        limit = self.robot.speed_rad_s if speed_rad_s is None else speed_rad_s
        speed = measured_speed(seen, window_s) - limit * (1.0 + MEASURED_SPEED)
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
    """How exactly each rule must be kept: rad, m."""

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

    The first `pairs` of these are those of two parts of the arm, the others are over the table.
    """

    position_rad: Array
    box_m: Array
    near: Nearness
    pairs: int

    @property
    def split(self) -> tuple[Array, Array]:
        return self.near.left_m[:, : self.pairs], self.near.left_m[:, self.pairs :]

    def violated(self, allowed: Tolerances) -> NDArray[np.bool_]:
        """(k,)"""
        pairs, tables = self.split
        limits = (self.position_rad > allowed.position_rad).any(axis=1)
        near = (pairs < -allowed.pair_m).any(axis=1) | (tables < -allowed.table_m).any(axis=1)
        return np.asarray(limits | near | (self.box_m > allowed.box_m))


def _growth(excess: Array, allowed: float) -> Array:
    """(k - 1, m): how much larger each excess (k, m) is than its smallest before, or than what is
    allowed.
    """
    best = np.minimum.accumulate(excess, axis=0)[:-1]
    return (
        np.asarray(excess[1:] - np.maximum(best, allowed))
        if len(excess) > 1
        else np.full((1, excess.shape[1]), -np.inf)
    )


def measured_speed(seen: Seen, window_s: float = 0.0) -> Array:
    """Mean speed (rows, n), rad/s, from each sample to the first one that is at least `window_s`
    later.
    """
    # Times are sums of steps: without the allowance a window of two steps often spans three.
    later = np.searchsorted(seen.times_s, seen.times_s + max(window_s - WINDOW_ROUNDING_S, 1e-9))
    rows = np.flatnonzero(later < len(seen.times_s))
    seconds = seen.times_s[later[rows]] - seen.times_s[rows]
    return np.asarray(np.abs(seen.joint_rad[later[rows]] - seen.joint_rad[rows]) / seconds[:, None])


@dataclass(frozen=True)
class StopMotion:
    """The fastest joint after a stop, rad: how far it went later than `STOP_S` after the request,
    and how far it might.

    `stopped_rad`: how far it went while it should have been at rest; `ended_s`: when it last moved,
    s after the request.
    """

    late_rad: float
    braking_rad: float
    stopped_rad: float
    ended_s: float

    @property
    def kept(self) -> bool:
        return self.late_rad <= self.braking_rad + COAST_RAD and self.stopped_rad <= REST_RAD


def motion_after_stop(
    seen: Seen, asked_s: float, until_s: float, acceleration_rad_s2: Array, stop_s: float = STOP_S
) -> StopMotion:
    """From the request for a stop until it was reset. Raises: ValueError if the joints were not
    seen all the time.

    An arm that brakes at its acceleration from the speed that it has `stop_s` after the request
    goes v^2 / 2a.
    """
    times, joints = seen.times_s, seen.joint_rad
    from_s, rest_s = asked_s + stop_s, asked_s + stop_s + REST_S
    late, rest = (times >= from_s) & (times <= until_s), (times >= rest_s) & (times <= until_s)
    if not rest.any():
        raise ValueError(
            f"the joints were not seen from {stop_s + REST_S:.2f} s after the stop on: it was reset"
            " too early"
        )
    first = int(np.flatnonzero(late)[0])
    way = np.abs(joints[late] - joints[first])
    before = max(0, int(np.searchsorted(times, times[first] - STOP_S / 2)) - 1)
    speed = np.abs(joints[first] - joints[before]) / max(times[first] - times[before], 1e-9)
    braking = speed**2 / (2 * acceleration_rad_s2)
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
