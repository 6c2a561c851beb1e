"""/tf_static: the pose of a calibrated camera's optical frame."""

from typing import Any

from geometry_msgs.msg import TransformStamped

from conure_core.errors import ConfigError
from conure_ros.cameras.calibration import CameraPose
from conure_ros.comms.messages import to_time
from conure_ros.comms.qos import LATCHED


def publish_static(node: Any, pose: CameraPose, frame: str, stamp_ns: int) -> Any:
    """Publish one static transform. The caller keeps the publisher: it serves late subscribers.

    Args:
        node: The node that publishes.
        pose: parent_from_camera.
        frame: Name of the optical frame.
        stamp_ns: Time of the transform, ns.

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
    publisher.publish(TFMessage(transforms=[transform_message(pose, frame, stamp_ns)]))
    return publisher


def transform_message(pose: CameraPose, frame: str, stamp_ns: int) -> TransformStamped:
    """Build the transform of a camera's optical frame.

    Args:
        pose: parent_from_camera.
        frame: Name of the optical frame.
        stamp_ns: Time of the transform, ns.
    """
    message = TransformStamped(child_frame_id=frame)
    message.header.stamp, message.header.frame_id = to_time(stamp_ns), pose.parent
    place, turn = message.transform.translation, message.transform.rotation
    place.x, place.y, place.z = pose.translation_m
    turn.x, turn.y, turn.z, turn.w = pose.rotation_xyzw
    return message
