"""Goals of trajectories, without ROS's graph: what is refused, the way between points, the gate's
judgement before the arm moves, and how a goal ends.
"""

import copy
import math
from itertools import pairwise

import numpy as np
import pytest
from builtin_interfaces.msg import Duration
from control_msgs.action import FollowJointTrajectory, GripperCommand, ParallelGripperCommand
from control_msgs.msg import JointTolerance
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectoryPoint, MultiDOFJointTrajectoryPoint

from conure_core.errors import RobotError
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_msgs.msg import Mode, RobotState
from conure_ros.comms.messages import JointSample, mode_message, to_time
from conure_ros.trajectory.admission import LATE_S, START_S, Admission, refusal
from conure_ros.trajectory.following import ArmFollowing, Outcome, default_tolerances
from conure_ros.trajectory.goals import GoalRefused, Result, read_arm_goal, require_start
from conure_ros.trajectory.gripping import Gripping, read_position
from conure_ros.trajectory.preview import Preview
from conure_ros.trajectory.spline import Point, Spline

ROBOT = load_robot("wx250s")
ARM = Arm(ROBOT)
HOME = np.array(ROBOT.home_rad)
TOLERANCES = default_tolerances(ROBOT, 0.0, 0.05, 2.0)
REST = np.zeros(6)
NOW_NS = 5_000_000_000
PERIOD_S = ROBOT.control_period_s


