"""`conure joysticks`: which axis and button of a gamepad moves, and which layout it has."""

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Joy

from conure_core.config.loader import load_config
from conure_core.config.values import bounds
from conure_core.errors import RobotError
from conure_ros.commands.stopping import start_ros
from conure_ros.comms.domains import join_running_graph
from conure_ros.comms.lifecycle import shut_down, until_shutdown
from conure_ros.teleop.gamepads import GAMEPADS, SPACEMOUSE, describe, fitting

MOVED = 0.2
"""Change of an axis that is worth a line."""
POLL_S = 0.1
SILENT_S = 3.0
MEANINGS = ("x", "y", "z", "turn about x", "turn about y", "turn about z")


@dataclass(frozen=True)
class JoysticksConfig:
    """Where and how long to listen; see conf/joysticks.yaml."""

    topic: str = "joy"
    seconds: float = field(default=0.0, metadata=bounds(0.0))


def run(overrides: list[str]) -> None:
    """Show which axis and button of a gamepad moves, live.

    Raises: RobotError if nothing came within `seconds`.
    """
    config = load_config("conure_ros.conf", "joysticks", JoysticksConfig, overrides)
    join_running_graph()
    start_ros()
    try:
        with until_shutdown():
            listen(config)
    finally:
        shut_down()


def listen(config: JoysticksConfig) -> None:
    """Print a line for each axis and button that moves, until the time is over.

    Raises: RobotError if nothing came within `seconds`.
    """
    joystick = Joystick()
    node = rclpy.create_node("conure_joysticks")
    node.create_subscription(Joy, config.topic, joystick.take, qos_profile_sensor_data)
    began_s = time.monotonic()
    until_s = began_s + config.seconds if config.seconds else math.inf
    hinted = False
    while time.monotonic() < until_s:
        rclpy.spin_once(node, timeout_sec=POLL_S)
        if not (joystick.heard or hinted) and time.monotonic() - began_s > SILENT_S:
            hinted = True
            print(f"{nothing(node.resolve_topic_name(config.topic))}; waiting", flush=True)
    if not joystick.heard:
        raise RobotError(nothing(node.resolve_topic_name(config.topic)))


def nothing(topic: str) -> str:
    """Say that a topic is silent, and where a person has to look."""
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    return (
        f"nothing comes on {topic} in ROS domain {domain}; start the pad's driver there (ros2 run"
        " joy joy_node), and press a button"
    )


class Joystick:
    """Prints what changes in the messages of one device."""

    def __init__(self) -> None:
        self.heard = False
        self._counts = (-1, -1)
        self._axes: list[float] = []
        self._buttons: list[int] = []

    def take(self, message: Joy) -> None:
        """Print what moved since it was last printed."""
        for line in self.changes(message.axes, message.buttons):
            print(line, flush=True)
        self.heard = True

    def changes(self, axes: Sequence[float], buttons: Sequence[int]) -> list[str]:
        """Describe a Joy: the device if its counts are new, then each axis and button that moved.

        Args:
            axes: Values in [-1, 1].
            buttons: 0 or 1.
        """
        counts = (len(axes), len(buttons))
        lines = []
        if counts != self._counts:
            self._counts, self._axes, self._buttons = counts, list(axes), list(buttons)
            lines.append(self._device())
        for number, value in enumerate(axes):
            if abs(value - self._axes[number]) >= MOVED:
                self._axes[number] = value
                lines.append(f"axis {number:>2}  {value:+.2f}{self._means('axis', number)}")
        for number, pressed in enumerate(buttons):
            if pressed != self._buttons[number]:
                self._buttons[number] = pressed
                state = "pressed" if pressed else "released"
                lines.append(f"button {number:>2}  {state}{self._means('button', number)}")
        return lines

    def _device(self) -> str:
        axes, buttons = self._counts
        names = fitting(self._counts)
        known = ", ".join(map(describe, names)) or (
            f"no known pad; gamepad=custom, or gamepad={SPACEMOUSE} for spacenav's"
        )
        return f"{axes} axes and {buttons} buttons: {known}"

    def _means(self, kind: str, number: int) -> str:
        """What an axis or a button does in the only layout that fits; '' for none or several."""
        names = fitting(self._counts)
        if len(names) != 1:
            return ""
        pad = GAMEPADS[names[0]]
        if kind == "axis":
            meant = dict(zip(pad.axes, MEANINGS, strict=True))
        else:
            meant = {
                pad.dead_man_button: "dead man's",
                pad.open_button: "gripper open",
                pad.close_button: "gripper closed",
            }
        return f"  {meant[number]}" if number in meant else ""
