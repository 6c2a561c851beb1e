"""How joint commands leave control_node: as trajectories of one point, or as a position stream."""

from typing import Any, Protocol

import numpy as np
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from conure_core.control.interpolation import LinearFollower
from conure_core.control.safety import JointCommand
from conure_core.robot.description import RobotConfig
from conure_core.robot.ros2_control import Ros2ControlConfig, joint_order
from conure_core.types import Array
from conure_ros.comms.lifecycle import ActivePublisher, ManagedNode
from conure_ros.comms.messages import trajectory_message
from conure_ros.comms.qos import NEWEST
from conure_ros.comms.sole_publisher import SolePublisher

STREAM_PERIOD_S = 0.01


class Output(Protocol):
    """Where commands go. `sole` is the claim to the arm's topic, `topics` are all."""

    sole: SolePublisher
    topics: tuple[str, ...]

    def send(self, command: JointCommand, now_ns: int) -> None:
        """Send one command to the arm.

        Args:
            command: Joint angles (n,), rad, and gripper position, m, to be reached in `duration_s`.
            now_ns: Stamp of the command, ns.
        """

    def begin(self, joint_rad: Array, gripper_m: float) -> None:
        """Set the pose from which the next command starts.

        Args:
            joint_rad: Measured angles, shape (n,), rad.
            gripper_m: Measured gripper position, m.
        """


class _Controllers:
    """The arm's controller, and the gripper's if it has its own. Sends nothing without the arm's
    claim.
    """

    def __init__(
        self, node: ManagedNode, robot: RobotConfig, config: Ros2ControlConfig, kind: Any
    ) -> None:
        """Raises: ConfigError for joints that are not the robot's, or if one of the arm's is
        missing.
        """
        self._robot, self._joints = robot, config.arm_joints(robot)
        self.sole = SolePublisher(node, kind, config.arm_topic, NEWEST)
        self.topics = tuple(filter(None, (config.arm_topic, config.gripper_topic)))
        self._gripper: ActivePublisher | None = None
        if config.gripper_topic:
            self._gripper = node.publisher_while_active(kind, config.gripper_topic, NEWEST)
        elif robot.gripper_joint not in self._joints:
            node.get_logger().warning(
                f"nothing commands {robot.gripper_joint}: neither joints nor gripper_topic"
            )

    def _send_gripper(self, message: Any) -> None:
        if self._gripper is not None and self.sole.held:
            self._gripper.publish(message)


class TrajectoryOutput(_Controllers):
    """Commands for joint_trajectory_controller: one point each."""

    def __init__(self, node: ManagedNode, robot: RobotConfig, config: Ros2ControlConfig) -> None:
        super().__init__(node, robot, config, JointTrajectory)

    def send(self, command: JointCommand, now_ns: int) -> None:
        self.sole.publish(trajectory_message(self._robot, command, now_ns, self._joints))
        self._send_gripper(
            trajectory_message(self._robot, command, now_ns, (self._robot.gripper_joint,))
        )

    def begin(self, joint_rad: Array, gripper_m: float) -> None: ...


class PositionStream(_Controllers):
    """Commands for forward_command_controller on position interfaces, at 100 Hz.

    That controller jumps to each position at once, so this class interpolates between commands. The
    values have the order of the controller's own list of joints.
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
        # A command comes between two positions, or after positions that a busy machine skipped: the
        # remaining way is longer than control knows, and must not be faster for that.
        way_rad = np.abs(command.joint_rad - self._follower.position[:-1])
        duration_s = max(command.duration_s, float((way_rad / self._robot.max_speed_rad_s).max()))
        self._follower.follow(goal, duration_s)
        self._left_s = duration_s + STREAM_PERIOD_S

    def begin(self, joint_rad: Array, gripper_m: float) -> None:
        self._follower, self._left_s = LinearFollower(np.append(joint_rad, gripper_m)), 0.0

    def _tick(self) -> None:
        """Send the next position; nothing to an arm at rest."""
        if self._follower is not None and self._left_s > 0.0:
            self._left_s -= STREAM_PERIOD_S
            position = self._follower.advance(STREAM_PERIOD_S)
            self.sole.publish(Float64MultiArray(data=position[self._order].tolist()))
            self._send_gripper(Float64MultiArray(data=[float(position[-1])]))


def open_output(node: ManagedNode, robot: RobotConfig, config: Ros2ControlConfig) -> Output:
    """The output of the kind that the configuration names.

    Args:
        node: Lifecycle node that owns publishers and timers.
        robot: Joints and speed limits.
        config: Kind of the output ("trajectory" or "positions"), topics and joint order.

    Raises:
        ConfigError: `config` names joints that are not the robot's, or misses one.
    """
    return (PositionStream if config.output == "positions" else TrajectoryOutput)(
        node, robot, config
    )
