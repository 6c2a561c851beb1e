"""How the commands of a robot with ros2_control reach its controllers: the section `ros2_control`
of its YAML file.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from conure_core.config.yaml_fields import checked_fields, read_mapping
from conure_core.errors import ConfigError, unknown_name
from conure_core.robot.description import RobotConfig, load_robot, robot_file

OUTPUTS = {"trajectory": "joint_trajectory", "positions": "position_commands"}
"""Kinds of commands, and the topic of each where none is given."""
TOPIC = re.compile(r"[~/]?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")


@dataclass(frozen=True)
class Ros2ControlConfig:
    """Which controllers take the commands, and of which joints.

    output: trajectory, for a joint_trajectory_controller (trajectory_msgs/JointTrajectory, one
    point), or positions, for a forward_command_controller on position interfaces
    (std_msgs/Float64MultiArray, 100 Hz). topic: the arm controller's; empty: as OUTPUTS says.
    joints: the controller's own list, in its order; empty: the arm's joints, then the gripper's, or
    the arm's alone where the gripper has a controller of its own. gripper_topic: that one's topic,
    of the same kind.
    """

    output: str = "trajectory"
    topic: str = ""
    joints: tuple[str, ...] = ()
    gripper_topic: str = ""

    def __post_init__(self) -> None:
        if self.output not in OUTPUTS:
            raise unknown_name("output", self.output, OUTPUTS)
        for key in ("topic", "gripper_topic"):
            topic = getattr(self, key)
            if topic and not TOPIC.fullmatch(topic):
                raise ConfigError(
                    f"{key} must be a ROS topic such as arm_controller/commands, got '{topic}'"
                )
        if self.gripper_topic and self.gripper_topic.strip("/") == self.arm_topic.strip("/"):
            raise ConfigError(
                f"gripper_topic must be another topic than the arm's, got '{self.gripper_topic}'"
                " for both"
            )

    @property
    def arm_topic(self) -> str:
        """Topic of the arm's controller."""
        return self.topic or OUTPUTS[self.output]

    def arm_joints(self, robot: RobotConfig) -> tuple[str, ...]:
        """List the joints that the arm's controller is told, in its order.

        Raises:
            ConfigError: A joint that the robot does not have, one of the arm's that is left out or
                named twice, or the gripper's where it has a controller of its own.
        """
        default = robot.joint_names if self.gripper_topic else robot.command_names
        names = self.joints or default
        for name in names:
            if name not in robot.command_names:
                raise unknown_name(f"joint of {robot.name} in joints", name, robot.command_names)
        missing = [name for name in robot.joint_names if name not in names]
        if missing or len(set(names)) != len(names):
            raise ConfigError(
                f"joints must name every joint of {robot.name} once, got {', '.join(names)}"
            )
        if self.gripper_topic and robot.gripper_joint in names:
            raise ConfigError(
                f"{robot.gripper_joint} is among the arm's joints and has gripper_topic; leave"
                " one out"
            )
        return tuple(names)


def joint_order(robot: RobotConfig, names: Sequence[str]) -> list[int]:
    """Find where a controller's joints stand in a joint command.

    Args:
        robot: The robot whose `command_names` order the command.
        names: Joints in the order of the controller; each is one of `robot.command_names`.

    Returns:
        For each name its index into the command.
    """
    return [robot.command_names.index(name) for name in names]


def load_ros2_control(name: str) -> Ros2ControlConfig:
    """Load the section `ros2_control` of the robot of this name, or of the YAML file at this path;
    the defaults if it has none.

    Raises:
        ConfigError: A field cannot be used; names file and field.
    """
    path = robot_file(name)
    section = read_mapping(path).get("ros2_control", {})
    config = checked_fields(section, Ros2ControlConfig, f"{path}: ros2_control", path.parent)
    try:
        config.arm_joints(load_robot(name))
    except ConfigError as error:
        raise ConfigError(f"{path}: ros2_control: {error}") from error
    return config
