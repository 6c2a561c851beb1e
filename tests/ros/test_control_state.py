"""What a reader of robot_state may believe, and for how long."""

import time
from types import SimpleNamespace

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor

from conure_msgs.msg import RobotState
from conure_ros.comms.messages import mode_message
from conure_ros.comms.qos import LATCHED, STATE, STATE_SILENT_S
from conure_ros.control.arbiter import Mode
from conure_ros.control.control_state import ControlState, confirms_stop, describe_state

pytestmark = pytest.mark.nodes


@pytest.fixture
def node(domain):
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(domain["ROS_DOMAIN_ID"]))
    node = rclpy.create_node("reader", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    yield node, lambda: executor.spin_once(timeout_sec=0.02)
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)


def turn_until(turn, condition, timeout_s=10.0):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        turn()


def test_a_stop_is_not_believed_of_a_control_whose_definition_of_the_state_is_another(
    node, monkeypatch
):
    node, turn = node
    control, asked_s = ControlState(node), time.monotonic()
    states = node.create_publisher(RobotState, "robot_state", STATE)
    assert control.is_readable(), "it is this node's own"
    assert not control.confirms_stop(asked_s)
    states.publish(RobotState(stopped=True))
    turn_until(turn, lambda: control.confirms_stop(asked_s))
    for told, believed in (("RIHS01_of_another", False), ("INVALID", True)):
        end = SimpleNamespace(node_name="control", topic_type_hash=told)
        monkeypatch.setattr(node, "get_publishers_info_by_topic", lambda topic, end=end: [end])
        assert control.confirms_stop(asked_s) is believed


def test_the_latched_state_of_before_is_none_and_a_state_is_news_for_half_a_second(node):
    node, turn = node
    states = node.create_publisher(RobotState, "robot_state", STATE)
    states.publish(RobotState(reason="of before"))
    latched = []
    node.create_subscription(RobotState, "robot_state", latched.append, LATCHED)
    control = ControlState(node)
    turn_until(turn, lambda: latched and control._subscription.get_publisher_count())
    assert control.silent and control.state is None and control.text == "control is silent"

    asked_s = time.monotonic()
    states.publish(RobotState(mode=mode_message(Mode.HOLD), reason="asked for"))
    turn_until(turn, lambda: not control.silent)
    assert control.text == "hold: asked for"
    assert control.last_since(asked_s).reason == "asked for"
    assert control.last_since(time.monotonic()) is None, "it came before"
    heard_s = time.monotonic()
    turn_until(turn, lambda: control.silent)
    assert time.monotonic() - heard_s > 0.8 * STATE_SILENT_S
    assert control.text == "control is silent"


def test_a_stop_with_a_reservation_is_none():
    assert confirms_stop(RobotState(stopped=True))
    assert not confirms_stop(RobotState(stopped=False))
    assert not confirms_stop(None)
    limp = RobotState(
        mode=mode_message(Mode.STOPPED),
        stopped=True,
        reason="the stop topic",
        alarm="torque off not confirmed",
    )
    assert not confirms_stop(limp)
    assert describe_state(limp) == "stopped: the stop topic | ALARM: torque off not confirmed"
    assert describe_state(RobotState(mode=mode_message(99))) == "mode 99"
