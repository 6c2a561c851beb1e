"""Conversion between ROS messages and arrays. Everywhere else time stamps are integers, ns."""

import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import KeyValue
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from conure_core.control.controller import JointTarget
from conure_core.control.safety import JointCommand
from conure_core.errors import RobotError, UnsafeCommand
from conure_core.robot.description import RobotConfig
from conure_core.robot.joint_names import by_name
from conure_core.robot.link_transforms import Transform
from conure_core.robot.ros2_control import joint_order
from conure_core.types import Array
from conure_msgs.msg import Mode

NANOSECONDS = 1_000_000_000


def to_time(nanoseconds: int) -> Time:
    return Time(sec=nanoseconds // NANOSECONDS, nanosec=nanoseconds % NANOSECONDS)


def to_ns(stamp: Time) -> int:
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)


def to_duration(seconds: float) -> Duration:
    nanoseconds = round(seconds * NANOSECONDS)
    return Duration(sec=nanoseconds // NANOSECONDS, nanosec=nanoseconds % NANOSECONDS)


def to_seconds(duration: Duration) -> float:
    return float(duration.sec + duration.nanosec / NANOSECONDS)


def mode_message(value: int) -> Mode:
    return Mode(value=int(value))


def key_values(values: Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=value) for key, value in values.items()]


def image_message(pixels: NDArray[np.uint8], stamp_ns: int, frame: str) -> Image:
    """Build an rgb8 image.

    Args:
        pixels: RGB image, shape (height, width, 3), uint8.
        stamp_ns: Time of capture, ns.
        frame: Optical frame of the camera.
    """
    height, width, _ = pixels.shape
    message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
    message.header.stamp, message.header.frame_id = to_time(stamp_ns), frame
    # Only array.array is fast to assign with and without rclpy's field checks.
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(pixels).data.cast("B"))
    message.data = data
    return message


def camera_info_message(
    matrix: Array, width_px: int, height_px: int, stamp_ns: int, frame: str
) -> CameraInfo:
    """Build the CameraInfo of a camera without distortion.

    Args:
        matrix: Intrinsics K, shape (3, 3), px.
        width_px: Image width, px.
        height_px: Image height, px.
        stamp_ns: Time of capture, ns.
        frame: Optical frame of the camera.
    """
    message = CameraInfo(
        width=width_px, height=height_px, distortion_model="plumb_bob", d=[0.0] * 5
    )
    message.header.stamp, message.header.frame_id = to_time(stamp_ns), frame
    message.k, message.r = matrix.ravel().tolist(), np.eye(3).ravel().tolist()
    message.p = np.hstack([matrix, np.zeros((3, 1))]).ravel().tolist()
    return message


def transform_message(transform: Transform, prefix: str, stamp_ns: int) -> TransformStamped:
    """Build a transform for /tf or /tf_static.

    Args:
        transform: The child's pose in its parent, m.
        prefix: Put before the names of both frames.
        stamp_ns: Time of the transform, ns.
    """
    message = TransformStamped(child_frame_id=f"{prefix}{transform.child}")
    message.header.stamp = to_time(stamp_ns)
    message.header.frame_id = f"{prefix}{transform.parent}"
    place, turn = message.transform.translation, message.transform.rotation
    place.x, place.y, place.z = transform.translation_m.tolist()
    turn.x, turn.y, turn.z, turn.w = transform.rotation_xyzw.tolist()
    return message


@dataclass(frozen=True)
class JointPart:
    """What one message of joint_states measured of a robot: arm and gripper may come apart.

    `index` (k,) says which of `RobotConfig.command_names`, `positions` (k,) where they are, rad,
    and m for the gripper.
    """

    stamp_ns: int
    index: NDArray[np.intp]
    positions: Array


@dataclass(frozen=True)
class JointGoal:
    """Where some joints are to be: the arm's angles (n,), rad, the gripper, m, or both. None: where
    they were commanded last.
    """

    joint_rad: Array | None
    gripper_m: float | None

    def completed(self, last: JointCommand) -> JointTarget:
        """The target of all joints, after the last command."""
        return JointTarget(
            last.joint_rad if self.joint_rad is None else self.joint_rad,
            last.gripper_m if self.gripper_m is None else self.gripper_m,
        )


@dataclass(frozen=True)
class JointSample:
    """Measured joints at one time: angles (n,), rad, in the robot's order, and the gripper
    position, m.
    """

    stamp_ns: int
    joint_rad: Array
    gripper_m: float

    @property
    def part(self) -> JointPart:
        """The same as one message."""
        positions = np.append(self.joint_rad, self.gripper_m)
        return JointPart(self.stamp_ns, np.arange(len(positions)), positions)


def joint_state_message(
    robot: RobotConfig, joint_rad: Array, speed_rad_s: Array, gripper_m: float, stamp_ns: int
) -> JointState:
    """Build a JointState with the robot's joints, the gripper last.

    Args:
        robot: Names of the joints, and the base frame.
        joint_rad: Angles, shape (n,), rad.
        speed_rad_s: Speeds, shape (n,), rad/s; the gripper's is given as 0.
        gripper_m: Gripper position, m.
        stamp_ns: Time of the measurement, ns.
    """
    message = JointState(name=list(robot.command_names))
    message.header.stamp, message.header.frame_id = to_time(stamp_ns), robot.base_frame
    message.position = [*joint_rad.tolist(), gripper_m]
    message.velocity = [*speed_rad_s.tolist(), 0.0]
    return message


