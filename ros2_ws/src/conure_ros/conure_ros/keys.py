"""`conure keys`: this terminal's keyboard as a source for teleop_node, and as a stop."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import TwistStamped
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from conure_core.config import load_config
from conure_core.errors import ConfigError
from conure_core.robot import RobotConfig, load_robot
from conure_msgs.srv import SetMode, StartEpisode, StopEpisode
from conure_ros.arbiter import Mode
from conure_ros.middleware import join_running_graph
from conure_ros.qos import NEWEST
from conure_ros.running import ros_context
from conure_ros.stop import POLL_S, Stopper
from conure_ros.terminal import keyboard, pressed, require_terminal

HELP = (
    "space STOP | move w s a d r f | turn u o i k j l | gripper n open m close | p policy h hold C clear stop | "
    "e record 1 success 0 failure x discard | q quit"
)
STOP, QUIT = " ", ("q", "\x04")
SENT_S = 0.04
STOP_S = 5.0
# Each pair of keys: plus and minus of x, y, z, then of the turns about them (REP 103: forward, left, up).
AXES = ("ws", "ad", "rf", "uo", "ik", "jl")
MOVES = {key: (axis, sign) for axis, pair in enumerate(AXES) for key, sign in zip(pair, (1.0, -1.0), strict=True)}
GRIPPER = {"n": "gripper_open_m", "m": "gripper_closed_m"}
MODES = {"p": "policy", "h": "hold"}
LABELS = {"1": "success", "0": "failure", "x": "discard"}
CLEAR, RECORD = "C", "e"


@dataclass(frozen=True)
class KeysConfig:
    """Speeds while a key is held, m/s and rad/s; `release_s` after its last sign it counts as released."""

    robot: str = "wx250s"
    linear_m_s: float = 0.1
    angular_rad_s: float = 0.75
    release_s: float = 0.12
    heartbeat: bool = True

    def __post_init__(self) -> None:
        for name in ("linear_m_s", "angular_rad_s", "release_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")


def run(overrides: list[str]) -> None:
    """Raises: ConfigError without a terminal; RobotError if nobody says that the arm is stopped."""
    config = load_config("conure_ros.conf", "keys", KeysConfig, overrides)
    robot = load_robot(config.robot)
    require_terminal("keys")
    join_running_graph()
    with ros_context(), keyboard():
        print(HELP, flush=True)
        keys = Keys(config, robot)
        try:
            while rclpy.ok() and keys.take(pressed(POLL_S)):
                keys.turn(beat=config.heartbeat)
        except ExternalShutdownException:
            pass


class Held:
    """Which velocity the keys ask for now. Pure: steady seconds come in."""

    def __init__(self, release_s: float, speeds: NDArray[np.float64]) -> None:
        self._release_s, self._speeds = release_s, speeds
        self._seen: dict[int, tuple[float, float]] = {}

    def press(self, key: str, now_s: float) -> None:
        axis, sign = MOVES[key]
        self._seen[axis] = (sign, now_s)

    def velocity(self, now_s: float) -> NDArray[np.float64]:
        """(6,), m/s and rad/s."""
        signs = np.zeros(6)
        for axis, (sign, seen_s) in self._seen.items():
            signs[axis] = sign if now_s - seen_s <= self._release_s else 0.0
        return signs * self._speeds


class Keys(Stopper):
    """Publishes `teleop/twist` and `teleop/gripper` while keys are held, `stop` on space, the operator's heartbeat."""

    def __init__(self, config: KeysConfig, robot: RobotConfig) -> None:
        super().__init__("keys")
        self._robot = robot
        self._held = Held(config.release_s, np.repeat([config.linear_m_s, config.angular_rad_s], 3))
        self._twists = self.create_publisher(TwistStamped, "teleop/twist", NEWEST)
        self._grippers = self.create_publisher(JointState, "teleop/gripper", NEWEST)
        kinds = {"set_mode": SetMode, "reset_stop": Trigger, "start_episode": StartEpisode, "stop_episode": StopEpisode}
        self._asked_of = {name: self.create_client(kind, name) for name, kind in kinds.items()}
        self._sent_s, self._told = 0.0, ""

    def take(self, keys: str | None) -> bool:
        """What was pressed. False: it is over."""
        if keys is None:
            return False
        if STOP in keys:
            self.stop(STOP_S)
            return True
        # Arrows and the like send several characters that mean something else.
        for key in "" if keys.startswith("\x1b") else keys:
            if key in QUIT:
                return False
            self._press(key)
        return True

    def turn(self, beat: bool) -> None:
        super().turn(beat)
        self._move()
        state = self.state
        told = "" if state is None else f"{Mode(state.mode).name.lower()}{': ' + state.reason if state.reason else ''}"
        if told != self._told:
            self._told = told
            print(told, flush=True)

    def _press(self, key: str) -> None:
        actions: dict[str, Callable[[str], None]] = {
            **dict.fromkeys(MOVES, lambda key: self._held.press(key, time.monotonic())),
            **dict.fromkeys(GRIPPER, self._grip),
            **dict.fromkeys(MODES, lambda key: self._ask("set_mode", mode=MODES[key])),
            **dict.fromkeys(LABELS, lambda key: self._ask("stop_episode", label=LABELS[key])),
            CLEAR: lambda key: self._ask("reset_stop"),
            RECORD: lambda key: self._ask("start_episode", name=time.strftime("episode_%Y%m%d_%H%M%S")),
        }
        if key in actions:
            actions[key](key)

    def _move(self) -> None:
        now_s = time.monotonic()
        velocity = self._held.velocity(now_s).tolist()
        if not any(velocity) or now_s - self._sent_s < SENT_S:
            return
        message, self._sent_s = TwistStamped(), now_s
        message.header.stamp, message.header.frame_id = self.get_clock().now().to_msg(), self._robot.base_frame
        linear, angular = message.twist.linear, message.twist.angular
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = velocity
        self._twists.publish(message)

    def _grip(self, key: str) -> None:
        message = JointState(name=[self._robot.gripper_joint], position=[getattr(self._robot, GRIPPER[key])])
        message.header.stamp = self.get_clock().now().to_msg()
        self._grippers.publish(message)

    def _ask(self, service: str, **fields: Any) -> None:
        """A service, without waiting: keys are read meanwhile. What it answers is printed."""
        client = self._asked_of[service]
        if not client.service_is_ready():
            print(f"{service}: nobody offers it", flush=True)
            return
        client.call_async(client.srv_type.Request(**fields)).add_done_callback(
            lambda done: _tell(service, done.result())
        )


def _tell(service: str, answer: Any) -> None:
    success = answer is not None and answer.success
    said = getattr(answer, "message", "") or getattr(answer, "path", "")
    print(" ".join(f"{service}: {'done' if success else 'refused'} {said}".split()), flush=True)
