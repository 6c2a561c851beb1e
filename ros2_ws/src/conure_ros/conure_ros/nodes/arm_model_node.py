"""arm_model_node: an arm with foreign controllers, for tests and `conure faults`. It lags, and can
be broken.

Commands that joint_trajectory_controller or forward_command_controller refuse are refused with the
same text, on `refused`. joint_states have another order, and foreign joints. `arm_model/do` takes
one JSON object: {"block": "elbow"}, {"block": "elbow", "at": 0.3}, {"free": true}, {"place": [..]},
{"wrong": [..]}, {"silent": true}; `arm_model/done` answers.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory

from conure_core.errors import ConfigError, ConureError, unknown_name
from conure_core.robot.description import load_robot
from conure_core.robot.ros2_control import load_ros2_control
from conure_core.runtime.json_text import json_text
from conure_ros.comms.diagnostics import Reporter
from conure_ros.comms.lifecycle import run_node
from conure_ros.comms.messages import to_ns, to_time
from conure_ros.comms.parameters import declare, parameter
from conure_ros.comms.qos import STREAM
from conure_ros.faults.arms.models import ArmModel, Order, Refused, arm_model

PERIOD_S, STEP_S = 0.01, 0.005
EXTRA = {"wheel_left": 12.0, "pan_tilt": -0.4}
FASTER = 4.0
"""Factor on the robot's limits: only control keeps this arm within them."""
WORDS = ("block", "at", "free", "place", "wrong", "silent")
KINDS = {"trajectory": JointTrajectory, "positions": Float64MultiArray}


@dataclass(frozen=True)
class ArmModelParameters:
    """Parameters of arm_model_node."""

    robot: str = parameter("wx250s", "name of a robot, or the path of its YAML file")
    model: str = parameter(
        "", "how its controllers behave: trajectory, queue or positions; empty: as its file says"
    )
    plant: str = parameter("{}", "JSON: lag_s, order, damping of the joints")
    joints: tuple[str, ...] = parameter(
        ("",), "the arm's controller's joints in order; '': as the robot's file says"
    )
    gripper_topic: str = parameter(
        "", "of the gripper's own controller; empty: as the robot's file says"
    )
    start: tuple[float, ...] = parameter(
        (0.0,), "where the joints and the gripper begin; one value: at home, open"
    )

    @property
    def words(self) -> dict[str, Any]:
        """The decoded `plant`. Raises: ConfigError."""
        try:
            words = json.loads(self.plant)
        except json.JSONDecodeError as error:
            raise ConfigError(
                f"plant must be a JSON object, got {self.plant!r}: {error}"
            ) from error
        if not isinstance(words, dict):
            raise ConfigError(f"plant must be a JSON object, got {self.plant!r}")
        return words


@dataclass
class Part:
    """Joints with one controller."""

    joints: tuple[str, ...]
    model: ArmModel
    kind: str

    def order(self, message: Any, now_s: float) -> Order:
        """Read a command.

        Args:
            message: JointTrajectory or Float64MultiArray, as `kind` says.
            now_s: Present time on the clock of the stamps, s.

        Raises:
            Refused: The real controller would refuse it.
        """
        if self.kind == "positions":
            if len(message.data) != len(self.joints):
                count, wanted = len(message.data), len(self.joints)
                raise Refused(
                    f"command size ({count}) does not match number of interfaces ({wanted})"
                )
            return Order(np.array(message.data, dtype=np.float64), 0.0)
        why = find_trajectory_error(message, self.joints, now_s)
        if why:
            raise Refused(why)
        values = dict(zip(message.joint_names, message.points[-1].positions, strict=True))
        positions = np.array([values[name] for name in self.joints], dtype=np.float64)
        return Order(
            positions, _seconds(message.points[-1].time_from_start), _seconds(message.header.stamp)
        )


