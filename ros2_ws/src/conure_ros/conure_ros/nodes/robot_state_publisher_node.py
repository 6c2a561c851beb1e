"""robot_state_publisher_node: `robot_description`, and the arm's frames on /tf and /tf_static.

Stands in for ROS's own robot_state_publisher, which PyPI does not have: the same topics, frames and
`frame_prefix`.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from conure_core.robot.description import load_robot
from conure_core.robot.link_transforms import Transform, read_joints
from conure_core.robot.urdf_file import description_text
from conure_ros.cameras.transforms import transform_message
from conure_ros.comms.diagnostics import Reporter
from conure_ros.comms.lifecycle import run_node
from conure_ros.comms.messages import NANOSECONDS, to_ns
from conure_ros.comms.parameters import declare, parameter
from conure_ros.comms.qos import LATCHED, NEWEST, STREAM, overridable

NEVER_NS = -(2**62)


@dataclass(frozen=True)
class RobotStatePublisherParameters:
    """Parameters of robot_state_publisher_node."""

    robot: str = parameter("wx250s", "name of a robot, or the path of its YAML file")
    frame_prefix: str = parameter("", "put before the names of all frames, such as left/")
    publish_frequency: float = parameter(20.0, "most often that /tf is published, Hz", 0.1, 1000.0)


class RobotStatePublisherNode(Node):
    """Publishes transforms of the joints that joint_states names, with the stamp of that message.

    Joints that it lacks follow the one that they mimic, or are left out.
    """

    def __init__(self) -> None:
        super().__init__("robot_state_publisher")
        self.parameters = declare(self, RobotStatePublisherParameters)
        robot = load_robot(self.parameters.robot)
        joints = read_joints(robot.urdf)
        self.moving = [joint for joint in joints if not joint.is_fixed]
        self.period_ns = round(NANOSECONDS / self.parameters.publish_frequency)
        self.last_ns: dict[str, int] = {}
        self.fault = "waiting for joint_states"
        self.descriptions = self.create_publisher(String, "robot_description", LATCHED)
        self.descriptions.publish(String(data=description_text(robot.urdf)))
        self.frames = self.create_publisher(TFMessage, "/tf", STREAM)
        self.fixed_frames = self.create_publisher(TFMessage, "/tf_static", LATCHED)
        fixed = [joint.transform() for joint in joints if joint.is_fixed]
        self.fixed_frames.publish(self._message(fixed, self.get_clock().now().nanoseconds))
        self.create_subscription(
            JointState, "joint_states", self._on_joint_states, **overridable(NEWEST)
        )
        self.reporter = Reporter(self, "frames", robot.name, lambda: (self.fault, {}))

    def _on_joint_states(self, message: JointState) -> None:
        stamp_ns = to_ns(message.header.stamp)
        # By joint: arm and gripper may come in messages apart.
        last_ns = min((self.last_ns.get(name, NEVER_NS) for name in message.name), default=NEVER_NS)
        if 0 <= stamp_ns - last_ns < self.period_ns:
            return
        positions = dict(zip(message.name, message.position, strict=False))
        transforms = []
        for joint in self.moving:
            position = joint.position_among(positions)
            if position is not None and math.isfinite(position):
                transforms.append(joint.transform(position))
        if transforms:
            self.last_ns |= dict.fromkeys(message.name, stamp_ns)
            self.fault = ""
            self.frames.publish(self._message(transforms, stamp_ns))

    def _message(self, transforms: Iterable[Transform], stamp_ns: int) -> TFMessage:
        prefix = self.parameters.frame_prefix
        stamped: list[TransformStamped] = [
            transform_message(transform, prefix, stamp_ns) for transform in transforms
        ]
        return TFMessage(transforms=stamped)


def main() -> None:
    run_node(RobotStatePublisherNode)
