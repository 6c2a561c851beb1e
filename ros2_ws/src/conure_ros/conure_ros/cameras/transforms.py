"""/tf_static: where a calibrated camera's optical frame stands."""

from typing import Any

from geometry_msgs.msg import TransformStamped

from conure_core.errors import ConfigError
from conure_ros.cameras.calibration import CameraPose
from conure_ros.comms.messages import to_time
from conure_ros.comms.qos import LATCHED


def publish_static(node: Any, pose: CameraPose, frame: str, stamp_ns: int) -> Any:
    """The publisher that holds the one transform for whoever comes later; the caller keeps it.

    Raises: ConfigError if tf2_msgs is not installed.
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
    message = TransformStamped(child_frame_id=frame)
    message.header.stamp, message.header.frame_id = to_time(stamp_ns), pose.parent
    place, turn = message.transform.translation, message.transform.rotation
    place.x, place.y, place.z = pose.translation_m
    turn.x, turn.y, turn.z, turn.w = pose.rotation_xyzw
    return message
