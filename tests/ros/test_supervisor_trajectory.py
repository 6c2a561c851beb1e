"""What control makes of the points of a trajectory: joint goals, judged as a policy's actions are,
in simulated time.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conure_ros.comms.messages import JointGoal, goal_message, joint_goal
from conure_ros.control.arbiter import Mode, Request
from tests.ros.supervised import ARM, FORWARD, HOME, PERIOD_S, ROBOT, ready

TURNED = HOME + [0.3, 0.0, 0.0, 0.0, 0.0, 0.0]
CLOSED = ROBOT.gripper_closed_m


def following(**words):
    """A rig whose trajectory may move the arm."""
    rig = ready(Mode.TRAJECTORY, **words)
    assert rig.state.selected is Mode.TRAJECTORY
    return rig


def send(rig, goal, seconds):
    rig.run(seconds, send=goal, source=Mode.TRAJECTORY)


def test_the_arm_goes_to_the_joint_goal_and_only_the_gripper_that_is_named_moves():
    rig = following()
    send(rig, JointGoal(TURNED, None), 1.0)
    assert rig.state.mode is Mode.TRAJECTORY
    assert np.allclose(rig.joint_rad, TURNED, atol=0.01)
    assert rig.commands[-1].gripper_m == ROBOT.gripper_open_m
    send(rig, JointGoal(None, CLOSED), 1.0)
    assert rig.commands[-1].gripper_m == pytest.approx(CLOSED)
    assert np.allclose(rig.commands[-1].joint_rad, TURNED, atol=1e-9)


def test_until_it_is_chosen_a_trajectory_moves_nothing_and_no_policy_beside_it():
    rig = ready(Mode.POLICY)
    send(rig, JointGoal(TURNED, None), 0.5)
    assert np.allclose(rig.joint_rad, HOME, atol=1e-3)
    rig = following()
    rig.run(0.5, send=FORWARD, source=Mode.POLICY)
    assert np.allclose(rig.joint_rad, HOME, atol=1e-3)


def test_a_person_takes_over_and_a_stop_wins():
    rig = following()
    send(rig, JointGoal(TURNED, None), 0.15)
    rig.run(0.3, send=FORWARD, source=Mode.TELEOP)
    assert rig.state.selected is Mode.TELEOP
    count = len(rig.commands)
    send(rig, JointGoal(TURNED, None), 0.1)
    assert rig.state.selected is Mode.TELEOP and len(rig.commands) <= count + 1
    rig = following()
    send(rig, JointGoal(TURNED, None), 0.15)
    rig.supervisor.stop("a test")
    rig.run(0.3)
    stood_rad = rig.joint_rad
    send(rig, JointGoal(TURNED, None), 0.5)
    assert np.allclose(rig.joint_rad, stood_rad, atol=1e-6) and rig.state.selected is Mode.HOLD


def test_a_pause_holds_where_the_set_point_is_until_the_next_goal():
    rig = following()
    far = JointGoal(HOME + [0.6, 0.0, 0.0, 0.0, 0.0, 0.0], None)
    send(rig, far, 0.14)
    rig.supervisor.pause(Mode.TRAJECTORY, "the trajectory rests")
    assert rig.state.mode is Mode.HOLD and "rests" in rig.state.reason
    rig.run(0.3)
    stood_rad = rig.joint_rad
    assert 0.0 < stood_rad[0] < 0.4
    rig.run(0.3)
    assert np.allclose(rig.joint_rad, stood_rad, atol=1e-6)
    send(rig, far, 1.0)
    assert rig.state.mode is Mode.TRAJECTORY and rig.joint_rad[0] > 0.55


def test_the_pause_of_a_source_that_does_not_move_the_arm_is_nothing():
    rig = ready(Mode.POLICY)
    rig.run(0.3, send=FORWARD)
    rig.supervisor.pause(Mode.TRAJECTORY, "the trajectory rests")
    assert rig.state.mode is Mode.POLICY


@pytest.mark.parametrize(
    "goal",
    [
        JointGoal(np.full(6, np.nan), None),
        JointGoal(TURNED, np.inf),
        JointGoal(TURNED[:3], None),
    ],
    ids=["nan", "inf", "three joints"],
)
def test_a_goal_that_makes_no_sense_holds_the_arm_and_is_counted(goal):
    rig = following()
    rig.supervisor.take_request(Mode.TRAJECTORY, Request(rig.now_ns(), goal))
    assert rig.state.mode is Mode.HOLD and rig.state.refused == 1
    rig.run(0.3)
    assert np.allclose(rig.joint_rad, HOME, atol=1e-6)


def test_a_silent_trajectory_holds():
    rig = following()
    send(rig, JointGoal(TURNED, None), 0.3)
    rig.run(0.5)
    assert rig.state.mode is Mode.HOLD and "no trajectory command for" in rig.state.reason


wild = st.lists(st.floats(-7.0, 7.0), min_size=6, max_size=6).map(np.array)


@settings(max_examples=20, deadline=None)
@given(st.lists(wild, min_size=1, max_size=8))
def test_whatever_the_goals_are_the_arm_keeps_limits_speed_and_the_box(goals):
    rig = following()
    for goal in goals:
        send(rig, JointGoal(goal, None), 2 * PERIOD_S)
    commands = np.array([command.joint_rad for command in rig.commands])
    assert (commands >= ARM.lower_rad - 1e-9).all() and (commands <= ARM.upper_rad + 1e-9).all()
    fastest = np.abs(np.diff(rig.track, axis=0)).max() / 0.01
    assert fastest < 1.05 * max(ROBOT.max_speed_rad_s)
    lower, upper = ARM.workspace_m
    tools = np.array([ARM.forward(row)[:3, 3].copy() for row in rig.track])
    assert (tools > lower - 2e-3).all() and (tools < upper + 2e-3).all(), "on the way too"
    assert all(ARM.first_collision(row) is None for row in rig.track[::2])


@given(wild, st.one_of(st.none(), st.floats(0.0, 1.0)), st.booleans())
def test_a_goal_survives_its_message(joint_rad, gripper_m, with_arm):
    goal = JointGoal(joint_rad if with_arm or gripper_m is None else None, gripper_m)
    found = joint_goal(goal_message(goal, ROBOT, 7), ROBOT)
    assert found.gripper_m == goal.gripper_m
    assert (found.joint_rad is None) == (goal.joint_rad is None)
    assert goal.joint_rad is None or np.array_equal(found.joint_rad, goal.joint_rad)


def test_a_message_with_foreign_or_missing_joints_is_refused_by_name():
    message = goal_message(JointGoal(TURNED, 0.02), ROBOT, 7)
    for names, why in (
        (["j1", *message.joint_names[1:]], "names j1; wx250s has"),
        ([], "names no joint"),
        ([*message.joint_names[1:], "waist"][:6], "6 names but 7 positions"),
    ):
        message.joint_names = names
        with pytest.raises(Exception, match=why):
            joint_goal(message, ROBOT)
