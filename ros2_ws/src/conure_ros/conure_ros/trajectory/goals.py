"""Goals of a client, read and checked: what is wrong is said by name, before anything moves.
Pure.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from control_msgs.action import FollowJointTrajectory

from conure_core.errors import RobotError
from conure_core.robot.arm import Arm
from conure_core.robot.description import RobotConfig
from conure_core.types import Array
from conure_ros.comms.messages import NANOSECONDS, to_ns
from conure_ros.trajectory.spline import Point

Result = FollowJointTrajectory.Result
LONGEST_S, MOST_POINTS = 3600.0, 20_000
ERASED = -1.0
"""A tolerance that allows anything, as control_msgs/JointTolerance defines it."""
REST_RAD_S = 1e-6


class GoalRefused(RobotError):
    """A goal that must not be followed. `code`: the constant of FollowJointTrajectory.Result."""

    def __init__(self, why: str, code: int = Result.INVALID_GOAL) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True)
class Tolerances:
    """How far the arm may be from its trajectory, (n,), rad, on the way and at the end, and how
    long after the end it may still arrive, s.
    """

    path_rad: Array
    goal_rad: Array
    goal_time_s: float


@dataclass(frozen=True)
class ArmGoal:
    """A trajectory of the whole arm, joints in the robot's order. `wait_s`: time until it
    begins.
    """

    points: tuple[Point, ...]
    tolerances: Tolerances
    wait_s: float = 0.0

    @property
    def end_s(self) -> float:
        """Time of the last point, s."""
        return self.points[-1].time_s


def read_arm_goal(
    goal: FollowJointTrajectory.Goal, arm: Arm, defaults: Tolerances, now_ns: int
) -> ArmGoal:
    """Read and check a goal of FollowJointTrajectory.

    Args:
        goal: The client's goal, joints in any order.
        arm: Names and limits of the joints.
        defaults: Tolerances where the goal gives none.
        now_ns: Present time on the clock of the stamps, ns.

    Raises:
        GoalRefused: It cannot be followed; the message says why, `code` what kind of fault it is.
    """
    message = goal.trajectory
    order = _joint_order(message.joint_names, arm.config)
    if goal.multi_dof_trajectory.points or goal.multi_dof_trajectory.joint_names:
        raise GoalRefused("multi_dof_trajectory must be empty: the arm's joints have one axis each")
    if not message.points:
        raise GoalRefused("trajectory.points is empty; give at least one point")
    if len(message.points) > MOST_POINTS:
        raise GoalRefused(f"{len(message.points)} points, limit {MOST_POINTS}; send it in parts")
    points = tuple(
        _read_point(point, f"point {number}", order, message.joint_names)
        for number, point in enumerate(message.points)
    )
    _require_times(points)
    _require_limits(points, arm)
    _require_rest(points[-1], arm.config.joint_names)
    wait_s = _wait_s(message.header.stamp, now_ns)
    return ArmGoal(points, _read_tolerances(goal, arm.config, defaults), wait_s)


def require_start(goal: ArmGoal, start_rad: Array, robot: RobotConfig) -> None:
    """Check that a trajectory begins where the arm is.

    Args:
        goal: A trajectory; one whose first point is later than 0 begins anywhere.
        start_rad: The arm's present angles, shape (n,), rad.
        robot: Names of the joints and the distance that is allowed.

    Raises:
        GoalRefused: The first point is farther away.
    """
    first, limit_rad = goal.points[0], robot.max_start_error_rad
    away_rad = np.abs(first.position - start_rad)
    worst = int(away_rad.argmax())
    if first.time_s <= 0.0 and away_rad[worst] > limit_rad:
        raise GoalRefused(
            f"the first point has '{robot.joint_names[worst]}' {away_rad[worst]:.3f} rad from where"
            f" it is (max_start_error_rad {limit_rad}); plan from the present pose"
        )


def _joint_order(names: Sequence[str], robot: RobotConfig) -> list[int]:
    """Places of the robot's joints in the goal. Raises: GoalRefused."""
    counts = Counter(names)
    faults = {
        "lacks": [name for name in robot.joint_names if name not in counts],
        "has twice": [name for name, count in counts.items() if count > 1],
        "has unknown": [name for name in counts if name not in robot.joint_names],
    }
    found = [f"{fault} {', '.join(map(repr, wrong))}" for fault, wrong in faults.items() if wrong]
    if found:
        advice = "; the gripper has an action of its own" if robot.gripper_joint in counts else ""
        raise GoalRefused(
            f"trajectory.joint_names {'; '.join(found)}; expected"
            f" {', '.join(robot.joint_names)}{advice}",
            Result.INVALID_JOINTS,
        )
    return [list(names).index(name) for name in robot.joint_names]


def _read_point(point: Any, place: str, order: Sequence[int], names: Sequence[str]) -> Point:
    """One point, joints in the robot's order. Raises: GoalRefused."""
    if len(point.effort):
        raise GoalRefused(f"{place} has effort, which a position-controlled arm cannot follow")
    position = _read_values(point.positions, f"{place}: positions", order, names)
    velocity, acceleration = (
        _read_values(given, f"{place}: {field}", order, names) if len(given) else None
        for given, field in (
            (point.velocities, "velocities"),
            (point.accelerations, "accelerations"),
        )
    )
    return Point(_seconds(point.time_from_start), position, velocity, acceleration)


