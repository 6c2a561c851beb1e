"""How joint commands leave control_node: as a trajectory of one point, or as a stream of joint
positions.
"""

from typing import Any, Protocol

import numpy as np
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from conure_core.control.interpolation import LinearFollower
from conure_core.control.safety import JointCommand
from conure_core.robot.description import RobotConfig
from conure_core.robot.ros2_control import Ros2ControlConfig, joint_order
from conure_core.types import Array
from conure_ros.comms.lifecycle import ManagedNode
from conure_ros.comms.messages import trajectory_message
from conure_ros.comms.qos import NEWEST, overridable
from conure_ros.comms.sole_publisher import SolePublisher

STREAM_PERIOD_S = 0.01


class Output(Protocol):
    """Where commands go. `sole` is the claim to the arm's topic."""

    sole: SolePublisher

    def send(self, command: JointCommand, now_ns: int) -> None:
        """Hand one command to the arm."""

    def begin(self, joint_rad: Array, gripper_m: float) -> None:
        """Where the arm is, (n,) rad and m: the next command leads from there."""


class _Controllers:
    """The arm's controller, and the gripper's where it has one of its own. Nothing is sent without
    the arm's claim.
    """

    def __init__(
        self, node: ManagedNode, robot: RobotConfig, config: Ros2ControlConfig, kind: Any
    ) -> None:
        """Raises: ConfigError for joints that are not the robot's, or one of the arm's that is not
        commanded.
        """
        self._robot, self._joints = robot, config.arm_joints(robot)
        self.sole = SolePublisher(node, kind, config.arm_topic, NEWEST)
        self._gripper: Any = None
        if config.gripper_topic:
            created = node.create_publisher(
                kind, config.gripper_topic, NEWEST, qos_overriding_options=overridable()
            )
            self._gripper = node.kept(node.destroy_publisher, created)
        elif robot.gripper_joint not in self._joints:
            node.get_logger().warning(
                f"nothing commands {robot.gripper_joint}: neither joints nor gripper_topic"
            )

    def _tell_gripper(self, message: Any) -> None:
        if self._gripper is not None and self.sole.held:
            self._gripper.publish(message)


class TrajectoryOutput(_Controllers):
    """What joint_trajectory_controller takes."""

    def __init__(self, node: ManagedNode, robot: RobotConfig, config: Ros2ControlConfig) -> None:
        super().__init__(node, robot, config, JointTrajectory)

    def send(self, command: JointCommand, now_ns: int) -> None:
        self.sole.publish(trajectory_message(self._robot, command, now_ns, self._joints))
        self._tell_gripper(
            trajectory_message(self._robot, command, now_ns, (self._robot.gripper_joint,))
        )

    def begin(self, joint_rad: Array, gripper_m: float) -> None: ...


class PositionStream(_Controllers):
    """What forward_command_controller takes on position interfaces, at 100 Hz.

    That controller goes to a position at once, so the way from one command to the next is
    interpolated here; the values have the order of the controller's own list of joints.
    """

    def __init__(self, node: ManagedNode, robot: RobotConfig, config: Ros2ControlConfig) -> None:
        super().__init__(node, robot, config, Float64MultiArray)
        self._order = joint_order(robot, self._joints)
        self._follower: LinearFollower | None = None
        self._left_s = 0.0
        node.steady_timer(STREAM_PERIOD_S, self._tick)

    def send(self, command: JointCommand, now_ns: int) -> None:
        goal = np.append(command.joint_rad, command.gripper_m)
        if self._follower is None:
            self._follower = LinearFollower(goal)
        # A command comes between two positions, or after some that a busy machine left out: the way
        # that is left is longer than control knows, and must not be faster for that.
        way_rad = np.abs(command.joint_rad - self._follower.position[:-1])
        duration_s = max(command.duration_s, float((way_rad / self._robot.max_speed_rad_s).max()))
        self._follower.follow(goal, duration_s)
        self._left_s = duration_s + STREAM_PERIOD_S

    def begin(self, joint_rad: Array, gripper_m: float) -> None:
        self._follower, self._left_s = LinearFollower(np.append(joint_rad, gripper_m)), 0.0

    def _tick(self) -> None:
        """An arm at rest is told nothing."""
        if self._follower is not None and self._left_s > 0.0:
            self._left_s -= STREAM_PERIOD_S
            position = self._follower.advance(STREAM_PERIOD_S)
            self.sole.publish(Float64MultiArray(data=position[self._order].tolist()))
            self._tell_gripper(Float64MultiArray(data=[float(position[-1])]))


def open_output(node: ManagedNode, robot: RobotConfig, config: Ros2ControlConfig) -> Output:
    """The output of the kind that the configuration names. Raises: ConfigError as
    Ros2ControlConfig.arm_joints.
    """
    return (PositionStream if config.output == "positions" else TrajectoryOutput)(
        node, robot, config
    )
