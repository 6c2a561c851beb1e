"""What a policy sees of a camera: its part of each image, at its size, through the trained lens."""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo

from conure_core.errors import DataError
from conure_core.types import Array
from conure_ros.cameras.calibration import Calibration
from conure_ros.cameras.camera_info import sent_calibration
from conure_ros.cameras.encodings import COMPRESSED, TOPIC, rgb_pixels
from conure_ros.cameras.framing import Framing

TOLERANCE = 0.08
"""Of the focal length, and of the image's width for the principal point: a little more than what
`randomization=full` shows in training. With a lens 20 % longer, 100 % success fell to 65 %.
"""


class PolicyView:
    """Frames a camera's images for a policy, and their calibration with them.

    One thread tells camera_info, another frames images.

    >>> view = PolicyView(Framing("crop", 48), field_of_view_rad=0.9)
    >>> view.take_info(info)  # a CameraInfo of 640x480 px
    >>> view.pixels(image).shape
    (48, 48, 3)
    """

    def __init__(self, framing: Framing, field_of_view_rad: float, undistort: bool = False) -> None:
        """Frame by a rule.

        Args:
            framing: The rule by which the policy's training images were made; with its size.
            field_of_view_rad: Vertical, of the policy's images in training, rad; 0: unknown.
            undistort: Whether to take the lens distortion out first.
        """
        self.framing, self._field_of_view_rad = framing, field_of_view_rad
        self._undistort = undistort
        self._told: tuple[Any, ...] = ()
        self._sent: Calibration | None = None
        self.calibration: Calibration | None = None
        """Calibration of the policy's images; None while the camera's is not known."""
        self.fault = ""
        """Why this is not the camera that the policy was trained with."""

    def take_info(self, info: CameraInfo) -> None:
        """Learn the calibration of the images that come now."""
        roi = (info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height)
        told = (info.width, info.height, info.binning_x, info.binning_y, *roi)
        told = (*told, info.distortion_model, *info.k, *info.d, *info.r, *info.p)
        if told == self._told or not min(info.width, info.height):
            return
        sent = sent_calibration(info)
        straight = sent.without_distortion() if self._undistort else sent
        placement = self.framing.placement(sent.width_px, sent.height_px)
        self._told, self._sent = told, sent
        self.calibration = straight.for_placement(placement)
        self.fault = self._unlike_trained(self.calibration)

    def _unlike_trained(self, calibration: Calibration) -> str:
        size_px = self.framing.size_px
        square = (calibration.width_px, calibration.height_px) == (size_px, size_px)
        if not (square and self._field_of_view_rad and calibration.matrix.any()):
            return ""
        return lens_difference(calibration.matrix, size_px, self._field_of_view_rad)

    def pixels(self, message: Any) -> NDArray[np.uint8]:
        """The policy's view of an image.

        Args:
            message: The image, sensor_msgs/Image.

        Returns:
            RGB image, shape (size, size, 3), uint8; a view where nothing is changed.

        Raises:
            DataError: It is smaller than what the policy sees, or of another size and the rule is
                'none', or it cannot be read or undistorted.
            ConfigError: The rule's part leaves the image.
        """
        pixels = rgb_pixels(message)
        placement = self.framing.placement(message.width, message.height)
        size_px = self.framing.size_px
        if placement.size != (size_px, size_px) or placement.enlarges:
            remedy = (
                "take a larger image, or more of it by policy_node's image_crop_px"
                if placement.enlarges
                else "set policy_node's image_fit to the rule of its training images"
            )
            raise DataError(
                f"{TOPIC}: the policy sees {size_px}x{size_px} px, the camera sends"
                f" {message.width}x{message.height} px; {remedy}"
            )
        if self._undistort:
            pixels = self._straighten(pixels)
        return placement.apply(pixels)

    def _straighten(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        sent = self._sent
        if sent is None or not sent.matrix.any():
            raise DataError(
                "image_undistort needs a calibration, and camera_info has none; calibrate the"
                " camera, or unset image_undistort"
            )
        if pixels.shape[:2] != (sent.height_px, sent.width_px):
            raise DataError(
                f"{TOPIC} has {pixels.shape[1]}x{pixels.shape[0]} px, camera_info is of"
                f" {sent.width_px}x{sent.height_px} px; see the camera's driver"
            )
        try:
            return sent.undistort(pixels)
        except cv2.error as error:
            raise DataError(
                f"camera_info: {sent.distortion.size} coefficients of distortion_model"
                f" '{sent.model}' cannot be used: {error.err}"
            ) from error


def lens_difference(matrix: Array, size_px: int, field_of_view_rad: float) -> str:
    """Compare a camera's intrinsics with those that a field of view means.

    Args:
        matrix: Intrinsic matrix (3, 3) of the square image that the policy sees, px.
        size_px: Side of that image, px.
        field_of_view_rad: Vertical field of view in training, rad.

    Returns:
        What differs and what to do, or ''.
    """
    if not np.isfinite(matrix).all():
        return "camera_info: k is not finite; calibrate the camera again"
    wanted_px = size_px / 2 / math.tan(field_of_view_rad / 2)
    for axis, focal_px in (("x", float(matrix[0, 0])), ("y", float(matrix[1, 1]))):
        if abs(focal_px / wanted_px - 1.0) > TOLERANCE:
            longer = focal_px > wanted_px
            remedy = (
                "take a wider lens, or crop less by policy_node's image_crop_px"
                if longer
                else f"take {100 * focal_px / wanted_px:.0f} % of the image's side by"
                " policy_node's image_crop_px"
            )
            return (
                f"camera_info: the lens is {abs(focal_px / wanted_px - 1.0):.0%}"
                f" {'longer' if longer else 'shorter'} than the policy's camera (focal length along"
                f" {axis} {focal_px:.1f} px, expected {wanted_px:.1f} px, the robot's"
                f" camera_field_of_view_rad of {field_of_view_rad:.3g}); {remedy}"
            )
    for axis, centre_px in (("x", float(matrix[0, 2])), ("y", float(matrix[1, 2]))):
        if abs(centre_px - (size_px - 1) / 2) > TOLERANCE * size_px:
            return (
                f"camera_info: the principal point is at {axis} = {centre_px:.1f} px of"
                f" {size_px} px, expected the middle; move policy_node's image_crop_px"
            )
    return ""


def unread_images(node: Any) -> str:
    """Say why no image can come to a node that reads raw images, or ''.

    Args:
        node: The node, for its view of the graph.
    """
    topic = node.resolve_topic_name(TOPIC)
    offered = [end.qos_profile.reliability for end in node.get_publishers_info_by_topic(topic)]
    asked = [end.qos_profile.reliability for end in node.subscriptions if end.topic_name == topic]
    best_effort = ReliabilityPolicy.BEST_EFFORT
    if offered and set(offered) == {best_effort} and best_effort not in asked:
        return (
            f"{topic} is published best effort, and reliable images are asked for; set the"
            f" parameter qos_overrides.{topic}.subscription.reliability to best_effort"
        )
    compressed = topic + COMPRESSED
    if offered or not node.count_publishers(compressed):
        return ""
    return (
        f"{compressed} is published and {topic} is not; publish raw images, such as by `ros2 run"
        f" image_transport republish compressed raw --ros-args -r in/compressed:={compressed}"
        f" -r out:={topic}`"
    )
