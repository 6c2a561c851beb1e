"""How a driver's node takes part in a stop: the topics `stop` and `robot_state`, and duplicate
publishers.
"""

import math
import time
from collections.abc import Callable

from std_msgs.msg import Empty

from conure_msgs.msg import RobotState
from conure_ros.comms.lifecycle import ManagedNode, one_line
from conure_ros.comms.messages import to_ns
from conure_ros.comms.qos import LATCHED, NEWEST, overridable, subscribe_stop
from conure_ros.comms.sole_publisher import PublisherWatch
from conure_ros.drivers.stop_latch import StopLatch

PUBLISHERS_PERIOD_S = 0.05
ASK_AGAIN_S = 0.3
"""How long control may take to say that it is stopped too, s."""
COMMANDS = "joint_trajectory"


class StopWatch:
    """Subscribes to `stop` and `robot_state` for the whole life of the node, whatever its lifecycle
    state.

    `changed` receives the reason of a new stop, and '' when it is over. While several nodes publish
    `joint_trajectory`, an active driver stops, and publishes `stop`; it does so too while control
    does not say that it is stopped with it: the middleware may bring a stop to a process that did
    not run for a moment only 3 s later, and a control that was started again knows of none.
    """

    def __init__(self, node: ManagedNode, changed: Callable[[str], None]) -> None:
        self._node, self._changed, self._latch, self._reported = node, changed, StopLatch(), ""
        self._stops = node.create_publisher(Empty, "stop", **overridable(NEWEST))
        subscribe_stop(node, lambda: self.stop("the stop topic"))
        node.create_subscription(RobotState, "robot_state", self._on_state, **overridable(LATCHED))
        self._commands = PublisherWatch(node, COMMANDS)
        self._asked_s = -math.inf

    @property
    def reason(self) -> str:
        """Why commands are refused; '' if they are not."""
        return self._latch.reason

    def stop(self, why: str) -> None:
        """Latch the stop in this driver."""
        if self._latch.stop(why, self._node.now_ns()):
            self._asked_s = time.monotonic()
            self._report()

    def stop_all(self, why: str) -> None:
        """Latch the stop here, and publish it."""
        self.stop(why)
        self.publish_stop()

    def publish_stop(self) -> None:
        """Stop every node, this driver too: its own message returns to it. Any thread may call
        this.
        """
        self._stops.publish(Empty())

    def admits(self) -> bool:
        """Whether a command that comes now may be followed."""
        self.check_publishers()
        return not self.reason

    def check_publishers(self) -> None:
        """Stop every node if several nodes command this arm. Never blocks; call it often."""
        duplicates = self._commands.duplicates() if self._node.active else ""
        if duplicates and (not self.reason or duplicates != self._reported):
            self._node.get_logger().error(
                one_line(f"several nodes publish {self._commands.topic}: {duplicates}")
            )
            self.stop_all(
                f"several publishers of {self._commands.topic}: {duplicates}; end all but one, then"
                " reset_stop"
            )
        self._reported = duplicates

    def _on_state(self, state: RobotState) -> None:
        why = f"control ({state.reason})" if state.reason else "control"
        stamp_ns, reset_ns = to_ns(state.header.stamp), to_ns(state.reset_stamp)
        if self._latch.take_state(state.stopped, stamp_ns, reset_ns, self._node.now_ns(), why):
            self._report()
        if state.stopped or not self.reason:
            self._asked_s = time.monotonic()
        elif time.monotonic() - self._asked_s > ASK_AGAIN_S:
            self._asked_s = time.monotonic()
            self.publish_stop()

    def _report(self) -> None:
        reason = self.reason
        text = (
            f"stopped by {reason}; commands are ignored until reset_stop"
            if reason
            else "the stop was reset"
        )
        self._node.get_logger().warning(one_line(text))
        self._changed(reason)