def goal(*positions, seconds=1.0, velocities=True):
    """A goal from home along these positions."""
    message = FollowJointTrajectory.Goal()
    message.trajectory.joint_names = list(ROBOT.joint_names)
    for number, position_rad in enumerate((HOME, *positions)):
        nanoseconds = round(number * seconds * 1e9)
        point = JointTrajectoryPoint(positions=list(map(float, position_rad)))
        point.velocities = [0.0] * 6 if velocities else []
        point.time_from_start = Duration(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
        message.trajectory.points.append(point)
    return message


def waist(rad):
    return HOME + [rad, 0.0, 0.0, 0.0, 0.0, 0.0]


def read(message):
    return read_arm_goal(message, ARM, TOLERANCES, NOW_NS)


# What is refused, and why.


def change(**fields):
    """A change of the last point of a goal."""

    def changed(message):
        for name, value in fields.items():
            setattr(message.trajectory.points[-1], name, value)

    return changed


def set_names(*names):
    return lambda message: setattr(message.trajectory, "joint_names", list(names))


def tolerance(field, name, position):
    given = [JointTolerance(name=name, position=position)]
    return lambda message: setattr(message, field, given)


def stamp(nanoseconds):
    return lambda message: setattr(message.trajectory.header, "stamp", to_time(nanoseconds))


NAMES = ROBOT.joint_names
REFUSALS = {
    "no joints": (set_names(), Result.INVALID_JOINTS, "lacks 'waist', 'shoulder'"),
    "a joint is missing": (set_names(*NAMES[:-1]), Result.INVALID_JOINTS, "lacks 'wrist_rotate'"),
    "a joint twice": (set_names(*NAMES, "waist"), Result.INVALID_JOINTS, "has twice 'waist'"),
    "another arm's": (set_names(*NAMES, "j7"), Result.INVALID_JOINTS, "has unknown 'j7'"),
    "the gripper": (
        set_names(*NAMES, ROBOT.gripper_joint),
        Result.INVALID_JOINTS,
        "the gripper has an action of its own",
    ),
    "no points": (
        lambda message: setattr(message.trajectory, "points", []),
        Result.INVALID_GOAL,
        "points is empty",
    ),
    "too few values": (
        change(positions=[0.0]),
        Result.INVALID_GOAL,
        "point 1: positions has 1 values for 6 joint_names",
    ),
    "too many velocities": (
        change(velocities=[0.0] * 7),
        Result.INVALID_GOAL,
        "point 1: velocities has 7 values",
    ),
    "not a number": (
        change(positions=[math.nan] * 6),
        Result.INVALID_GOAL,
        "point 1: positions of 'waist'",
    ),
    "infinite acceleration": (
        change(accelerations=[0.0] * 5 + [math.inf]),
        Result.INVALID_GOAL,
        "accelerations of 'wrist_rotate' must be finite",
    ),
    "effort": (change(effort=[1.0] * 6), Result.INVALID_GOAL, "point 1 has effort"),
    "still moving at the end": (
        change(velocities=[0.1] + [0.0] * 5),
        Result.INVALID_GOAL,
        "the velocity of 'waist' must be 0, got 0.1 rad/s",
    ),
    "time stands": (
        change(time_from_start=Duration()),
        Result.INVALID_GOAL,
        "point 1: time_from_start must increase, got 0 s after 0 s",
    ),
    "time runs back": (
        change(time_from_start=Duration(sec=-1)),
        Result.INVALID_GOAL,
        "got -1 s after 0 s",
    ),
    "for ever": (change(time_from_start=Duration(sec=10**6)), Result.INVALID_GOAL, "limit 3600 s"),
    "beyond a joint's limit": (
        change(positions=[9.0] + [0.0] * 5),
        Result.INVALID_GOAL,
        "point 1: 'waist' is 9.000 rad, limits",
    ),
    "several axes": (
        lambda message: message.multi_dof_trajectory.points.append(MultiDOFJointTrajectoryPoint()),
        Result.INVALID_GOAL,
        "multi_dof_trajectory must be empty",
    ),
    "tolerance of nobody": (
        tolerance("path_tolerance", "j7", 0.1),
        Result.INVALID_JOINTS,
        "path_tolerance has unknown 'j7'",
    ),
    "tolerance below 0": (
        tolerance("goal_tolerance", "waist", -0.5),
        Result.INVALID_GOAL,
        "must be 0 or more, or -1",
    ),
    "tolerance of no number": (
        tolerance("goal_tolerance", "waist", math.nan),
        Result.INVALID_GOAL,
        "must be 0 or more",
    ),
    "arrives before its end": (
        lambda message: setattr(message, "goal_time_tolerance", Duration(sec=-1)),
        Result.INVALID_GOAL,
        "goal_time_tolerance must be 0 or more",
    ),
    "in the past": (
        stamp(NOW_NS - 2 * 10**9),
        Result.OLD_HEADER_TIMESTAMP,
        "header.stamp is 2.00 s ago",
    ),
    "next year": (stamp(10**16), Result.INVALID_GOAL, "s ahead, limit 3600 s"),
}


@pytest.mark.parametrize(("spoil", "code", "why"), REFUSALS.values(), ids=REFUSALS)
def test_a_goal_that_makes_no_sense_is_refused_by_name_and_code(spoil, code, why):
    message = goal(waist(0.2))
    read(message)
    spoil(message)
    with pytest.raises(GoalRefused) as refused:
        read(message)
    assert refused.value.code == code and why in str(refused.value)


numbers = st.floats(width=64) | st.integers(-3, 3).map(float)
arrays = st.lists(numbers, max_size=8)
times = st.builds(Duration, sec=st.integers(-5, 5000), nanosec=st.integers(0, 2**32 - 1))
any_point = st.builds(
    JointTrajectoryPoint,
    positions=arrays | st.just(list(HOME)),
    velocities=arrays,
    accelerations=arrays,
    time_from_start=times,
)


@settings(max_examples=200)
@given(st.lists(any_point, max_size=4), st.lists(st.sampled_from([*NAMES, "j7"]), max_size=8))
def test_whatever_a_client_sends_is_a_goal_or_refused(points, names):
    message = goal(waist(0.2))
    message.trajectory.points += points
    message.trajectory.joint_names = names or list(NAMES)
    try:
        found = read(message)
        following = ArmFollowing(found, ROBOT, HOME, REST)
        Preview(ARM, following.spline, 0.02).judge(20)
    except GoalRefused as refused:
        assert str(refused) and refused.code < 0


def test_a_goal_of_far_too_many_points_is_refused_at_once():
    message = goal(waist(0.2))
    message.trajectory.points *= 20_000
    with pytest.raises(GoalRefused, match="40000 points, limit 20000"):
        read(message)


def test_a_lone_point_at_the_start_is_refused():
    message = goal(waist(0.2))
    del message.trajectory.points[1:]
    with pytest.raises(GoalRefused, match="give it time"):
        read(message)


def test_a_goal_that_begins_away_from_the_arm_is_refused_one_without_a_start_is_not():
    there = read(goal(waist(0.2)))
    require_start(there, HOME, ROBOT)
    with pytest.raises(GoalRefused, match=r"'shoulder' 0.300 rad from where it is"):
        require_start(there, HOME + [0.0, 0.3, 0.0, 0.0, 0.0, 0.0], ROBOT)
    message = goal(waist(0.2))
    del message.trajectory.points[0]
    require_start(read(message), HOME + 0.3, ROBOT)


@given(st.permutations(range(6)))
def test_joints_come_in_any_order(order):
    plain, message = read(goal(waist(0.2))), goal(waist(0.2))
    message.trajectory.joint_names = [NAMES[place] for place in order]
    for point in message.trajectory.points:
        point.positions = [point.positions[place] for place in order]
    for expected, found in zip(plain.points, read(message).points, strict=True):
        assert np.array_equal(expected.position, found.position)


def test_tolerances_are_the_goals_or_the_nodes_and_minus_one_allows_anything():
    message = goal(waist(0.2))
    message.path_tolerance = [
        JointTolerance(name="waist", position=0.1),
        JointTolerance(name="elbow", position=-1.0),
        JointTolerance(name="shoulder", position=0.0),
    ]
    message.goal_time_tolerance = Duration(sec=7)
    found = read(message).tolerances
    default = ROBOT.max_following_error_rad
    assert found.path_rad.tolist() == [0.1, default, np.inf, default, default, default]
    assert np.array_equal(found.goal_rad, TOLERANCES.goal_rad) and found.goal_time_s == 7.0


def test_a_stamp_ahead_lets_the_trajectory_wait():
    message = goal(waist(0.2))
    stamp(NOW_NS + 3 * 10**9)(message)
    following = ArmFollowing(read(message), ROBOT, HOME, REST)
    for _ in range(29):
        following.advance(PERIOD_S)
        assert np.allclose(following.compare(sample(HOME), 0.0).desired_rad, HOME)
    for _ in range(6):
        following.advance(PERIOD_S)
    assert following.target_rad[0] > 0.05


# Between the points.

coordinate = st.floats(-3.0, 3.0)


@st.composite
def points(draw):
    """Up to five points, with what some of them give."""
    times_s = np.cumsum(draw(st.lists(st.floats(0.05, 3.0), min_size=2, max_size=5)))
    given_too = draw(st.integers(0, 2))

    def values():
        return np.array(draw(st.lists(coordinate, min_size=2, max_size=2)))

    def point(time_s):
        return Point(
            time_s,
            values(),
            values() if given_too > 0 else None,
            values() if given_too > 1 else None,
        )

    return [point(time_s) for time_s in times_s]


@given(points())
def test_a_spline_goes_through_every_point_at_its_velocity(way):
    spline = Spline(way)
    for point in way:
        position, _ = spline.at(point.time_s)
        assert np.allclose(position, point.position, atol=1e-6)
    for before, after in pairwise(way):
        if before.velocity is not None:
            tiny_s = 1e-7
            for time_s, velocity in (
                (before.time_s + tiny_s, before.velocity),
                (after.time_s - tiny_s, after.velocity),
            ):
                assert np.allclose(spline.at(time_s)[1], velocity, atol=1e-2)


@given(points(), st.floats(0.01, 0.99))
def test_the_velocity_is_that_of_the_positions(way, share):
    spline, step_s = Spline(way), 1e-6
    middle_s = way[0].time_s + share * (way[1].time_s - way[0].time_s)
    ahead, behind = spline.at(middle_s + step_s)[0], spline.at(middle_s - step_s)[0]
    slope = (ahead - behind) / (2 * step_s)
    assert np.allclose(slope, spline.at(middle_s)[1], rtol=1e-4, atol=1e-3)


def test_between_positions_alone_it_is_straight_and_outside_it_stays():
    spline = Spline([Point(1.0, np.zeros(1)), Point(3.0, np.ones(1))])
    assert spline.at(1.5)[0][0] == pytest.approx(0.25) and spline.at(1.5)[1][0] == 0.5
    assert (spline.at(0.0)[0][0], spline.at(9.0)[0][0]) == (0.0, 1.0)
    assert spline.at(9.0)[1][0] == 0.0


def test_a_quintic_is_the_one_with_least_jerk():
    """From rest to rest over 1 s: 10 t^3 - 15 t^4 + 6 t^5."""
    rest = {"velocity": np.zeros(1), "acceleration": np.zeros(1)}
    spline = Spline([Point(0.0, np.zeros(1), **rest), Point(1.0, np.ones(1), **rest)])
    for time_s in np.linspace(0.0, 1.0, 11):
        expected = 10 * time_s**3 - 15 * time_s**4 + 6 * time_s**5
        assert spline.at(float(time_s))[0][0] == pytest.approx(expected)


# Judged before the arm moves.


def judged(message, tolerance_rad=0.02, start_rad=HOME, speed_rad_s=REST):
    following = ArmFollowing(read(message), ROBOT, start_rad, speed_rad_s)
    return Preview(ARM, following.spline, tolerance_rad).judge(10**6)


@pytest.mark.parametrize("velocities", [True, False])
def test_a_trajectory_within_all_limits_is_accepted(velocities):
    assert judged(goal(waist(0.4), waist(-0.2), velocities=velocities)) == ""


@pytest.mark.parametrize(
    ("position_rad", "seconds", "why"),
    [
        (waist(0.5), 0.2, "the limits (speed waist) keep 'waist'"),
        (waist(1.0), 3.0, "workspace (tool at"),
        (HOME + [0.0, 0.9, 0.3, 0.0, 0.0, 0.0], 2.0, "clearance left_finger_link_0 and table"),
    ],
)
def test_a_trajectory_that_the_gate_would_change_is_refused_with_the_time_and_the_limit(
    position_rad, seconds, why
):
    found = judged(goal(position_rad, seconds=seconds))
    assert why in found and found.startswith("at ") and " s of the trajectory: " in found


def test_points_within_the_limits_with_a_way_beyond_them_are_refused():
    """A velocity throws the spline beyond a point that is near a limit."""
    message = goal(waist(0.25), waist(0.2))
    message.trajectory.points[1].velocities = [3.0] + [0.0] * 5
    assert "workspace" in judged(message) or "speed" in judged(message)


def test_in_parts_it_says_the_same_as_at_once():
    message = goal(waist(1.0), seconds=3.0)
    following = ArmFollowing(read(message), ROBOT, HOME, REST)
    preview, found = Preview(ARM, following.spline, 0.02), ""
    while not found and not preview.done:
        found = preview.judge(2)
    assert found == judged(message)


def test_from_a_moving_set_point_a_trajectory_that_goes_on_is_accepted():
    speed_rad_s = np.array([0.6, 0.0, 0.0, 0.0, 0.0, 0.0])
    message = goal(waist(0.3))
    del message.trajectory.points[0]
    assert judged(message, speed_rad_s=speed_rad_s) == ""


# On the way.


def sample(joint_rad, stamp_ns=NOW_NS, gripper_m=0.03):
    return JointSample(stamp_ns, np.array(joint_rad), gripper_m)


class Way:
    """A goal of one second on its way, with an arm that is where it is put."""

    def __init__(self, message=None):
        self.following = ArmFollowing(read(message or goal(waist(0.3))), ROBOT, HOME, REST)
        self.ticks = 0

    def tick(self, joint_rad=None, seconds=PERIOD_S):
        self.following.advance(seconds)
        self.ticks += 1
        desired_rad = self.following.present[0]
        pose = desired_rad if joint_rad is None else joint_rad
        return self.following.judge(sample(pose, NOW_NS + self.ticks * 10**8), 0.0)

    def until_it_ends(self, joint_rad=None):
        for _ in range(100):
            if (outcome := self.tick(joint_rad)) is not None:
                return outcome
        raise AssertionError("it never ends")


def test_an_arm_that_follows_succeeds_when_it_is_there_and_stands():
    way = Way()
    outcome = way.until_it_ends()
    assert outcome.success and way.ticks >= 10


def test_an_arm_that_leaves_the_path_ends_the_goal_and_names_the_joint():
    way = Way()
    assert way.tick() is None
    far_rad = HOME + [0.0, 0.0, 0.4, 0.0, 0.0, 0.0]
    outcome = way.tick(far_rad)
    assert outcome.code == Result.PATH_TOLERANCE_VIOLATED
    assert outcome.why == "'elbow' is 0.400 rad from the trajectory (path_tolerance 0.35)"


def test_an_erased_path_tolerance_lets_it():
    message = goal(waist(0.3))
    message.path_tolerance = [JointTolerance(name=name, position=-1.0) for name in NAMES]
    assert Way(message).tick(HOME + 1.0) is None


def test_an_arm_that_does_not_arrive_ends_the_goal_after_the_time_given():
    way = Way()
    outcome = way.until_it_ends(waist(0.2))
    assert outcome.code == Result.GOAL_TOLERANCE_VIOLATED
    assert "'waist' is 0.100 rad away (goal_tolerance 0.05)" in outcome.why
    assert way.ticks == pytest.approx((1.0 + TOLERANCES.goal_time_s) / PERIOD_S, abs=2)


def test_an_arm_that_trembles_at_the_goal_has_not_arrived():
    way = Way()
    for side in (1, -1) * 50:
        outcome = way.tick(waist(0.3 + 0.02 * side))
        if outcome is not None:
            break
    assert outcome.code == Result.GOAL_TOLERANCE_VIOLATED and "still moves" in outcome.why


def test_the_set_point_is_where_the_trajectory_is_when_the_command_has_ended():
    way = Way()
    way.tick(seconds=0.15)
    way.tick(seconds=0.15)
    expected = way.following.spline.at(0.3 + ROBOT.settle_s)[0]
    assert np.array_equal(way.following.target_rad, expected)


def test_a_trajectory_that_begins_later_goes_through_its_first_point():
    message = goal(waist(0.3), waist(0.1), seconds=0.5)
    del message.trajectory.points[0]
    following = ArmFollowing(read(message), ROBOT, HOME, REST)
    assert np.allclose(following.spline.at(0.5)[0], waist(0.3))


def test_a_measurement_of_before_the_end_says_nothing_of_the_end():
    following = ArmFollowing(read(goal(waist(0.3))), ROBOT, HOME, REST)
    for _ in range(11):
        following.advance(PERIOD_S)
    there = sample(waist(0.3))
    following.judge(there, 0.15)
    later = JointSample(NOW_NS + 10**8, there.joint_rad, there.gripper_m)
    assert following.judge(later, 0.15) is None
    assert following.judge(later, 0.05).success


@pytest.mark.parametrize(("speed_rad_s", "stands"), [(0.05, True), (0.15, False)])
def test_an_arm_has_arrived_when_it_stands(speed_rad_s, stands):
    way = Way()
    for tick in range(13):
        outcome = way.tick(None if tick < 9 else waist(0.27 + speed_rad_s * PERIOD_S * (tick - 9)))
        if outcome is not None:
            break
    assert (outcome is not None and outcome.success) == stands


def test_a_cancelled_goal_is_no_success():
    assert not Outcome(Result.SUCCESSFUL, cancelled=True).success
    assert Outcome(Result.SUCCESSFUL).success and not Outcome().success


def test_after_a_pause_it_goes_on_from_where_it_was():
    way = Way()
    way.tick()
    before = way.following.target_rad[0]
    way.tick(seconds=60.0)
    assert way.following.target_rad[0] - before < 0.3 * 1.5 * 1.5 * PERIOD_S + 1e-9


def test_it_begins_at_the_set_point_and_not_at_the_first_point():
    start_rad = waist(0.05)
    following = ArmFollowing(read(goal(waist(0.3))), ROBOT, start_rad, REST)
    assert np.allclose(following.present[0], start_rad)


@pytest.mark.parametrize(
    ("measured_m", "stalled"), [([0.03, 0.025, 0.021], False), ([0.03] + [0.028] * 30, True)]
)
def test_the_gripper_arrives_or_stands_on_an_object(measured_m, stalled):
    gripping = Gripping(0.02, tolerance_m=0.002, way_m=0.01, speed_m_s=0.15)
    outcomes = [gripping.judge(value, PERIOD_S) for value in measured_m]
    ended = next(outcome for outcome in outcomes if outcome is not None)
    assert ended.stalled == stalled


def test_a_gripper_that_is_slow_to_begin_is_not_stalled():
    gripping = Gripping(0.02, tolerance_m=0.002, way_m=0.01, speed_m_s=0.15)
    assert all(gripping.judge(0.03, PERIOD_S) is None for _ in range(5))


def test_a_gripper_is_told_a_position_within_its_stroke():
    goal = GripperCommand.Goal()
    goal.command.position = ROBOT.gripper_open_m
    assert read_position(goal, ROBOT) == ROBOT.gripper_open_m
    for wrong in (-0.1, 1.0, math.nan, math.inf):
        goal.command.position = wrong
        with pytest.raises(RobotError, match=r"position must be from 0\.015 to 0\.037 m"):
            read_position(goal, ROBOT)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"name": ["elbow"], "position": [0.02]}, "of 'left_finger', got"),
        ({"position": []}, "expected one position"),
        ({"position": [0.02, 0.02]}, "expected one position"),
        ({"position": [0.02], "velocity": [0.1]}, "no velocity can be given"),
    ],
)
def test_a_parallel_gripper_is_told_one_position_of_its_joint(fields, why):
    goal = ParallelGripperCommand.Goal(command=JointState(name=["left_finger"], position=[0.02]))
    assert read_position(goal, ROBOT) == 0.02
    for name, value in {"name": ["left_finger"], **fields}.items():
        setattr(goal.command, name, value)
    with pytest.raises(RobotError, match=why):
        read_position(goal, ROBOT)