class ArmModelNode(Node):
    """The arm's controller, the gripper's if it has its own, and a joint_state_broadcaster."""

    def __init__(self) -> None:
        super().__init__("arm_model")
        parameters = declare(self, ArmModelParameters)
        self.robot = load_robot(parameters.robot)
        self.silent = False
        self.parts = self._parts(parameters)
        Reporter(self, "controllers", self.robot.name, lambda: ("", {"model": parameters.model}))
        self.joint_states = self.create_publisher(JointState, "joint_states", STREAM)
        self.refused = self.create_publisher(String, "refused", STREAM)
        self.done = self.create_publisher(String, "arm_model/done", STREAM)
        self.create_subscription(String, "arm_model/do", self._on_do, STREAM)
        self.create_timer(PERIOD_S, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _parts(self, parameters: ArmModelParameters) -> list[Part]:
        robot, wiring = self.robot, load_ros2_control(parameters.robot)
        model = parameters.model or wiring.output
        kind = "positions" if model == "positions" else "trajectory"
        given = list(parameters.start)
        start = given if len(given) > 1 else [*robot.home_rad, robot.gripper_open_m]
        places = dict(zip(robot.command_names, start, strict=True))
        speeds = dict(
            zip(robot.command_names, [*robot.max_speed_rad_s, robot.gripper_speed_m_s], strict=True)
        )
        gripper_topic = parameters.gripper_topic or wiring.gripper_topic
        names = tuple(filter(None, parameters.joints)) or wiring.arm_joints(robot)
        parts = []
        for joints, topic in ((names, wiring.arm_topic), ((robot.gripper_joint,), gripper_topic)):
            if not topic:
                continue
            positions = np.array([places[name] for name in joints])
            fastest = FASTER * np.array([speeds[name] for name in joints])
            arm = arm_model(model, positions, fastest, parameters.words, STEP_S)
            arm.now_s = self._now_s()
            parts.append(Part(joints, arm, kind))
            self.create_subscription(
                KINDS[kind], topic, partial(self._on_command, parts[-1]), STREAM
            )
        return parts

    def _now_s(self) -> float:
        return float(self.get_clock().now().nanoseconds) * 1e-9

    def _on_command(self, part: Part, message: Any) -> None:
        try:
            part.model.take(part.order(message, self._now_s()), self._now_s())
        except Refused as why:
            self.refused.publish(String(data=str(why)))

    def _tick(self) -> None:
        now_ns = self.get_clock().now().nanoseconds
        positions = dict(EXTRA)
        for part in self.parts:
            part.model.advance(now_ns * 1e-9)
            part.model.history.clear()
            positions |= dict(zip(part.joints, part.model.measured().tolist(), strict=True))
        if self.silent:
            return
        names = sorted(positions, key=lambda name: name[::-1])
        message = JointState(name=names, position=[float(positions[name]) for name in names])
        message.velocity = [0.0] * len(names)
        message.header.stamp = to_time(now_ns)
        self.joint_states.publish(message)

    def _on_do(self, message: String) -> None:
        error = ""
        try:
            self._do(json.loads(message.data))
        except (ConureError, ValueError, TypeError, KeyError) as raised:
            error = str(raised) or type(raised).__name__
        answer = {"asked": message.data, "error": error, "monotonic_s": time.monotonic()}
        self.done.publish(String(data=json_text(answer)))

    def _do(self, words: dict[str, Any]) -> None:
        """Raises: ConfigError for an unknown word or joint."""
        for word, value in words.items():
            if word == "silent":
                self.silent = bool(value)
            elif word == "block":
                self._block(value, words.get("at"))
            elif word == "free":
                self._free()
            elif word in ("place", "wrong"):
                self._put(value, word == "place")
            elif word != "at":
                raise unknown_name("word", word, WORDS)

    def _part(self, joint: str) -> tuple[Part, int]:
        for part in self.parts:
            if joint in part.joints:
                return part, part.joints.index(joint)
        raise unknown_name("joint", joint, [name for part in self.parts for name in part.joints])

    def _block(self, joint: str, angle_rad: float | None) -> None:
        part, index = self._part(joint)
        part.model.block(index, angle_rad)

    def _free(self) -> None:
        for part in self.parts:
            part.model.free()

    def _put(self, positions: Sequence[float], really: bool) -> None:
        """Move the arm (`really`), or falsify one sample: positions in the robot's order, with or
        without the gripper.
        """
        places = self._by_name(positions)
        for part in self.parts:
            present = dict(zip(part.joints, part.model.plant.positions.tolist(), strict=True))
            there = np.array([places.get(name, present[name]) for name in part.joints])
            if really:
                part.model.move_by_hand(there)
            else:
                part.model.wrong_samples.append(there)

    def _by_name(self, positions: Sequence[float]) -> dict[str, float]:
        names = self.robot.command_names
        if len(positions) not in (len(names) - 1, len(names)):
            raise ConfigError(
                f"expected positions of {', '.join(names)}, got {len(positions)} values"
            )
        return dict(zip(names, positions, strict=False))


def _seconds(time_or_duration: Any) -> float:
    return float(to_ns(time_or_duration)) * 1e-9


def find_trajectory_error(message: JointTrajectory, joints: Sequence[str], now_s: float) -> str:
    """Why joint_trajectory_controller would refuse a trajectory; '' if it would not.

    Args:
        message: The trajectory.
        joints: Names of the controller's joints.
        now_s: Present time on the clock of the stamps, s.

    Source: ros2_controllers, JointTrajectoryController::validate_trajectory_msg.
    """
    if len(message.joint_names) != len(joints):
        return "Joints on incoming trajectory don't match the controller joints."
    if not message.points:
        return "Empty trajectory received."
    stamp_s, end_s = _seconds(message.header.stamp), _seconds(message.points[-1].time_from_start)
    if stamp_s and stamp_s + end_s < now_s:
        return "Received trajectory with non-zero start time that ends in the past"
    for name in message.joint_names:
        if name not in joints:
            return f"Incoming joint {name} doesn't match the controller's joints."
    before_s = 0.0
    for index, point in enumerate(message.points):
        if index and _seconds(point.time_from_start) <= before_s:
            return "Time between points is not strictly increasing"
        before_s = _seconds(point.time_from_start)
        if len(point.positions) != len(message.joint_names):
            return f"Mismatch between joint_names size and positions at point #{index}."
        for values in (point.velocities, point.accelerations):
            if len(values) not in (0, len(message.joint_names)):
                return f"Mismatch between joint_names size and a field at point #{index}."
        if len(point.effort):
            return "Trajectories with effort fields are currently not supported."
    return ""


def main() -> None:
    run_node(ArmModelNode)
