"""What a policy sees of an image: its part, at its size; a camera that sees more or less is refused
by name.
"""

import re

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image, RegionOfInterest

from conure_core.errors import DataError
from conure_core.robot.description import ROBOTS_DIR, load_robot
from conure_ros.cameras.framing import Framing
from conure_ros.cameras.policy_view import PolicyView, lens_difference
from conure_ros.comms.messages import camera_info_message, image_message
from conure_ros.nodes.policy_node import PolicyNode
from conure_sim.physics.arm_simulation import ARMS_DIR, load_arm_simulation, table_camera

SIZE = 48
ROBOT = load_robot("wx250s")


def trained():
    return table_camera(SIZE, "wx250s").matrix()


def differing(scale=1.0, shift_px=0.0):
    matrix = trained()
    matrix[0, 0] *= scale
    matrix[1, 1] *= scale
    matrix[0, 2] += shift_px
    return lens_difference(matrix, SIZE, ROBOT.camera_field_of_view_rad)


@pytest.mark.parametrize("name", sorted(path.stem for path in ARMS_DIR.glob("*.yaml")))
def test_the_robots_file_says_what_the_simulated_camera_sees(name):
    """Also those that are the same arm on other connections, which training never sees."""
    expected = load_arm_simulation(name).camera_field_of_view_rad
    for path in ROBOTS_DIR.glob(f"{name}*.yaml"):
        assert load_robot(path.stem).camera_field_of_view_rad == expected


@pytest.mark.parametrize("scale", [0.95, 1.0, 1.05])
def test_the_trained_camera_and_what_randomization_shows_are_taken(scale):
    assert differing(scale) == ""


@pytest.mark.parametrize(
    ("scale", "says"),
    [(1.2, "20% longer .* take a wider lens"), (0.8, "20% shorter .* take 80 % of the image")],
)
def test_a_longer_or_shorter_lens_is_refused_with_both_focal_lengths(scale, says):
    message = differing(scale)
    assert f"{trained()[0, 0] * scale:.1f} px, expected {trained()[0, 0]:.1f} px" in message
    assert re.search(says, message), message


def test_a_camera_that_looks_past_the_middle_is_refused():
    assert "principal point is at x" in differing(shift_px=6.0)


def view(fit="crop", **options):
    return PolicyView(Framing(fit, SIZE), ROBOT.camera_field_of_view_rad, **options)


def info_of(optics):
    return camera_info_message(optics.matrix(), optics.width_px, optics.height_px, 0, "camera")


class Node:
    """What policy_node asks itself for."""

    active, robot = True, ROBOT

    def __init__(self, seen):
        self.view, self.dropped = seen, []

    def now_ns(self):
        return 0

    def _drop(self, kind, why):
        self.dropped.append((kind, why))


@pytest.mark.parametrize(("fit", "factor"), [("none", 1), ("crop", 10)])
@pytest.mark.parametrize("scale", [1.0, 1.2])
def test_no_image_of_another_camera_reaches_the_policy(fit, factor, scale):
    node = Node(view(fit))
    info = info_of(table_camera(SIZE * factor, "wx250s").intrinsics.zoomed(scale))
    PolicyNode._on_camera_info(node, info)
    if scale == 1.0:
        assert not node.view.fault
        return
    PolicyNode._on_image(node, Image())
    ((kind, why),) = node.dropped
    assert kind == "another camera" and "20% longer" in why


def test_what_cannot_be_compared_is_not_refused():
    for info in (
        CameraInfo(width=SIZE, height=SIZE),  # not calibrated
        CameraInfo(),
        info_of(table_camera(10 * SIZE, "wx250s").intrinsics.zoomed(2.0)),  # of another size
    ):
        seen = view("none")
        seen.take_info(info)
        assert not seen.fault


