"""teleop_node: from a joystick, SpaceMouse or keyboard to commands for control_node. No input, no
command.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import JointState, Joy
from trajectory_msgs.msg import JointTrajectory

from conure_core.errors import ConureError, RobotError, StaleInput, UnsafeCommand
from conure_core.robot.description import load_robot
from conure_core.robot.joint_names import by_name
from conure_msgs.msg import PolicyCommand
from conure_ros.comms.diagnostics import Tally, diagnostics
from conure_ros.comms.lifecycle import ManagedNode, one_line, run_node
from conure_ros.comms.messages import to_ns, to_time
from conure_ros.comms.parameters import declare, parameter
from conure_ros.comms.qos import NEWEST, PARTS, STREAM, overridable
from conure_ros.comms.sole_publisher import SolePublisher
from conure_ros.teleop.gamepads import (
    AUTO,
    CUSTOM,
    GAMEPADS,
    NAMES,
    Counts,
    Layout,
    describe,
    find_layout,
    fitting,
    require_name,
)
from conure_ros.teleop.input_watch import InputWatch, Moment
from conure_ros.teleop.teleoperation import (
    MOTIONS,
    Intent,
    JoyLayout,
    TwistScale,
    normalize_gripper,
)

DIAGNOSTICS_PERIOD_S = 1.0
# A command may come this part of a period early: timers and drivers are not synchronous.
EARLY = 0.02
XBOX = GAMEPADS["xbox"]
(XBOX_COUNTS,) = XBOX.counts
LAYOUT = (
    "axis_count",
    "button_count",
    "axes",
    "axis_scales",
    "dead_man_button",
    "open_button",
    "close_button",
)


@dataclass(frozen=True)
class TeleopParameters:
    """Parameters of teleop_node."""

    robot: str = parameter("wx250s", "name of a robot, or the path of its YAML file")
    gamepad: str = parameter(
        AUTO, f"layout of the Joy: {', '.join(NAMES)}; auto: by its numbers of axes and buttons"
    )
    axis_count: int = parameter(
        XBOX_COUNTS[0], "of a custom gamepad: axes; a Joy with another number is refused"
    )
    button_count: int = parameter(
        XBOX_COUNTS[1], "of a custom gamepad: buttons; a Joy with another number is refused"
    )
    axes: tuple[int, ...] = parameter(
        XBOX.axes, "of a custom gamepad: axis of x, y, z and of the turns about x, y, z; -1: none"
    )
    axis_scales: tuple[float, ...] = parameter(
        XBOX.axis_scales, "of a custom gamepad: scales of these axes, to [-1, 1]"
    )
    dead_man_button: int = parameter(
        XBOX.dead_man_button, "of a custom gamepad: the button without which a Joy sends nothing"
    )
    open_button: int = parameter(
        XBOX.open_button, "of a custom gamepad: the button that opens the gripper"
    )
    close_button: int = parameter(
        XBOX.close_button, "of a custom gamepad: the button that closes the gripper"
    )
    dead_zone: float = parameter(
        0.05, "part of an axis's or velocity's range that counts as nothing", 0.0, 0.9
    )
    twist_linear_full_m_s: float = parameter(
        0.2, "twist.linear that is the largest step, m/s", 0.001, 10.0
    )
    twist_angular_full_rad_s: float = parameter(
        1.5, "twist.angular that is the largest turn, rad/s", 0.001, 30.0
    )
    stale_s: float = parameter(
        0.15, "age of the last input at which it counts as silence, s", 0.01, 2.0
    )
    unchanged_s: float = parameter(
        3.0, "how long unchanged input may move the arm, s; 0: no limit", 0.0, 600.0
    )


class TeleopNode(ManagedNode):
    """Sends the newest input once a control period, the first one at once. control_node lets the
    person take over.
    """

    def __init__(self) -> None:
        super().__init__("teleop")
        self.parameters = declare(self, TeleopParameters)

    def configure(self) -> None:
        given = self.parameters
        self.robot = load_robot(given.robot)
        self.layouts = dict[Counts, Layout]()
        require_name(given.gamepad, self._custom_changes())
        if given.gamepad == CUSTOM:
            self._custom_layout()
        self.scale = TwistScale(
            given.twist_linear_full_m_s, given.twist_angular_full_rad_s, given.dead_zone
        )
        self.intent: Intent | None = None
        self.watch, self.sent_s = InputWatch(given.stale_s, given.unchanged_s), -math.inf
        # Whether the dead man's button was held while the node was inactive.
        self.stuck = False
        self.asked: float | None = None
        # When it was asked for by itself, until a command carries it.
        self.unsent: tuple[int, Moment] | None = None
        self.measured_m: float | None = None
        self.commanded_m: float | None = None
        self.tally, self.fault, self.last_warning, self.conflict = Tally(), "", "", ""
        self.commands = SolePublisher(self, PolicyCommand, "command/teleop", NEWEST)
        status = self.create_publisher(DiagnosticArray, "/diagnostics", STREAM)
        self.diagnostics = self.destroy_at_cleanup(self.destroy_publisher, status)
        for kind, topic, callback, quality in (
            (Joy, "joy", self._on_joy, NEWEST),
            (TwistStamped, "teleop/twist", self._on_twist, NEWEST),
            (JointState, "teleop/gripper", self._on_gripper, NEWEST),
            (JointState, "joint_states", self._on_joint_states, PARTS),
            (JointTrajectory, "joint_trajectory", self._on_trajectory, NEWEST),
        ):
            created = self.create_subscription(kind, topic, callback, **overridable(quality))
            self.destroy_at_cleanup(self.destroy_subscription, created)
        self.timer = self.steady_timer(self.robot.control_period_s, self._send)
        self.steady_timer(DIAGNOSTICS_PERIOD_S, self._diagnose)

    def activate(self) -> None:
        """Raises: RobotError if another node teleoperates this arm."""
        self.commands.claim()
        self.conflict = ""

    def deactivate(self) -> None:
        """Forget the input: it must not count afterwards."""
        self.intent = self.asked = self.unsent = None
        self.commands.release()

    def release(self) -> None:
        if hasattr(self, "commands"):
            self.commands.release()

    def _custom_changes(self) -> list[str]:
        """Names of the parameters of a custom layout that were given."""
        standard = TeleopParameters()
        return [
            name for name in LAYOUT if getattr(self.parameters, name) != getattr(standard, name)
        ]

    def _custom_layout(self) -> JoyLayout:
        """Raises: ConfigError for a layout that no device has."""
        given = self.parameters
        return JoyLayout(**{name: getattr(given, name) for name in (*LAYOUT, "dead_zone")})

    # Inputs.

    def _layout(self, counts: Counts) -> Layout:
        """The layout of a Joy with these counts; said once. Raises: UnsafeCommand."""
        if counts in self.layouts:
            return self.layouts[counts]
        given = self.parameters
        if given.gamepad == CUSTOM:
            return self._custom_layout()
        self.layouts[counts] = find_layout(given.gamepad, counts, given.dead_zone)
        if given.gamepad == AUTO:
            self.get_logger().info(f"gamepad: {describe(fitting(counts)[0])}")
        return self.layouts[counts]

    def _on_joy(self, message: Joy) -> None:
        try:
            layout = self._layout((len(message.axes), len(message.buttons)))
            intent = layout.intent(message.axes, message.buttons)
            if not self._is_released(intent is not None):
                raise UnsafeCommand(
                    "joy: the dead man's button was held before activation; let it go first"
                )
            self._take("joy", intent, message, (*message.axes, *message.buttons))
        except ConureError as error:
            self._refuse("joy", error)

    def _is_released(self, held: bool) -> bool:
        """Whether the dead man's button was released since activation: a stuck one must not arm
        anything.
        """
        self.stuck = held and (self.stuck or not self.active)
        return not (self.active and self.stuck)

    def _on_twist(self, message: TwistStamped) -> None:
        linear, angular = message.twist.linear, message.twist.angular
        velocity = (linear.x, linear.y, linear.z, angular.x, angular.y, angular.z)
        try:
            intent = self.scale.intent(velocity, message.header.frame_id, self.robot.base_frame)
            self._take("teleop/twist", intent, message, velocity)
        except ConureError as error:
            self._refuse("teleop/twist", error)

    def _on_gripper(self, message: JointState) -> None:
        """A gripper position, m. An input that moves the arm meanwhile continues."""
        robot, name = self.robot, "teleop/gripper"
        try:
            (position_m,) = by_name(message.name, message.position, [robot.gripper_joint], name)
            if not self._is_new(name, message):
                return
            self.asked = normalize_gripper(position_m, robot.gripper_closed_m, robot.gripper_open_m)
            self.unsent = to_ns(message.header.stamp), self._now()
            if self._is_silent():
                # Only then: otherwise it would prolong the motion of another device.
                self._follow(Intent(np.zeros(MOTIONS), self.asked), message)
        except ConureError as error:
            self._refuse(name, error)

    def _is_new(self, source: str, message: Any) -> bool:
        """Whether an input is new; an old one is logged and ignored. Raises: UnsafeCommand without
        a stamp, or for a future one.
        """
        try:
            return self.active and self.watch.is_new(
                source, to_ns(message.header.stamp), self._now()
            )
        except StaleInput as error:
            self._warn_refused(source, error)
            return False

    def _take(
        self, source: str, intent: Intent | None, message: Any, values: tuple[float, ...]
    ) -> None:
        """Raises: UnsafeCommand for an input that must not move the arm."""
        if intent is None:
            self.fault = ""
            self.watch.let_go(source)
            self._let_go()
            return
        if not self._is_new(source, message):
            return
        if intent.motion.any():
            self.watch.require_change(source, values, time.monotonic())
        else:
            self.watch.let_go(source)
        self.asked = self.asked if intent.gripper is None else intent.gripper
        self._follow(intent, message)

    def _follow(self, intent: Intent, message: Any) -> None:
        """Send the intent, at once if the last command is a period old."""
        self.intent, self.fault = intent, ""
        self.watch.take(to_ns(message.header.stamp), self._now())
        if time.monotonic() - self.sent_s >= (1.0 - EARLY) * self.robot.control_period_s:
            self._send()

    def _let_go(self) -> None:
        """The next takeover starts with the gripper as it is then, if control reports that. What it
        was asked for by itself is commanded still.
        """
        self.intent = None
        if self.unsent is not None:
            self.watch.take(*self.unsent)
            if not self.watch.stale(self._now()):
                self.intent = Intent(np.zeros(MOTIONS), self.asked)
                return
            self.unsent = None
        if self.commanded_m is not None:
            self.asked = None

    def _is_silent(self) -> bool:
        return self.intent is None or self.watch.stale(self._now())

    def _now(self) -> Moment:
        return Moment(self.now_ns(), time.monotonic())

    def _refuse(self, source: str, error: Exception) -> None:
        self.intent = None
        self._warn_refused(source, error)

    def _warn_refused(self, source: str, error: Exception) -> None:
        self.tally.drop(source)
        self.fault = one_line(error)
        if self.fault != self.last_warning:
            self.last_warning = self.fault
            self.get_logger().warning(f"refused: {self.fault}")

    # The gripper's state: a takeover must not drop what it holds.

    def _on_joint_states(self, message: JointState) -> None:
        """Note the measured gripper. A person's input stays, whatever a driver publishes: control
        judges measurements.
        """
        gripper = self.robot.gripper_joint
        if gripper not in message.name:
            return
        try:
            (self.measured_m,) = by_name(message.name, message.position, [gripper], "joint_states")
        except RobotError as error:
            self._warn_refused("joint_states", error)

    def _on_trajectory(self, message: JointTrajectory) -> None:
        """Note the commanded gripper. A trajectory without it goes to an arm whose gripper has its
        own controller.
        """
        gripper = self.robot.gripper_joint
        if gripper not in message.joint_names or not message.points:
            return
        try:
            (self.commanded_m,) = by_name(
                message.joint_names, message.points[-1].positions, [gripper], "joint_trajectory"
            )
        except RobotError as error:
            self._refuse("joint_trajectory", error)

    def _gripper(self) -> float:
        """As requested, else as last commanded, else as measured. Raises: StaleInput if none is
        known yet.
        """
        if self.asked is not None:
            return self.asked
        position_m = self.commanded_m if self.commanded_m is not None else self.measured_m
        if position_m is None:
            raise StaleInput("waiting for joint_states: where the gripper is is not known")
        return normalize_gripper(position_m, self.robot.gripper_closed_m, self.robot.gripper_open_m)

    # Outputs.

    def _send(self) -> None:
        if self.intent is None or not self.commands.held:
            return
        if self._is_silent():
            self._let_go()
        intent = self.intent
        if intent is None:
            return
        try:
            action = [*intent.motion.tolist(), self._gripper()]
        except ConureError as error:
            self._refuse("joint_states", error)
            return
        command = PolicyCommand(action=action, log_likelihood=math.nan, source=PolicyCommand.TELEOP)
        command.header.stamp, command.header.frame_id = (
            to_time(self.watch.stamp_ns),
            self.robot.base_frame,
        )
        self.commands.publish(command)
        self.unsent = None
        self.tally.add(max(0.0, self.watch.age_s(self._now())))
        self.sent_s = time.monotonic()
        self.timer.reset()

    def _yield_to_other_publisher(self) -> None:
        """If two nodes started without seeing each other, both stop publishing."""
        others = self.commands.other_publishers() if self.commands.held else ""
        if others:
            self.commands.release()
            self.conflict = (
                f"{others} also publishes {self.commands.topic}: this node stops publishing;"
                " deactivate one of the two"
            )
            self._refuse("second publisher", RobotError(self.conflict))

    def _diagnose(self) -> None:
        self._yield_to_other_publisher()
        fault = self.conflict or self.fault
        self.diagnostics.publish(
            diagnostics(self, "input", self.robot.name, fault, self.tally.values())
        )


def main() -> None:
    run_node(TeleopNode)