def _read_values(given: Any, what: str, order: Sequence[int], names: Sequence[str]) -> Array:
    """One value a joint, in the robot's order. Raises: GoalRefused."""
    values = np.array(given, dtype=np.float64)
    if len(values) != len(names):
        raise GoalRefused(f"{what} has {len(values)} values for {len(names)} joint_names")
    bad = [name for name, value in zip(names, values, strict=True) if not np.isfinite(value)]
    if bad:
        raise GoalRefused(f"{what} of {', '.join(map(repr, bad))} must be finite")
    return values[list(order)]


def _require_times(points: Sequence[Point]) -> None:
    """Raises: GoalRefused for times that are negative, too long or do not increase."""
    first, last = points[0].time_s, points[-1].time_s
    if first < 0.0:
        raise GoalRefused(f"point 0: time_from_start must be 0 or more, got {first:g} s")
    for number, (before, after) in enumerate(pairwise(points), start=1):
        if after.time_s <= before.time_s:
            raise GoalRefused(
                f"point {number}: time_from_start must increase, got {after.time_s:g} s after"
                f" {before.time_s:g} s"
            )
    if last <= 0.0:
        raise GoalRefused("the last point is at 0 s, and no arm is there at once; give it time")
    if last > LONGEST_S:
        raise GoalRefused(f"it takes {last:g} s, limit {LONGEST_S:g} s; send it in parts")


def _require_limits(points: Sequence[Point], arm: Arm) -> None:
    """Raises: GoalRefused naming a joint whose position lies outside the limits."""
    for number, point in enumerate(points):
        outside = np.maximum(arm.lower_rad - point.position, point.position - arm.upper_rad)
        worst = int(outside.argmax())
        if outside[worst] > 0.0:
            raise GoalRefused(
                f"point {number}: '{arm.config.joint_names[worst]}' is {point.position[worst]:.3f}"
                f" rad, limits {arm.lower_rad[worst]:.3f} to {arm.upper_rad[worst]:.3f}"
            )


def _require_rest(last: Point, names: Sequence[str]) -> None:
    """Raises: GoalRefused if the last point moves: the arm cannot stop there at once."""
    if last.velocity is not None and np.abs(last.velocity).max() > REST_RAD_S:
        worst = int(np.abs(last.velocity).argmax())
        raise GoalRefused(
            f"the last point: the velocity of '{names[worst]}' must be 0, got"
            f" {last.velocity[worst]:g} rad/s"
        )


def _wait_s(stamp: Any, now_ns: int) -> float:
    """Time until the trajectory begins, s; a stamp of zero means at once. Raises: GoalRefused."""
    start_ns = to_ns(stamp)
    if start_ns == 0:
        return 0.0
    wait_s = (start_ns - now_ns) / NANOSECONDS
    if wait_s < 0.0:
        raise GoalRefused(
            f"trajectory.header.stamp is {-wait_s:.2f} s ago; a stamp of zero begins at once",
            Result.OLD_HEADER_TIMESTAMP,
        )
    if wait_s > LONGEST_S:
        raise GoalRefused(
            f"trajectory.header.stamp is {wait_s:.0f} s ahead, limit {LONGEST_S:g} s; set both"
            " clocks alike"
        )
    return wait_s


def _read_tolerances(
    goal: FollowJointTrajectory.Goal, robot: RobotConfig, defaults: Tolerances
) -> Tolerances:
    """The goal's tolerances. Raises: GoalRefused."""
    if goal.component_path_tolerance or goal.component_goal_tolerance:
        raise GoalRefused("tolerances of components are for joints with several axes; none is here")
    time_s = _seconds(goal.goal_time_tolerance)
    if time_s < 0.0:
        raise GoalRefused(f"goal_time_tolerance must be 0 or more, got {time_s:g} s")
    path_rad, goal_rad = (
        _read_positions(getattr(goal, field), field, default, robot.joint_names)
        for field, default in (
            ("path_tolerance", defaults.path_rad),
            ("goal_tolerance", defaults.goal_rad),
        )
    )
    return Tolerances(path_rad, goal_rad, time_s or defaults.goal_time_s)


def _read_positions(given: Any, field: str, default: Array, names: Sequence[str]) -> Array:
    """Tolerances of positions, (n,), rad; infinite where erased. Raises: GoalRefused."""
    values = default.copy()
    for tolerance in given:
        if tolerance.name not in names:
            raise GoalRefused(
                f"{field} has unknown '{tolerance.name}'; expected {', '.join(names)}",
                Result.INVALID_JOINTS,
            )
        if not (tolerance.position >= 0.0 or tolerance.position == ERASED):
            raise GoalRefused(
                f"{field} of '{tolerance.name}' must be 0 or more, or -1 for none, got"
                f" {tolerance.position:g}"
            )
        if tolerance.position:
            erased = tolerance.position == ERASED
            values[list(names).index(tolerance.name)] = np.inf if erased else tolerance.position
    return values


def _seconds(duration: Any) -> float:
    return float(duration.sec + duration.nanosec / NANOSECONDS)
