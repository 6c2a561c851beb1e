"""The part that a driver's node takes in a stop: what it hears, what it says, and who else commands
its arm.
"""

from collections.abc import Callable

from std_msgs.msg import Empty

from conure_msgs.msg import RobotState
from conure_ros.comms.lifecycle import ManagedNode, one_line
from conure_ros.comms.messages import to_ns
from conure_ros.comms.qos import LATCHED, NEWEST, overridable
from conure_ros.comms.sole_publisher import PublisherWatch
from conure_ros.drivers.stop_latch import StopLatch

RIVALS_PERIOD_S = 0.05
COMMANDS = "joint_trajectory"


class StopWatch:
    """Listens to `stop` and `robot_state` from the node's birth to its end, whatever its lifecycle
    state.

    `changed` is called with the reason of a new stop, and with '' when it is over. While several
    nodes publish `joint_trajectory`, an active driver is stopped, and says so on `stop` to
    everybody.
    """

    def __init__(self, node: ManagedNode, changed: Callable[[str], None]) -> None:
        self._node, self._changed, self._latch, self._named = node, changed, StopLatch(), ""
        overrides = {"qos_overriding_options": overridable()}
        self._stops = node.create_publisher(Empty, "stop", NEWEST, **overrides)
        node.create_subscription(
            Empty, "stop", lambda _: self.stop("the stop topic"), NEWEST, **overrides
        )
        node.create_subscription(RobotState, "robot_state", self._on_state, LATCHED, **overrides)
        self._commands = PublisherWatch(node, COMMANDS)

    @property
    def reason(self) -> str:
        """Why commands are refused; empty: they are not."""
        return self._latch.reason

    def stop(self, why: str) -> None:
        """Latch the stop in this driver."""
        if self._latch.stop(why, self._node.now_ns()):
            self._say()

    def stop_all(self, why: str) -> None:
        """Latch it, and stop control and whoever else listens."""
        self.stop(why)
        self.announce()

    def announce(self) -> None:
        """Stop everybody, this driver too: its own message comes back to it. From any thread."""
        self._stops.publish(Empty())

    def admits(self) -> bool:
        """Whether a command that came now may be followed."""
        self.look_around()
        return not self.reason

    def look_around(self) -> None:
        """Stop everybody if several nodes command this arm. Never blocks: to be called often."""
        rivals = self._commands.rivals() if self._node.active else ""
        if rivals and (not self.reason or rivals != self._named):
            self._node.get_logger().error(
                one_line(f"several nodes publish {self._commands.topic}: {rivals}")
            )
            self.stop_all(
                f"several publishers of {self._commands.topic}: {rivals}; end all but one, then"
                " reset_stop"
            )
        self._named = rivals

    def _on_state(self, state: RobotState) -> None:
        why = f"control ({state.reason})" if state.reason else "control"
        stamp_ns, reset_ns = to_ns(state.header.stamp), to_ns(state.reset_stamp)
        if self._latch.hear(state.stopped, stamp_ns, reset_ns, self._node.now_ns(), why):
            self._say()

    def _say(self) -> None:
        reason = self.reason
        text = (
            f"stopped by {reason}; commands are ignored until reset_stop"
            if reason
            else "the stop was reset"
        )
        self._node.get_logger().warning(one_line(text))
        self._changed(reason)
