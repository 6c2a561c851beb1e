"""What teleop_node sends for what a hand does, in this process and at once: with clocks of the test's own."""

import math

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.clock import ClockType
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import JointState, Joy
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from conure_core.errors import RobotError
from conure_core.robot import load_robot
from conure_ros import teleop_node
from conure_ros.messages import joint_state_message, to_ns, to_time
from conure_ros.teleop_node import TeleopNode, TeleopParameters

pytestmark = pytest.mark.ros
ROBOT = load_robot("wx250s")
HOME = np.array(ROBOT.home_rad)
PERIOD_S = ROBOT.control_period_s
PAD = TeleopParameters()
STALE_S, UNCHANGED_S = PAD.stale_s, PAD.unchanged_s
BEGAN_NS = 1_000_000_000_000
SUCCESS = TransitionCallbackReturn.SUCCESS
HALF_OPEN_M = 0.5 * (ROBOT.gripper_closed_m + ROBOT.gripper_open_m)


class Claim:
    """Stands for the claim to command/teleop; keeps what is sent."""

    topic = "/command/teleop"

    def __init__(self):
        self.sent, self.held, self.found = [], False, ""

    def claim(self):
        self.held = True

    def release(self):
        self.held = False

    def publish(self, message):
        assert self.held
        self.sent.append(message)

    def rival(self):
        return self.found


class Log:
    def __init__(self):
        self.said = []

    def __getattr__(self, level):
        return lambda text: self.said.append((level, text))


class Hand:
    """A node whose time runs only in `wait`; its timers run only when the test says so."""

    def __init__(self, node, monkeypatch):
        self.node, self.t_s, self.resets, self.diagnoses = node, 100.0, 0, []
        self.log = Log()
        node.commands, node.get_logger = Claim(), lambda: self.log
        node.now_ns = lambda: BEGAN_NS + round((self.t_s - 100.0) * 1e9)
        monkeypatch.setattr(teleop_node.time, "monotonic", lambda: self.t_s)
        node.timer.reset = self._reset
        node.diagnostics = self
        assert node.trigger_activate() == SUCCESS

    def _reset(self):
        self.resets += 1

    def publish(self, message):
        self.diagnoses.append(message)

    def wait(self, seconds):
        self.t_s += seconds

    def hear(self, topic, message, stamped=True, age_s=0.0):
        if stamped:
            message.header.stamp = to_time(self.node.now_ns() - round(age_s * 1e9))
        (callback,) = (some.callback for some in self.node.subscriptions if some.topic_name.lstrip("/") == topic)
        callback(message)

    def joy(self, *pressed, age_s=0.0, stamped=True, **axes):
        values = [0.0] * PAD.axis_count
        for name, value in axes.items():
            values[int(name[1:])] = value
        buttons = [int(number in pressed) for number in range(PAD.button_count)]
        self.hear("joy", Joy(axes=values, buttons=buttons), stamped, age_s)

    def push(self, *pressed, forward=0.5, **words):
        self.joy(PAD.dead_man_button, *pressed, a1=forward, **words)

    def twist(self, linear_x, frame="", **words):
        message = TwistStamped()
        message.header.frame_id, message.twist.linear.x = frame, linear_x
        self.hear("teleop/twist", message, **words)

    def gripper(self, position_m, **words):
        self.hear("teleop/gripper", JointState(name=[ROBOT.gripper_joint], position=[position_m]), **words)

    def measure(self, gripper_m):
        message = joint_state_message(ROBOT, HOME, np.zeros(6), gripper_m, self.node.now_ns())
        self.hear("joint_states", message, stamped=False)

    def command(self, gripper_m, names=(ROBOT.gripper_joint,), points=1):
        positions = [gripper_m] * len(names)
        ways = [JointTrajectoryPoint(positions=[0.0] * len(names)) for _ in range(points - 1)]
        ways += [JointTrajectoryPoint(positions=positions)] * min(1, points)
        self.hear("joint_trajectory", JointTrajectory(joint_names=list(names), points=ways), stamped=False)

    @property
    def sent(self):
        return self.node.commands.sent

    @property
    def action(self):
        return list(self.sent[-1].action)

    def fault(self):
        self.node._diagnose()
        (status,) = self.diagnoses[-1].status
        assert status.name == "teleop: input"
        return status.message


@pytest.fixture(scope="module")
def context(domain):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", domain["ROS_DOMAIN_ID"])
        rclpy.init(domain_id=int(domain["ROS_DOMAIN_ID"]))
        yield
        rclpy.try_shutdown()


