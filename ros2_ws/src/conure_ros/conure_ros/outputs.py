"""How joint commands leave control_node: as a trajectory of one point, or as a stream of joint positions."""

from typing import Protocol

import numpy as np
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from conure_core.arm import Array
from conure_core.errors import ConfigError, unknown_name
from conure_core.interpolation import LinearFollower
from conure_core.robot import RobotConfig
from conure_core.safety import JointCommand
from conure_ros.exclusive import SolePublisher
from conure_ros.messages import trajectory_message
from conure_ros.qos import NEWEST
from conure_ros.running import ManagedNode

STREAM_PERIOD_S = 0.01


class Output(Protocol):
    """Where commands go. `sole` is the claim to the topic."""

    sole: SolePublisher

    def send(self, command: JointCommand, now_ns: int) -> None:
        """Hand one command to the arm."""

    def begin(self, joint_rad: Array, gripper_m: float) -> None:
        """Where the arm is, (n,) rad and m: the next command leads from there."""


class TrajectoryOutput:
    """`joint_trajectory`, what joint_trajectory_controller takes."""

    def __init__(self, node: ManagedNode, robot: RobotConfig) -> None:
        self._robot = robot
        self.sole = SolePublisher(node, JointTrajectory, "joint_trajectory", NEWEST)

    def send(self, command: JointCommand, now_ns: int) -> None:
        self.sole.publish(trajectory_message(self._robot, command, now_ns))

    def begin(self, joint_rad: Array, gripper_m: float) -> None: ...


class PositionStream:
    """`position_commands` at 100 Hz, what forward_command_controller's position interface takes.

    That controller goes to a position at once, so the way from one command to the next is interpolated here; `joints`
    is the controller's own list of joints, whose order its commands have.
    """

    def __init__(self, node: ManagedNode, robot: RobotConfig, joints: tuple[str, ...]) -> None:
        """Raises: ConfigError for a joint that the robot does not have, or one of the arm's that is not commanded."""
        self._order = position_order(robot, joints)
        self.sole = SolePublisher(node, Float64MultiArray, "position_commands", NEWEST)
        self._follower: LinearFollower | None = None
        self._left_s = 0.0
        node.steady_timer(STREAM_PERIOD_S, self._tick)

    def send(self, command: JointCommand, now_ns: int) -> None:
        goal = np.append(command.joint_rad, command.gripper_m)
        if self._follower is None:
            self._follower = LinearFollower(goal)
        self._follower.follow(goal, command.duration_s)
        self._left_s = command.duration_s + STREAM_PERIOD_S

    def begin(self, joint_rad: Array, gripper_m: float) -> None:
        self._follower, self._left_s = LinearFollower(np.append(joint_rad, gripper_m)), 0.0

    def _tick(self) -> None:
        """An arm at rest is told nothing."""
        if self._follower is not None and self._left_s > 0.0:
            self._left_s -= STREAM_PERIOD_S
            position = self._follower.advance(STREAM_PERIOD_S)
            self.sole.publish(Float64MultiArray(data=position[self._order].tolist()))


def position_order(robot: RobotConfig, joints: tuple[str, ...]) -> list[int]:
    """For each joint of the controller its place among `robot.command_names`; none given: that order."""
    wanted = tuple(filter(None, joints)) or robot.command_names
    for name in wanted:
        if name not in robot.command_names:
            raise unknown_name(f"joint of {robot.name} in position_joints", name, robot.command_names)
    missing = [name for name in robot.joint_names if name not in wanted]
    if missing or len(set(wanted)) != len(wanted):
        raise ConfigError(f"position_joints must name every joint of {robot.name} once, got {', '.join(wanted)}")
    return [robot.command_names.index(name) for name in wanted]