# Whether control follows.


def state(stamp_ns=NOW_NS, **fields):
    modes = {"mode": Mode.TRAJECTORY, "selected": Mode.TRAJECTORY}
    for name in modes:
        modes[name] = mode_message(fields.pop(name, modes[name]))
    message = RobotState(**modes, **fields)
    message.header.stamp = to_time(stamp_ns)
    return message


@pytest.mark.parametrize(
    ("control", "why"),
    [
        (None, "control is silent"),
        (state(stopped=True, reason="the stop topic"), "the arm is stopped: the stop topic"),
        (state(mode=Mode.INACTIVE), "control is not active"),
        (state(selected=Mode.POLICY), "choose the mode trajectory first"),
        (state(mode=Mode.HOLD, selected=Mode.HOLD), "choose the mode trajectory"),
        (state(mode=Mode.HOLD), ""),
        (state(), ""),
    ],
)
def test_a_goal_begins_only_where_trajectories_may_move_the_arm(control, why):
    assert why in refusal(control) and bool(why) == bool(refusal(control))


class Watched:
    def __init__(self):
        self.admission = Admission()
        self.admission.begin(0.0, NOW_NS)

    def at(self, now_s, late=False, **fields):
        return self.admission.judge(state(NOW_NS + round(now_s * 1e9), **fields), now_s, late)


