"""/tf_static: the pose of a camera's optical frame."""

from typing import Any

import numpy as np

from conure_core.errors import ConfigError
from conure_core.robot.link_transforms import Transform
from conure_ros.cameras.calibration import CameraPose
from conure_ros.comms.messages import transform_message
from conure_ros.comms.qos import LATCHED


def publish_static(node: Any, pose: Transform, prefix: str = "") -> Any:
    """Publish one static transform. The caller keeps the publisher: it serves late subscribers.

    Args:
        node: The node that publishes.
        pose: The optical frame in its parent.
        prefix: Put before the names of both frames.

    Returns:
        The publisher.

    Raises:
        ConfigError: tf2_msgs is not installed.
    """
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError as error:
        advice = (
            "make setup builds it; on a ROS machine: sudo apt-get install ros-$ROS_DISTRO-tf2-msgs"
        )
        raise ConfigError(f"a pose needs tf2_msgs for /tf_static ({error}); {advice}") from error
    publisher = node.create_publisher(TFMessage, "/tf_static", LATCHED)
    stamp_ns = node.get_clock().now().nanoseconds
    publisher.publish(TFMessage(transforms=[transform_message(pose, prefix, stamp_ns)]))
    return publisher


def camera_transform(pose: CameraPose, frame: str) -> Transform:
    """The transform that a pose from a file describes.

    Args:
        pose: parent_from_camera.
        frame: Name of the optical frame.
    """
    return Transform(pose.parent, frame, np.array(pose.translation_m), np.array(pose.rotation_xyzw))