def joints_in(message: JointState, robot: RobotConfig) -> NDArray[np.intp]:
    """Find which of the robot's joints a JointState names.

    Args:
        message: Joints in any order; other joints are ignored.
        robot: Names and order of the joints.

    Returns:
        Their places in `robot.command_names`, shape (k,); none for a message of another machine.
    """
    named = [place for place, name in enumerate(robot.command_names) if name in message.name]
    return np.array(named, dtype=np.intp)


def joint_part(message: JointState, robot: RobotConfig) -> JointPart:
    """Pick those of the robot's joints that a JointState has, by name.

    Args:
        message: Joints in any order; other joints are ignored.
        robot: Names and order of the joints.

    Raises:
        RobotError: A joint is doubled, or the number of positions differs from that of the names.
        UnsafeCommand: A position is not finite.
    """
    index = joints_in(message, robot)
    wanted = [robot.command_names[place] for place in index]
    positions = by_name(message.name, message.position, wanted, "joint_states")
    return JointPart(to_ns(message.header.stamp), index, positions)


def joint_sample(message: JointState, robot: RobotConfig) -> JointSample:
    """Pick the robot's joints from a JointState, by name.

    Args:
        message: Joints in any order; other joints are ignored.
        robot: Names and order of the joints.

    Raises:
        RobotError: A joint is missing or doubled; the message names it.
        UnsafeCommand: A position is not finite.
    """
    positions = by_name(message.name, message.position, robot.command_names, "joint_states")
    return JointSample(to_ns(message.header.stamp), positions[:-1], float(positions[-1]))


def trajectory_message(
    robot: RobotConfig, command: JointCommand, stamp_ns: int, joints: Sequence[str] = ()
) -> JointTrajectory:
    """Build a JointTrajectory of one point, as joint_trajectory_controller takes it.

    Args:
        robot: Names of the joints, and the base frame.
        command: Joint angles, rad, gripper position, m, and time to reach them, s.
        stamp_ns: Start of the motion, ns.
        joints: Joints to include, in this order; empty: all, the gripper last.
    """
    names = tuple(joints) or robot.command_names
    message = JointTrajectory(joint_names=list(names))
    message.header.stamp, message.header.frame_id = to_time(stamp_ns), robot.base_frame
    positions = np.append(command.joint_rad, command.gripper_m)[joint_order(robot, names)]
    point = JointTrajectoryPoint(positions=positions.tolist())
    point.time_from_start = to_duration(command.duration_s)
    message.points = [point]
    return message


def joint_command(message: JointTrajectory, robot: RobotConfig) -> JointCommand:
    """Read a JointTrajectory of one point, joints in any order; inverse of `trajectory_message`.

    Args:
        message: The trajectory.
        robot: Names and order of the joints.

    Raises:
        RobotError: A joint is missing or doubled; the message names it.
        UnsafeCommand: There is not exactly one point, or a position is not finite.
    """
    if len(message.points) != 1:
        raise UnsafeCommand(f"joint_trajectory: expected one point, got {len(message.points)}")
    positions = by_name(
        message.joint_names, message.points[0].positions, robot.command_names, "joint_trajectory"
    )
    duration_s = to_seconds(message.points[0].time_from_start)
    return JointCommand(positions[:-1], float(positions[-1]), duration_s)


def goal_message(goal: JointGoal, robot: RobotConfig, stamp_ns: int) -> JointTrajectory:
    """Build a JointTrajectory of one point, which names the joints that the goal moves.

    Args:
        goal: Angles of the arm, position of the gripper, or both.
        robot: Names of the joints, and the base frame.
        stamp_ns: Time of the measurement that the goal answers, ns.
    """
    message, point = JointTrajectory(), JointTrajectoryPoint()
    message.header.stamp, message.header.frame_id = to_time(stamp_ns), robot.base_frame
    names, positions = list[str](), list[float]()
    if goal.joint_rad is not None:
        names += robot.joint_names
        positions += goal.joint_rad.tolist()
    if goal.gripper_m is not None:
        names.append(robot.gripper_joint)
        positions.append(goal.gripper_m)
    point.positions = positions
    message.joint_names, message.points = names, [point]
    return message


def joint_goal(message: JointTrajectory, robot: RobotConfig) -> JointGoal:
    """Read a JointTrajectory of one point, joints in any order; inverse of `goal_message`.

    Args:
        message: The trajectory. It names all joints of the arm, the gripper, or both.
        robot: Names and order of the joints.

    Raises:
        RobotError: A joint is missing, doubled or not the robot's; the message names it.
        UnsafeCommand: There is not exactly one point, or a position is not finite.
    """
    topic = "command/trajectory"
    if len(message.points) != 1:
        raise UnsafeCommand(f"{topic}: expected one point, got {len(message.points)}")
    names, positions = message.joint_names, message.points[0].positions
    foreign = sorted(set(names) - set(robot.command_names))
    if foreign or not names:
        raise RobotError(
            f"{topic} names {', '.join(foreign) or 'no joint'}; {robot.name} has"
            f" {', '.join(robot.command_names)}"
        )
    arm, gripper = None, None
    if robot.gripper_joint in names:
        gripper = float(by_name(names, positions, [robot.gripper_joint], topic)[0])
    if set(names) & set(robot.joint_names):
        arm = by_name(names, positions, robot.joint_names, topic)
    return JointGoal(arm, gripper)
