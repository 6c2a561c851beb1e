"""What teleop_node refuses of a hand: it names it, and sends nothing."""

import math

import pytest
from sensor_msgs.msg import JointState, Joy

from tests.ros.teleop_hand import (
    HALF_OPEN_M,
    PAD,
    PERIOD_S,
    ROBOT,
    STALE_S,
    SUCCESS,
    UNCHANGED_S,
    Hand,
)

pytestmark = pytest.mark.nodes


def test_an_inactive_node_sends_nothing_whatever_comes(teleop, monkeypatch):
    hand = Hand(teleop, monkeypatch)
    hand.measure(ROBOT.gripper_open_m)
    assert teleop.trigger_deactivate() == SUCCESS
    assert not teleop.commands.held
    hand.push()
    hand.twist(0.1)
    hand.gripper(HALF_OPEN_M)
    teleop._send()
    assert hand.sent == [] and teleop.intent is None and teleop.asked is None
    assert hand.fault() == "ok", "nor has it anything to say about it"


def test_what_was_pressed_before_activation_counts_for_nothing(hand):
    hand.push(PAD.close_button)
    hand.node.deactivate()
    assert (hand.node.intent, hand.node.asked) == (None, None)
    hand.node.activate()
    hand.wait(0.05)
    hand.node._send()
    assert len(hand.sent) == 1


def test_a_dead_mans_button_that_sticks_arms_nothing_until_it_is_let_go(hand):
    assert hand.node.trigger_deactivate() == SUCCESS
    hand.push()
    assert hand.node.trigger_activate() == SUCCESS
    for _ in range(3):
        hand.wait(PERIOD_S)
        hand.push()
    assert hand.sent == []
    assert "held before activation; let it go first" in hand.fault()
    hand.wait(0.01)
    hand.joy()
    hand.push()
    assert len(hand.sent) == 1


def test_a_button_that_was_let_go_before_activation_arms(hand):
    assert hand.node.trigger_deactivate() == SUCCESS
    hand.push()
    hand.joy()
    assert hand.node.trigger_activate() == SUCCESS
    hand.push()
    assert len(hand.sent) == 1


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda hand: hand.hear("joy", Joy(axes=[0.0], buttons=[1])), "joy has 1 axes"),
        (lambda hand: hand.twist(0.1, frame="elsewhere"), "must be in frame"),
        (lambda hand: hand.twist(math.nan), "not finite"),
        (lambda hand: hand.gripper(math.nan), "not finite"),
        (
            lambda hand: hand.hear("teleop/gripper", JointState(name=["other"], position=[0.0])),
            "lacks",
        ),
        (lambda hand: hand.push(stamped=False), "has no stamp"),
        (lambda hand: hand.twist(0.1, stamped=False), "has no stamp"),
        (lambda hand: hand.gripper(0.02, stamped=False), "has no stamp"),
    ],
)
def test_a_wrong_input_ends_motion_and_is_named_logged_once_and_counted(hand, make, text):
    hand.push()
    hand.wait(PERIOD_S)
    make(hand)
    hand.node._send()
    assert len(hand.sent) == 1
    assert text in hand.fault()
    make(hand)
    (said,) = hand.log.said
    assert said[0] == "warning" and said[1].startswith("refused: ") and text in said[1]
    values = hand.node.tally.values()
    assert [value for key, value in values.items() if key.startswith("dropped")] == ["2"]


@pytest.mark.parametrize("source", ["joy", "twist", "gripper"])
def test_an_input_that_is_old_when_it_comes_is_silence_and_is_said(hand, source):
    make = {"joy": hand.push, "twist": lambda **words: hand.twist(0.1, **words)}
    make["gripper"] = lambda **words: hand.gripper(HALF_OPEN_M, **words)
    make[source](age_s=STALE_S + 0.01)
    assert hand.sent == []
    assert "old when it came" in hand.fault()
    make[source]()
    assert len(hand.sent) == 1 and hand.fault() == "ok", "the next one is as good as any"


def test_an_input_that_comes_twice_is_one(hand):
    hand.push()
    hand.wait(0.12)
    hand.push(age_s=0.12)
    hand.wait(0.05)
    hand.node._send()
    assert len(hand.sent) == 1 and hand.node.intent is None, (
        "its age counts from when it first came"
    )


@pytest.mark.parametrize("source", ["joy", "twist"])
def test_input_that_never_changes_moves_the_arm_only_for_so_long(hand, source):
    make = hand.push if source == "joy" else lambda: hand.twist(0.1)
    for _ in range(math.ceil((UNCHANGED_S + 1.0) / PERIOD_S)):
        hand.wait(PERIOD_S)
        make()
    assert len(hand.sent) == pytest.approx(UNCHANGED_S / PERIOD_S, abs=1)
    assert "has not changed for" in hand.fault()
    hand.wait(PERIOD_S)
    hand.joy() if source == "joy" else hand.twist(0.0)
    assert hand.fault() == "ok"
    before = len(hand.sent)
    make()
    assert len(hand.sent) == before + 1, "a hand that lets go begins anew"


@pytest.mark.parametrize(
    ("move", "rest"),
    [
        (lambda hand: hand.push(), lambda hand: hand.joy()),
        (lambda hand: hand.push(), lambda hand: hand.push(forward=0.0)),
        (lambda hand: hand.twist(0.1), lambda hand: hand.twist(0.0)),
    ],
    ids=["button let go", "stick let go", "SpaceMouse let go"],
)
def test_a_hand_that_rests_for_a_moment_may_go_on_as_before(hand, move, rest):
    for make in (move, rest, move):
        for _ in range(1 if make is rest else math.floor(0.7 * UNCHANGED_S / PERIOD_S)):
            hand.wait(PERIOD_S)
            make(hand)
    assert hand.fault() == "ok"


def test_a_hand_that_holds_the_button_and_moves_nothing_may_do_so_for_ever(hand):
    for _ in range(math.ceil(2 * UNCHANGED_S / PERIOD_S)):
        hand.wait(PERIOD_S)
        hand.push(forward=0.0)
    assert len(hand.sent) == math.ceil(2 * UNCHANGED_S / PERIOD_S)
    for _ in range(5):
        hand.wait(PERIOD_S)
        hand.push()
    assert hand.action[0] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "message",
    [
        JointState(name=["other"], position=[0.0]),
        JointState(name=list(ROBOT.joint_names), position=[0.0] * 6),
        JointState(name=[], position=[]),
        JointState(name=[ROBOT.gripper_joint], position=[math.nan]),
        JointState(name=[ROBOT.gripper_joint], position=[]),
    ],
    ids=["another machine's", "the arm's alone", "nobody's", "not finite", "malformed"],
)
def test_whatever_a_driver_publishes_the_persons_input_goes_on(hand, message):
    hand.push()
    hand.wait(PERIOD_S)
    hand.hear("joint_states", message)
    hand.node._send()
    assert len(hand.sent) == 2
    assert hand.action[0] == pytest.approx(0.5, abs=0.05)


def test_a_gripper_that_is_published_apart_is_measured(hand):
    message = JointState(name=[ROBOT.gripper_joint], position=[ROBOT.gripper_closed_m])
    hand.hear("joint_states", message)
    hand.push()
    assert hand.action[-1] == pytest.approx(-1.0)