@pytest.fixture
def node(context):
    node = TeleopNode()
    assert node.trigger_configure() == SUCCESS
    yield node
    node.end()
    node.destroy_node()


@pytest.fixture
def hand(node, monkeypatch):
    """Active, with a gripper that is measured open."""
    hand = Hand(node, monkeypatch)
    hand.measure(ROBOT.gripper_open_m)
    return hand


# What is sent, and when.


def test_the_first_input_is_sent_at_once_with_its_own_stamp(hand):
    hand.push(age_s=0.01)
    (command,) = hand.sent
    assert to_ns(command.header.stamp) == hand.node.now_ns() - 10_000_000
    assert command.header.frame_id == ROBOT.base_frame
    assert command.source == "teleop" and math.isnan(command.log_likelihood)
    assert hand.action == pytest.approx([0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    assert hand.resets == 1, "the next one a period later"


def test_the_newest_input_is_sent_once_a_period(hand):
    hand.push(forward=0.2)
    for forward in (0.3, 0.4, 0.5):
        hand.wait(0.02)
        hand.push(forward=forward)
    assert len(hand.sent) == 1
    hand.wait(0.04)
    hand.node._send()
    assert len(hand.sent) == 2 and hand.action[0] == pytest.approx(0.5)
    hand.wait(0.99 * PERIOD_S)
    hand.push(forward=0.6)
    assert hand.action[0] == pytest.approx(0.6), "a period is over, as far as timers can tell"
    hand.wait(0.95 * PERIOD_S)
    hand.push(forward=0.7)
    assert hand.action[0] == pytest.approx(0.6), "and now it is not"


def test_its_timers_are_steady_and_send_once_a_control_period(node):
    periods_ns = {timer.callback.__name__: timer.timer_period_ns for timer in node.timers}
    assert periods_ns == {"_send": round(PERIOD_S * 1e9), "_diagnose": 1_000_000_000}
    assert all(timer.clock.clock_type == ClockType.STEADY_TIME for timer in node.timers)


@pytest.mark.parametrize("source", ["joy", "twist", "gripper"])
def test_silence_sends_nothing(hand, source):
    {"joy": hand.push, "twist": lambda: hand.twist(0.1), "gripper": lambda: hand.gripper(HALF_OPEN_M)}[source]()
    assert len(hand.sent) == 1
    hand.wait(STALE_S - 0.01)
    hand.node._send()
    assert len(hand.sent) == 2
    hand.wait(0.02)
    hand.node._send()
    hand.node._send()
    assert len(hand.sent) == 2
    assert hand.node.intent is None


def test_a_hand_that_lets_go_sends_nothing_at_once(hand):
    hand.push()
    hand.joy()
    hand.wait(PERIOD_S)
    hand.node._send()
    hand.twist(0.1)
    hand.twist(0.0)
    hand.wait(0.01)
    hand.node._send()
    assert len(hand.sent) == 2 and hand.fault() == "ok"


def test_a_velocity_moves_the_arm_as_its_scale_says(hand):
    hand.twist(0.5 * PAD.twist_linear_full_m_s, frame=ROBOT.base_frame)
    assert hand.action == pytest.approx([0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    message = TwistStamped()
    message.twist.linear.y, message.twist.linear.z, message.twist.angular.x = 0.05, 0.1, 0.375
    message.twist.angular.y, message.twist.angular.z = 0.75, 1.5
    hand.wait(PERIOD_S)
    hand.hear("teleop/twist", message)
    assert hand.action == pytest.approx([0.0, 0.25, 0.5, 0.25, 0.5, 1.0, 1.0])


# What is refused.


def test_an_inactive_node_sends_nothing_whatever_comes(node, monkeypatch):
    hand = Hand(node, monkeypatch)
    hand.measure(ROBOT.gripper_open_m)
    assert node.trigger_deactivate() == SUCCESS
    assert not node.commands.held
    hand.push()
    hand.twist(0.1)
    hand.gripper(HALF_OPEN_M)
    node._send()
    assert hand.sent == [] and node.intent is None and node.asked is None


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
        (lambda hand: hand.hear("teleop/gripper", JointState(name=["other"], position=[0.0])), "lacks"),
        (lambda hand: hand.push(stamped=False), "has no stamp"),
        (lambda hand: hand.twist(0.1, stamped=False), "has no stamp"),
        (lambda hand: hand.gripper(0.02, stamped=False), "has no stamp"),
        (lambda hand: hand.hear("joint_states", JointState(name=["other"], position=[0.0])), "lacks"),
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
    assert len(hand.sent) == 1 and hand.node.intent is None, "its age counts from when it first came"


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
    make()
    assert hand.action[0] > 0.0 and len(hand.sent) > UNCHANGED_S / PERIOD_S + 0.5, "a hand that lets go begins anew"


def test_a_hand_that_holds_the_button_and_moves_nothing_may_do_so_for_ever(hand):
    for _ in range(math.ceil(2 * UNCHANGED_S / PERIOD_S)):
        hand.wait(PERIOD_S)
        hand.push(forward=0.0)
    assert len(hand.sent) == math.ceil(2 * UNCHANGED_S / PERIOD_S)
    for _ in range(5):
        hand.wait(PERIOD_S)
        hand.push()
    assert hand.action[0] == pytest.approx(0.5)


# The gripper.


def test_a_takeover_keeps_the_gripper_where_it_was_commanded_else_where_it_is(hand):
    hand.measure(HALF_OPEN_M)
    hand.push()
    assert hand.action[6] == pytest.approx(0.0)
    hand.command(ROBOT.gripper_closed_m)
    hand.wait(PERIOD_S)
    hand.push()
    assert hand.action[6] == pytest.approx(-1.0), "what it holds it is still to press"


def test_without_a_known_gripper_nothing_is_sent(node, monkeypatch):
    hand = Hand(node, monkeypatch)
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


def test_where_control_does_not_tell_the_gripper_what_was_asked_for_stays(hand):
    hand.push(PAD.close_button)
    hand.joy()
    hand.wait(PERIOD_S)
    hand.push(forward=0.4)
    assert hand.action[6] == -1.0


def test_only_the_end_of_a_trajectory_with_the_gripper_counts(hand):
    hand.command(0.0, names=("waist",))
    hand.command(0.0, points=0)
    assert hand.node.commanded_m is None
    hand.command(HALF_OPEN_M, names=("waist", ROBOT.gripper_joint), points=2)
    assert hand.node.commanded_m == pytest.approx(HALF_OPEN_M)
    point = JointTrajectoryPoint(positions=[])
    hand.hear("joint_trajectory", JointTrajectory(joint_names=[ROBOT.gripper_joint], points=[point]), stamped=False)
    assert "joint_trajectory" in hand.fault()


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
    assert hand.action == pytest.approx([0.0] * 6 + [0.0]), "the motion of another device does not go on for it"


# Two nodes, and the end.


def test_of_two_teleoperating_nodes_this_one_sends_no_more_and_says_whom_it_saw(hand):
    hand.push()
    hand.node.commands.found = "/other"
    assert "/other also publishes /command/teleop" in hand.fault()
    assert not hand.node.commands.held
    hand.wait(PERIOD_S)
    hand.push()
    assert len(hand.sent) == 1
    hand.node.commands.found = ""
    assert "/other" in hand.fault(), "until it is activated again"
    assert hand.node.trigger_deactivate() == SUCCESS
    assert hand.node.trigger_activate() == SUCCESS
    hand.joy()
    assert hand.fault() == "ok"
    hand.wait(PERIOD_S)
    hand.push()
    assert len(hand.sent) == 2


def test_a_node_that_sees_nobody_else_keeps_its_claim(hand):
    assert hand.fault() == "ok"
    assert hand.node.commands.held


def test_it_is_not_activated_beside_another_one(node):
    def claim():
        raise RobotError("node /other publishes it")

    node.commands = Claim()
    node.commands.claim = claim
    assert node.trigger_activate() != SUCCESS


def test_the_end_gives_the_claim_back(hand, context):
    hand.node.release()
    assert not hand.node.commands.held
    fresh = TeleopNode()
    fresh.release()
    fresh.destroy_node()


def test_it_comes_back_from_cleanup_with_every_topic_once(node):
    def names():
        return sorted(some.topic_name for some in node.subscriptions), len(list(node.timers))

    before, publishers = names(), len(list(node.publishers))
    assert node.trigger_cleanup() == SUCCESS
    assert names()[1] == 0 and len(names()[0]) == len(before[0]) - 5
    assert len(list(node.publishers)) == publishers - 1
    assert node.trigger_configure() == SUCCESS
    assert names() == before and len(list(node.publishers)) == publishers


def test_how_old_inputs_are_when_they_are_sent_is_told(hand):
    hand.push(age_s=0.05)
    hand.node._diagnose()
    values = {value.key: value.value for value in hand.diagnoses[-1].status[0].values}
    assert float(values["worst_ms"]) == pytest.approx(50.0, abs=1.0)
