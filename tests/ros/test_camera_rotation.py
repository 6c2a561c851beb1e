"""A camera on its head: image and camera_info turn together, lens included."""

import cv2
import numpy as np
import pytest

from conure_core.errors import ConfigError
from conure_ros.cameras.calibration import Calibration
from conure_ros.cameras.capture import Frame
from conure_ros.cameras.encodings import rgb_pixels
from conure_ros.cameras.rotation import require_turn, rotate_calibration, rotate_image
from conure_ros.comms.lifecycle import ActivePublisher
from conure_ros.nodes import camera_node
from conure_ros.nodes.camera_node import CameraNode, CameraParameters

RAYS = np.array([[0.0, 0.0, 1.0], [0.25, -0.15, 1.0], [-0.3, 0.2, 1.0], [0.1, 0.22, 1.0]])
LENSES = {
    "plumb_bob": [-0.2, 0.05, 0.004, -0.006, 0.01],
    "rational_polynomial": [0.4, -0.2, 0.003, 0.005, 0.01, 0.8, -0.1, 0.02],
    "thin prism": [-0.2, 0.05, 0.004, -0.006, 0.0, 0.0, 0.0, 0.0, 0.01, 0.002, -0.02, 0.003],
    "equidistant": [0.05, -0.01, 0.002, 0.001],
}


def calibration(lens):
    matrix = np.array([[300.0, 0.0, 158.0], [0.0, 310.0, 121.0], [0.0, 0.0, 1.0]])
    model = "rational_polynomial" if lens == "thin prism" else lens
    projection = np.hstack([0.9 * matrix, [[5.0], [2.0], [0.0]]])
    projection[2, 2] = 1.0
    return Calibration(
        320, 240, model, matrix, np.array(LENSES[lens]), cv2.Rodrigues(RAYS[1] / 9)[0], projection
    )


def seen(camera, rays):
    """Where a calibrated camera sees rays, (n, 2), px."""
    project = cv2.fisheye.projectPoints if camera.model == "equidistant" else cv2.projectPoints
    zero = np.zeros(3)
    return project(rays[None], zero, zero, camera.matrix, camera.distortion)[0].reshape(-1, 2)


def turned(rays, rotate_deg):
    """The same rays in the frame of the turned image."""
    for _ in range(rotate_deg // 90):
        rays = np.stack([-rays[:, 1], rays[:, 0], rays[:, 2]], axis=1)
    return rays


@pytest.mark.parametrize("rotate_deg", [0, 90, 180, 270])
@pytest.mark.parametrize("lens", LENSES)
def test_a_point_of_the_turned_image_is_where_the_turned_calibration_sees_it(lens, rotate_deg):
    before = calibration(lens)
    after = rotate_calibration(before, rotate_deg)
    for (column, row), expected in zip(
        seen(before, RAYS).round().astype(int), seen(after, turned(RAYS, rotate_deg)), strict=True
    ):
        image = np.zeros((240, 320, 3), np.uint8)
        image[row, column] = 255
        found = rotate_image(image, rotate_deg)
        assert found.shape[:2] == (after.height_px, after.width_px)
        (there,) = np.argwhere(found[..., 0])
        assert np.abs(there[::-1] - expected).max() <= 0.51, "half a pixel, from the rounding"


@pytest.mark.parametrize("rotate_deg", [90, 180, 270])
def test_rectified_images_turn_as_projection_and_rectification_say(rotate_deg):
    before = calibration("plumb_bob")
    after = rotate_calibration(before, rotate_deg)
    for ray, other in zip(RAYS, turned(RAYS, rotate_deg), strict=True):
        point = before.projection @ [*(before.rectification @ ray), 1.0]
        same = after.projection @ [*(after.rectification @ other), 1.0]
        image = np.zeros((before.height_px, before.width_px, 3), np.uint8)
        column, row = (point[:2] / point[2]).round().astype(int)
        image[row, column] = 255
        (there,) = np.argwhere(rotate_image(image, rotate_deg)[..., 0])
        assert np.abs(there[::-1] - same[:2] / same[2]).max() <= 0.51


def test_four_quarter_turns_are_none():
    before = calibration("thin prism")
    after = rotate_calibration(rotate_calibration(before, 270), 90)
    assert np.allclose(after.matrix, before.matrix) and np.allclose(
        after.distortion, before.distortion
    )
    assert np.allclose(after.projection, before.projection)


def test_an_uncalibrated_camera_stays_uncalibrated():
    after = rotate_calibration(Calibration.uncalibrated(640, 480), 90)
    assert (after.width_px, after.height_px) == (480, 640) and not after.matrix.any()


@pytest.mark.parametrize("rotate_deg", [45, -90, 360])
def test_another_angle_is_refused(rotate_deg):
    with pytest.raises(ConfigError, match="rotate_deg must be 0, 90, 180 or 270"):
        require_turn(rotate_deg)


@pytest.mark.nodes
def test_the_node_publishes_both_turned(context, tmp_path, monkeypatch):
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "image.png"), image)
    wanted = CameraParameters(source=str(tmp_path), rotate_deg=90)
    monkeypatch.setattr(camera_node, "declare", lambda node, schema: wanted)
    node, sent = CameraNode(), []
    try:
        node.configure()
        node.capture.close(10.0)  # one frame alone, this thread's
        node.active = True
        monkeypatch.setattr(node.health, "frame", lambda *_: True)
        monkeypatch.setattr(ActivePublisher, "is_read", True)
        monkeypatch.setattr(node.images, "publish", sent.append)
        monkeypatch.setattr(node.infos, "publish", sent.append)
        node._on_frame(Frame(image, 1, 0.0))
    finally:
        node.release()
        node.destroy_node()
    info, message = sent
    assert (info.width, info.height) == (message.width, message.height) == (60, 80)
    assert np.array_equal(rgb_pixels(message), np.rot90(image, -1)[..., ::-1])
