"""The state that control reports on robot_state, for its readers. An outdated state counts as
none.
"""

import math
import time
from typing import Any

import numpy as np
from rclpy.node import Node

from conure_core.types import Array
from conure_msgs.msg import RobotState
from conure_ros.comms.qos import NEWEST, STATE_SILENT_S
from conure_ros.control.arbiter import Mode

UNKNOWN = "INVALID"
"""What rclpy calls the hash of an end that does not tell one."""


class ControlState:
    """The newest state that control published, while it is recent.

    The subscription is volatile on purpose. Control publishes at least every qos.STATE_PERIOD_S, so
    each message was sent after this subscription began. The latched state of a control that died or
    hangs never counts.

    >>> control = ControlState(node)
    >>> control.text  # 'control is silent', or 'policy', or 'hold: waiting for joint_states'
    """

    def __init__(self, node: Node, topic: str = "robot_state") -> None:
        self._node, self._last, self._received_s = node, None, -math.inf
        self.commanded_rad: Array | None = None
        """The last joint command that control sent, (n,), rad; None before the first."""
        self._subscription = node.create_subscription(RobotState, topic, self._on_state, NEWEST)

    def _on_state(self, state: RobotState) -> None:
        self._last, self._received_s = state, time.monotonic()
        if state.commanded_rad:
            self.commanded_rad = np.array(state.commanded_rad)

    @property
    def silent(self) -> bool:
        """Whether control published nothing for longer than STATE_SILENT_S, on the steady clock."""
        return time.monotonic() - self._received_s > STATE_SILENT_S

    @property
    def state(self) -> RobotState | None:
        """The newest state; None while control is silent."""
        return None if self.silent else self._last

    def last_since(self, steady_s: float) -> RobotState | None:
        """The newest state if it came after `steady_s` (time.monotonic), however old it is now;
        else None.
        """
        return self._last if self._received_s > steady_s else None

    def confirms_stop(self, steady_s: float) -> bool:
        """Whether control said after `steady_s` (time.monotonic) that the arm is stopped, without
        an alarm, in messages of this definition.
        """
        return confirms_stop(self.last_since(steady_s)) and self.is_readable()

    def is_readable(self) -> bool:
        """Whether all publishers hold this node's definition of RobotState: of another one, the
        fields may be misread.
        """
        topic, name = self._subscription.topic_name, self._node.get_name()
        readers = self._node.get_subscriptions_info_by_topic(topic)
        own = {definition(end) for end in readers if end.node_name == name}
        found = {definition(end) for end in self._node.get_publishers_info_by_topic(topic)}
        return UNKNOWN in own or found <= {*own, UNKNOWN}

    @property
    def text(self) -> str:
        """One line for a person: mode, reason and alarm."""
        state: Any = self.state
        return "control is silent" if state is None else describe_state(state)

    def close(self) -> None:
        self._node.destroy_subscription(self._subscription)


def definition(end: Any) -> str:
    """The hash of the definition of a publisher's or subscription's type, from rclpy's
    TopicEndpointInfo; UNKNOWN where none is told, as before ROS 2 Iron.
    """
    return str(getattr(end, "topic_type_hash", UNKNOWN))


def describe_state(state: RobotState) -> str:
    """One line for a person: mode, reason and alarm."""
    known = {mode.value: mode.name.lower() for mode in Mode}
    mode = known.get(state.mode.value, f"mode {state.mode.value}")
    reason = f": {state.reason}" if state.reason else ""
    alarm = f" | ALARM: {state.alarm}" if state.alarm else ""
    return f"{mode}{reason}{alarm}"


def confirms_stop(state: RobotState | None) -> bool:
    """Whether a state says that the arm is stopped, without an alarm."""
    return state is not None and state.stopped and not state.alarm
