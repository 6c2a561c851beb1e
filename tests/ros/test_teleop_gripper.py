"""What teleop_node commands the gripper, which a hand that takes over must not let go of."""

import math

import pytest
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from tests.ros.teleop_hand import HALF_OPEN_M, PAD, PERIOD_S, ROBOT, STALE_S, Hand

pytestmark = pytest.mark.nodes


def test_a_takeover_keeps_the_gripper_where_it_was_commanded_else_where_it_is(hand):
    hand.measure(HALF_OPEN_M)
    hand.push()
    assert hand.action[6] == pytest.approx(0.0)
    hand.command(ROBOT.gripper_closed_m)
    hand.wait(PERIOD_S)
    hand.push()
    assert hand.action[6] == pytest.approx(-1.0), "what it holds it is still to press"


def test_without_a_known_gripper_nothing_is_sent(teleop, monkeypatch):
    hand = Hand(teleop, monkeypatch)
    hand.push()
    assert hand.sent == [] and "waiting for joint_states" in hand.fault()


def test_a_gripper_that_was_asked_for_stays_asked_for_until_the_hand_lets_go(hand):
    hand.command(ROBOT.gripper_open_m)
    hand.push(PAD.close_button)
    assert hand.action[6] == -1.0
    hand.wait(PERIOD_S)
    hand.push()
    assert hand.action[6] == -1.0
    hand.joy()
    hand.wait(PERIOD_S)
    hand.push(forward=0.4)
    assert hand.action[6] == pytest.approx(1.0), "then it is where it was commanded"


def test_one_wrong_input_does_not_undo_what_the_gripper_was_asked_for(hand):
    hand.command(ROBOT.gripper_open_m)
    hand.push(PAD.close_button)
    hand.push(forward=math.nan)
    hand.wait(PERIOD_S)
    hand.node._send()
    hand.push()
    assert hand.action[6] == -1.0


def test_where_control_does_not_tell_the_gripper_what_was_asked_for_stays(hand):
    hand.push(PAD.close_button)
    hand.joy()
    hand.wait(PERIOD_S)
    hand.push(forward=0.4)
    assert hand.action[6] == -1.0


def test_only_the_end_of_a_trajectory_with_the_gripper_counts(hand):
    hand.command(0.0, names=("waist",))
    hand.command(0.0, points=0)
    assert hand.node.commanded_m is None and hand.fault() == "ok"
    hand.command(HALF_OPEN_M, names=("waist", ROBOT.gripper_joint), points=2)
    assert hand.node.commanded_m == pytest.approx(HALF_OPEN_M)
    point = JointTrajectoryPoint(positions=[])
    hand.hear(
        "joint_trajectory",
        JointTrajectory(joint_names=[ROBOT.gripper_joint], points=[point]),
        stamped=False,
    )
    assert "joint_trajectory" in hand.fault()


def test_the_gripper_alone_is_commanded_at_once_when_the_hand_has_let_go(hand):
    hand.push()
    hand.joy()
    hand.wait(PERIOD_S)
    hand.gripper(ROBOT.gripper_closed_m)
    assert hand.action == pytest.approx([0.0] * 6 + [-1.0])


def test_the_gripper_alone_moves_nothing_else_and_leaves_a_hand_that_moves_the_arm_alone(hand):
    hand.gripper(HALF_OPEN_M)
    assert hand.action == pytest.approx([0.0] * 6 + [0.0])
    hand.wait(PERIOD_S)
    hand.push()
    hand.wait(0.01)
    hand.gripper(ROBOT.gripper_closed_m)
    hand.wait(PERIOD_S - 0.01)
    hand.node._send()
    assert hand.action == pytest.approx([0.5, 0, 0, 0, 0, 0, -1.0])
    hand.wait(STALE_S - PERIOD_S + 0.01)
    hand.gripper(HALF_OPEN_M)
    hand.wait(0.05)
    hand.node._send()
    assert hand.action == pytest.approx([0.0] * 6 + [0.0]), (
        "the motion of another device does not go on for it"
    )


@pytest.mark.parametrize("lets_go", ["rests", "releases the dead man's button", "falls silent"])
def test_a_gripper_that_was_asked_for_just_before_the_hand_lets_go_is_commanded(hand, lets_go):
    hand.command(ROBOT.gripper_open_m)
    hand.wait(0.06)
    hand.twist(0.1)
    hand.wait(0.09)
    hand.gripper(ROBOT.gripper_closed_m)
    assert hand.action[6] == pytest.approx(1.0), "the next command is not due yet"
    hand.wait(0.005)
    if lets_go == "rests":
        hand.twist(0.0)
        hand.twist(0.0)
    elif lets_go != "falls silent":
        hand.joy()
    hand.wait(PERIOD_S)
    hand.node._send()
    assert hand.action == pytest.approx([0.0] * 6 + [-1.0])
    sent = len(hand.sent)
    hand.twist(0.0)
    hand.wait(PERIOD_S)
    hand.node._send()
    assert len(hand.sent) == sent, "once"


def test_a_gripper_that_was_asked_for_is_forgotten_when_it_could_not_be_commanded_in_time(hand):
    hand.command(ROBOT.gripper_open_m)
    hand.twist(0.1)
    hand.gripper(ROBOT.gripper_closed_m)
    hand.twist(0.0)
    sent = len(hand.sent)
    hand.wait(STALE_S + 0.01)
    hand.node._send()
    assert len(hand.sent) == sent
    hand.push()
    assert hand.action[6] == pytest.approx(1.0)
