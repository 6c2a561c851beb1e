"""`conure keys`: the keyboard of this terminal as a source for teleop_node, and as a stop."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import TwistStamped
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from conure_core.config.loader import load_config
from conure_core.config.values import POSITIVE
from conure_core.errors import RobotError
from conure_core.robot.description import RobotConfig, load_robot
from conure_msgs.msg import Mode
from conure_msgs.srv import SetMode, StartEpisode, StopEpisode
from conure_ros.commands.quality_report import QualityReport
from conure_ros.commands.stop import POLL_S, SEARCH_S, say
from conure_ros.commands.stopping import Stopper, start_ros
from conure_ros.comms.domains import join_running_graph
from conure_ros.comms.lifecycle import shut_down, until_shutdown
from conure_ros.comms.messages import mode_message
from conure_ros.comms.qos import NEWEST
from conure_ros.comms.service_names import (
    RESET_STOP,
    SET_MODE,
    START_EPISODE,
    STOP_EPISODE,
)
from conure_ros.teleop.terminal import keyboard, require_terminal

HELP = (
    "space STOP | move w s a d r f | turn u o i k j l | gripper n open m close | p policy"
    " t trajectory h hold ctrl-R clear stop | e record 1 success 0 failure x discard | q quit"
)
STOP, QUIT = " ", ("q", "\x04")
SENT_S = 0.04
STOP_S = 0.5
"""Time without confirmation after which a warning is printed, repeatedly. The request is repeated
all the time.
"""
WARN_S = 2.0
# Pairs of keys: plus and minus of x, y, z, then of the rotations about them (REP 103: forward,
# left, up).
AXES = ("ws", "ad", "rf", "uo", "ik", "jl")
MOVES = {
    key: (axis, sign)
    for axis, pair in enumerate(AXES)
    for key, sign in zip(pair, (1.0, -1.0), strict=True)
}
GRIPPER = {"n": "gripper_open_m", "m": "gripper_closed_m"}
MODES = {"p": Mode.POLICY, "t": Mode.TRAJECTORY, "h": Mode.HOLD}
WORDS = StopEpisode.Request
LABELS = {"1": WORDS.SUCCESS, "0": WORDS.FAILURE, "x": WORDS.DISCARD}
# Control characters: no escape sequence ends in one, and Caps Lock does not make one of another
# key.
CLEAR, RECORD = "\x12", "e"


@dataclass(frozen=True)
class KeysConfig:
    """Speeds while a key is held, m/s and rad/s. A key counts as released `release_s` after its
    last repetition.
    """

    robot: str = "wx250s"
    linear_m_s: float = field(default=0.1, metadata=POSITIVE)
    angular_rad_s: float = field(default=0.75, metadata=POSITIVE)
    release_s: float = field(default=0.12, metadata=POSITIVE)
    heartbeat: bool = True
    namespace: str = ""


def run(overrides: list[str]) -> None:
    """Move the arm by this terminal's keyboard; space stops it.

    Raises: ConfigError without a terminal; RobotError if it ends while a stop is not
    confirmed.
    """
    config = load_config("conure_ros.conf", "keys", KeysConfig, overrides)
    robot = load_robot(config.robot)
    require_terminal("keys")
    join_running_graph()
    start_ros(config.namespace)
    try:
        with keyboard() as board:
            say(HELP)
            keys = Keys(config, robot)
            with until_shutdown():
                while rclpy.ok() and keys.take(board.pressed(POLL_S)):
                    keys.turn(beat=config.heartbeat)
    finally:
        shut_down()
    if keys.stopping:
        raise RobotError("the stop was not confirmed; cut the arm's power, or run conure stop")


class HeldKeys:
    """The velocity that the held keys ask for. Pure: steady seconds come in."""

    def __init__(self, release_s: float, speeds: NDArray[np.float64]) -> None:
        self._release_s, self._speeds = release_s, speeds
        self._seen: dict[int, tuple[float, float]] = {}

    def press(self, key: str, now_s: float) -> None:
        """Note a key.

        Args:
            key: One of MOVES.
            now_s: Present time on the steady clock, s.
        """
        axis, sign = MOVES[key]
        self._seen[axis] = (sign, now_s)

    def release(self) -> None:
        """Release all keys."""
        self._seen.clear()

    def velocity(self, now_s: float) -> NDArray[np.float64]:
        """(6,), m/s and rad/s."""
        signs = np.zeros(6)
        for axis, (sign, seen_s) in self._seen.items():
            signs[axis] = sign if now_s - seen_s <= self._release_s else 0.0
        return signs * self._speeds


class Keys(Stopper):
    """Publishes `teleop/twist` and `teleop/gripper` while keys are held, `stop` on space, and the
    operator's heartbeat.
    """

    def __init__(self, config: KeysConfig, robot: RobotConfig) -> None:
        super().__init__("keys")
        self._robot = robot
        self._quality = QualityReport(robot, say)
        self._held = HeldKeys(
            config.release_s, np.repeat([config.linear_m_s, config.angular_rad_s], 3)
        )
        self._twists = self.create_publisher(TwistStamped, "teleop/twist", NEWEST)
        self._grippers = self.create_publisher(JointState, "teleop/gripper", NEWEST)
        kinds = {
            SET_MODE: SetMode,
            RESET_STOP: Trigger,
            START_EPISODE: StartEpisode,
            STOP_EPISODE: StopEpisode,
        }
        self._asked_of = {name: self.create_client(kind, name) for name, kind in kinds.items()}
        self._sent_s, self._began_s, self._shown = 0.0, time.monotonic(), ""
        self._moved = self._hinted = False
        self._stop_s = self._warned_s = math.inf

    def take(self, keys: str | None) -> bool:
        """Handle pressed keys; None: the terminal is gone. Returns False at the end."""
        if keys is None:
            return False
        if STOP in keys:
            self._begin_stop()
            return True
        for key in keys:
            if key in QUIT:
                return False
            self._press(key)
        return True

    @property
    def stopping(self) -> bool:
        """Whether a stop was requested and is not confirmed yet."""
        return self._stop_s < math.inf

    def turn(self, beat: bool) -> None:
        """Do everything that does not wait for a key."""
        rclpy.spin_once(self, timeout_sec=0.0)
        if beat:
            self.beat()
        if self.stopping:
            self._repeat_stop()
        else:
            self._move()
        starting = (
            self.control.last_since(-math.inf) is None
            and time.monotonic() - self._began_s < SEARCH_S
        )
        text = "" if starting else self.control.text
        if text != self._shown:
            self._shown = text
            say(text)

    def _begin_stop(self) -> None:
        """Request a stop, in every turn until control confirms it. Keys are still read."""
        self.ask()
        self._held.release()
        if not self.stopping:
            self._stop_s = time.monotonic()
            self._warned_s = self._stop_s + STOP_S - WARN_S

    def _repeat_stop(self) -> None:
        self.ask()
        now_s = time.monotonic()
        if self.control.confirms_stop(self._stop_s):
            self._stop_s = math.inf
        elif now_s - self._warned_s > WARN_S:
            self._warned_s = now_s
            say(f"THE STOP IS NOT CONFIRMED: cut the arm's power ({self.control.text})")

    def _clear(self, key: str) -> None:
        """Reset a stop, unless it is still being requested: it would come again."""
        state = self.control.state
        if self.stopping and (state is None or not state.stopped):
            say(f"{RESET_STOP}: not sent: the stop is not confirmed yet")
            return
        self._stop_s = math.inf
        self._ask(RESET_STOP)

    def _press(self, key: str) -> None:
        actions: dict[str, Callable[[str], None]] = {
            **dict.fromkeys(MOVES, lambda key: self._held.press(key, time.monotonic())),
            **dict.fromkeys(GRIPPER, self._grip),
            **dict.fromkeys(MODES, self._choose),
            **dict.fromkeys(LABELS, lambda key: self._ask(STOP_EPISODE, label=LABELS[key])),
            CLEAR: self._clear,
            RECORD: lambda key: self._ask(
                START_EPISODE, name=time.strftime("episode_%Y%m%d_%H%M%S")
            ),
        }
        if key in actions:
            self._hinted = False
            actions[key](key)
        elif key.lower() in actions and not self._hinted:
            self._hinted = True
            say("capital letters are not keys here; is Caps Lock on?")

    def _choose(self, key: str) -> None:
        self._ask(SET_MODE, mode=mode_message(MODES[key]))

    def _move(self) -> None:
        now_s = time.monotonic()
        velocity = self._held.velocity(now_s).tolist()
        # One twist of zero: the keys were released.
        let_go = self._moved and not any(velocity)
        if not let_go and (not any(velocity) or now_s - self._sent_s < SENT_S):
            return
        self._moved = not let_go
        message, self._sent_s = TwistStamped(), now_s
        message.header.stamp, message.header.frame_id = (
            self.get_clock().now().to_msg(),
            self._robot.base_frame,
        )
        linear, angular = message.twist.linear, message.twist.angular
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = velocity
        self._twists.publish(message)

    def _grip(self, key: str) -> None:
        message = JointState(
            name=[self._robot.gripper_joint], position=[getattr(self._robot, GRIPPER[key])]
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._grippers.publish(message)

    def _ask(self, service: str, **fields: Any) -> None:
        """Call a service without waiting, since keys must be read. Its answer is printed."""
        client = self._asked_of[service]
        if not client.service_is_ready():
            say(f"{service}: no node offers it")
            return
        client.call_async(client.srv_type.Request(**fields)).add_done_callback(
            lambda done: self._take_answer(service, done.result())
        )

    def _take_answer(self, service: str, answer: Any) -> None:
        """Print it, and how good a recording is that it names."""
        _print_answer(service, answer)
        if isinstance(answer, StopEpisode.Response) and answer.success:
            self._quality.begin(answer.path)


def _print_answer(service: str, answer: Any) -> None:
    success = answer is not None and answer.success
    said = getattr(answer, "message", "") or getattr(answer, "path", "")
    say(" ".join(f"{service}: {'done' if success else 'refused'} {said}".split()))
