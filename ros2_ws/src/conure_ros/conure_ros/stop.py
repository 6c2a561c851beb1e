"""`conure stop`: the arm stops and stays stopped until reset_stop. `conure stop key=true` waits for a key to do it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import rclpy
from rclpy.node import Node
from std_msgs.msg import Empty

from conure_core.config import load_config
from conure_core.errors import RobotError
from conure_msgs.msg import RobotState
from conure_ros.middleware import join_running_graph
from conure_ros.qos import LATCHED, NEWEST
from conure_ros.running import ros_context
from conure_ros.terminal import keyboard, pressed, require_terminal

POLL_S = 0.02
BEAT_S = 0.1


@dataclass(frozen=True)
class StopConfig:
    """`key`: wait for any key; meanwhile send the operator's heartbeat, if `heartbeat`."""

    key: bool = False
    heartbeat: bool = True
    timeout_s: float = 5.0


def run(overrides: list[str]) -> None:
    """Raises: RobotError if nobody says that the arm is stopped."""
    config = load_config("conure_ros.conf", "stop", StopConfig, overrides)
    if config.key:
        require_terminal("stop key=true")
    join_running_graph()
    with ros_context():
        stopper = Stopper()
        if config.key:
            print("any key stops the arm", flush=True)
            wait_for_key(lambda: stopper.turn(beat=config.heartbeat))
        stopper.stop(config.timeout_s)
    print("stopped; the service reset_stop ends it")


class Stopper(Node):
    """Publishes `stop`, and `operator/heartbeat` as long as it is asked to."""

    def __init__(self, name: str = "stop_key") -> None:
        super().__init__(name)
        self._stops = self.create_publisher(Empty, "stop", NEWEST)
        self._beats = self.create_publisher(Empty, "operator/heartbeat", NEWEST)
        self.state: RobotState | None = None
        self._beat_s = 0.0
        self.create_subscription(RobotState, "robot_state", self._on_state, LATCHED)

    def _on_state(self, state: RobotState) -> None:
        self.state = state

    def turn(self, beat: bool) -> None:
        """One turn of waiting."""
        rclpy.spin_once(self, timeout_sec=0.0)
        if beat and time.monotonic() - self._beat_s > BEAT_S:
            self._beat_s = time.monotonic()
            self._beats.publish(Empty())

    def stop(self, timeout_s: float) -> None:
        """Ask for a stop until it is confirmed. Raises: RobotError if it is not."""
        until_s = time.monotonic() + timeout_s
        self._stops.publish(Empty())
        while self.state is None or not self.state.stopped:
            if time.monotonic() > until_s:
                raise RobotError(f"no control node said within {timeout_s:g} s that the arm is stopped; cut its power")
            self._stops.publish(Empty())
            rclpy.spin_once(self, timeout_sec=POLL_S)


def wait_for_key(meanwhile: Callable[[], None]) -> None:
    """Returns with the first key pressed in this terminal, or when the terminal is gone."""
    with keyboard():
        while pressed(POLL_S) == "":
            meanwhile()