HOLDS = {"mode": Mode.HOLD, "reason": "'elbow' is blocked"}


def test_until_it_follows_control_is_given_time():
    watched = Watched()
    assert watched.at(START_S - 0.1, **HOLDS) == "" and not watched.admission.follows
    assert watched.at(START_S + 0.1, **HOLDS) == "control holds: 'elbow' is blocked"


def test_a_hold_on_the_way_ends_the_goal_at_once_unless_the_command_came_late():
    watched = Watched()
    assert watched.at(0.1) == "" and watched.admission.follows
    assert watched.at(0.2, **HOLDS) == "control holds: 'elbow' is blocked"
    watched = Watched()
    assert watched.at(0.1) == "" and watched.at(0.4, late=True, **HOLDS) == ""
    assert not watched.admission.follows
    assert watched.at(0.5, **HOLDS) == "" and watched.at(0.6) == ""
    assert watched.at(0.7, **HOLDS) == "", "it may hold once more for the same command"
    assert watched.at(0.4 + LATE_S + 0.1, **HOLDS) == "control holds: 'elbow' is blocked"


def test_a_state_from_before_the_goal_counts_for_nothing():
    watched = Watched()
    assert watched.at(-0.1) == "" and not watched.admission.follows
    assert watched.at(0.1, **HOLDS) == ""


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"selected": Mode.TELEOP, "mode": Mode.TELEOP}, "a person took over"),
        ({"selected": Mode.HOLD, "reason": "homing"}, "another mode was chosen: homing"),
        ({"stopped": True, "reason": "a button"}, "the arm is stopped: a button"),
        ({"mode": Mode.INACTIVE}, "control is not active"),
    ],
)
def test_what_ends_a_goal_is_said(fields, why):
    watched = Watched()
    watched.at(0.1)
    assert watched.at(0.2, **fields).startswith(why) and not watched.admission.follows
    silent = copy.copy(watched.admission)
    assert silent.judge(None, 0.3, late=False).startswith("control is silent")
