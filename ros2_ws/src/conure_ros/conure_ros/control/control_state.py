"""What control says, for whoever reads robot_state: an old state is none."""

import math
import time
from typing import Any

from rclpy.node import Node

from conure_msgs.msg import RobotState
from conure_ros.comms.qos import NEWEST, STATE_SILENT_S
from conure_ros.control.arbiter import Mode


class ControlState:
    """The state that control published last, for as long as that is news.

    The subscription is volatile on purpose. control publishes at least every qos.STATE_PERIOD_S, so
    what comes was said after this began to listen; the latched state of a control that died, or
    hangs, never counts.

    >>> control = ControlState(node)
    >>> control.text  # 'control is silent', or 'policy', or 'hold: waiting for joint_states'
    """

    def __init__(self, node: Node, topic: str = "robot_state") -> None:
        self._node, self._last, self._heard_s = node, None, -math.inf
        self._subscription = node.create_subscription(RobotState, topic, self._on_state, NEWEST)

    def _on_state(self, state: RobotState) -> None:
        self._last, self._heard_s = state, time.monotonic()

    @property
    def silent(self) -> bool:
        """Whether control said nothing for longer than it may. On the steady clock."""
        return time.monotonic() - self._heard_s > STATE_SILENT_S

    @property
    def state(self) -> RobotState | None:
        """None while control is silent."""
        return None if self.silent else self._last

    def last_since(self, steady_s: float) -> RobotState | None:
        """The newest state, if it came after this time (time.monotonic), however long ago that
        is.
        """
        return self._last if self._heard_s > steady_s else None

    @property
    def text(self) -> str:
        """A line for a person: the mode, why, and what control cannot promise."""
        state: Any = self.state
        return "control is silent" if state is None else described(state)

    def close(self) -> None:
        self._node.destroy_subscription(self._subscription)


def described(state: RobotState) -> str:
    """The mode, why, and what control cannot promise."""
    known = {mode.value: mode.name.lower() for mode in Mode}
    mode = known.get(state.mode, f"mode {state.mode}")
    reason = f": {state.reason}" if state.reason else ""
    alarm = f" | ALARM: {state.alarm}" if state.alarm else ""
    return f"{mode}{reason}{alarm}"


def confirms_stop(state: RobotState | None) -> bool:
    """Whether it says that the arm is stopped, without reservation."""
    return state is not None and state.stopped and not state.alarm
