"""What teleop_node sends for what a hand does, and how its claim and its life end, in this process
and at once.
"""

import math

import pytest
from geometry_msgs.msg import TwistStamped
from rclpy.clock import ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter

from conure_core.errors import ConfigError, RobotError
from conure_msgs.msg import PolicyCommand
from conure_ros.bringup.graph_parameters import file_parameters
from conure_ros.bringup.graphs import TELEOP
from conure_ros.comms.messages import to_ns
from conure_ros.comms.parameters import declare
from conure_ros.nodes.teleop_node import TeleopNode, TeleopParameters
from tests.ros.teleop_hand import HALF_OPEN_M, PAD, PERIOD_S, ROBOT, STALE_S, SUCCESS, Claim

pytestmark = pytest.mark.nodes


def test_the_first_input_is_sent_at_once_with_its_own_stamp(hand):
    hand.push(age_s=0.01)
    (command,) = hand.sent
    assert to_ns(command.header.stamp) == hand.node.now_ns() - 10_000_000
    assert command.header.frame_id == ROBOT.base_frame
    assert command.source == PolicyCommand.TELEOP and math.isnan(command.log_likelihood)
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
    hand.wait(0.985 * PERIOD_S)
    hand.push(forward=0.6)
    assert hand.action[0] == pytest.approx(0.6), "a period is over, as far as timers can tell"
    hand.wait(0.97 * PERIOD_S)
    hand.push(forward=0.7)
    assert hand.action[0] == pytest.approx(0.6), "and now it is not"


def test_its_timers_are_steady_and_send_once_a_control_period(teleop):
    periods_ns = {timer.callback.__name__: timer.timer_period_ns for timer in teleop.timers}
    assert periods_ns == {"_send": round(PERIOD_S * 1e9), "_diagnose": 1_000_000_000}
    assert all(timer.clock.clock_type == ClockType.STEADY_TIME for timer in teleop.timers)


@pytest.mark.parametrize("source", ["joy", "twist", "gripper"])
def test_silence_sends_nothing(hand, source):
    {
        "joy": hand.push,
        "twist": lambda: hand.twist(0.1),
        "gripper": lambda: hand.gripper(HALF_OPEN_M),
    }[source]()
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


# What it may be told.


def test_without_parameters_it_is_set_as_its_file_says():
    given = file_parameters(TELEOP)
    assert {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(PAD).items()
    } == {
        "robot": "wx250s",
        **given,
    }


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("dead_zone", 0.0, 0.9),
        ("twist_linear_full_m_s", 0.001, 10.0),
        ("twist_angular_full_rad_s", 0.001, 30.0),
        ("stale_s", 0.01, 2.0),
        ("unchanged_s", 0.0, 600.0),
    ],
)
def test_a_parameter_is_refused_beyond_its_range(context, name, lowest, highest):
    def declared(value):
        node = Node(
            "teleop",
            parameter_overrides=[Parameter(name, value=value)],
            start_parameter_services=False,
        )
        try:
            return getattr(declare(node, TeleopParameters), name)
        finally:
            node.destroy_node()

    assert (declared(lowest), declared(highest)) == (lowest, highest)
    for beyond in (0.99 * lowest - 0.0001, 1.01 * highest):
        with pytest.raises(ConfigError, match=name):
            declared(beyond)


# Two nodes, and the end.


def test_of_two_teleoperating_nodes_this_one_sends_no_more_and_says_whom_it_saw(hand):
    hand.push()
    hand.node.commands.found = "/other"
    assert "/other also publishes /command/teleop" in hand.fault()
    (said,) = hand.log.said
    assert said[0] == "warning" and "/other" in said[1]
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


def test_while_active_it_is_the_publisher_of_its_commands(teleop, wait_until):
    def publishers():
        return [info.node_name for info in teleop.get_publishers_info_by_topic("/command/teleop")]

    teleop.created_s -= 60.0  # nobody's discovery is waited for
    assert teleop.trigger_activate() == SUCCESS
    wait_until(lambda: publishers() == ["teleop"], 10.0)
    assert teleop.trigger_deactivate() == SUCCESS
    wait_until(lambda: publishers() == [], 10.0)


def test_it_is_not_activated_beside_another_one(teleop):
    def claim():
        raise RobotError("node /other publishes it")

    teleop.commands = Claim()
    teleop.commands.claim = claim
    assert teleop.trigger_activate() != SUCCESS


def test_the_end_gives_the_claim_back(hand, context):
    hand.node.release()
    assert not hand.node.commands.held
    fresh = TeleopNode()
    fresh.release()
    fresh.destroy_node()


def test_it_comes_back_from_cleanup_with_every_topic_once(teleop):
    def names():
        return sorted(some.topic_name for some in teleop.subscriptions), len(list(teleop.timers))

    before, publishers = names(), len(list(teleop.publishers))
    assert teleop.trigger_cleanup() == SUCCESS
    assert names()[1] == 0 and len(names()[0]) == len(before[0]) - 5
    assert len(list(teleop.publishers)) == publishers - 1
    assert teleop.trigger_configure() == SUCCESS
    assert names() == before and len(list(teleop.publishers)) == publishers


def test_how_old_inputs_are_when_they_are_sent_is_told(hand):
    hand.push(age_s=0.05)
    hand.node._diagnose()
    values = {value.key: value.value for value in hand.diagnoses[-1].status[0].values}
    assert float(values["worst_ms"]) == pytest.approx(50.0, abs=1.0)