def test_a_driver_that_joins_and_cuts_pixels_is_read_as_rep_104_says():
    """The sensor's 960x960 px, of which a driver sends 2x2 joined, all or a part."""
    whole = table_camera(48, "wx250s").scaled(20).intrinsics
    info = info_of(whole)
    info.binning_x = info.binning_y = 2
    seen = view()
    seen.take_info(info)
    assert not seen.fault
    np.testing.assert_allclose(seen.calibration.matrix, trained(), atol=1e-9)
    part = info_of(whole)
    part.binning_x = part.binning_y = 2
    part.roi = RegionOfInterest(x_offset=240, y_offset=240, width=480, height=480)
    seen.take_info(part)
    assert "100% longer" in seen.fault


def test_the_simulated_camera_at_any_scale_is_the_one_that_the_policy_was_trained_with():
    for scale in (1, 4, 10):
        seen = view()
        seen.take_info(info_of(table_camera(SIZE, "wx250s").scaled(scale).intrinsics))
        np.testing.assert_allclose(seen.calibration.matrix, trained(), atol=1e-9)


@pytest.mark.parametrize(
    ("fit", "width", "height", "says"),
    [
        ("none", 40, 30, "the policy sees 48x48 px, the camera sends 40x30 px; set .*image_fit"),
        ("crop", 64, 47, "the camera sends 64x47 px; take a larger image"),
        ("pad", 40, 30, "take a larger image"),
    ],
)
def test_images_that_do_not_fit_are_refused_with_what_to_do(fit, width, height, says):
    message = image_message(np.zeros((height, width, 3), np.uint8), 1, "camera")
    with pytest.raises(DataError, match=says):
        view(fit).pixels(message)


def test_an_empty_image_and_a_calibration_of_nan_are_refused_by_name():
    with pytest.raises(DataError, match="an image of 0x0 px is empty"):
        view().pixels(Image(encoding="rgb8"))
    seen = view()
    seen.take_info(CameraInfo(width=480, height=480, k=np.full(9, np.nan)))
    assert seen.fault == "camera_info: k is not finite; calibrate the camera again"


def test_an_image_of_the_policys_size_is_taken_as_it_is():
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    assert np.array_equal(view().pixels(image_message(pixels, 1, "camera")), pixels)


def test_lens_distortion_is_taken_out_where_that_is_asked_for():
    """A straight line of the scene, bent by the lens, is straight in the policy's image."""
    matrix = np.array([[400.0, 0, 240], [0, 400.0, 240], [0, 0, 1]])
    info = camera_info_message(matrix, 480, 480, 0, "camera")
    info.d = [-0.3, 0.05, 0.0, 0.0, 0.0]
    heights = np.linspace(-0.8, 0.8, 400)
    line = np.stack([np.full_like(heights, 0.45), heights, np.ones_like(heights)], axis=1)
    bent, _ = cv2.projectPoints(line, np.zeros(3), np.zeros(3), matrix, np.array(info.d))
    pixels = np.zeros((480, 480, 3), np.uint8)
    cv2.polylines(pixels, [np.rint(bent).astype(np.int32)], False, (255, 255, 255), 15)
    message = image_message(pixels, 1, "camera")

    def width_px(undistort):
        seen = PolicyView(Framing("crop", SIZE), 0.0, undistort=undistort)
        seen.take_info(info)
        columns = np.nonzero(seen.pixels(message).max(axis=(0, 2)) > 128)[0]
        return int(np.ptp(columns)) + 1

    assert width_px(undistort=False) > width_px(undistort=True)
    assert width_px(undistort=True) <= 3
    with pytest.raises(DataError, match="image_undistort needs a calibration"):
        view(undistort=True).pixels(message)
    seen = PolicyView(Framing("crop", SIZE), 0.0, undistort=True)
    seen.take_info(CameraInfo(width=480, height=480, k=matrix.ravel(), d=[0.1] * 3))
    with pytest.raises(DataError, match="3 coefficients of distortion_model '' cannot be used"):
        seen.pixels(message)
