"""camera_info from ROS's YAML: what fits is used to the digit, what does not is refused by name."""

import cv2
import numpy as np
import pytest
import yaml

from conure_core.errors import ConfigError
from conure_ros.cameras.calibration import Calibration, read_calibration, read_pose
from conure_ros.cameras.framing import Framing

MATRIX = [[300.0, 0.0, 158.0], [0.0, 302.0, 121.0], [0.0, 0.0, 1.0]]


def document(**changes):
    """As cameracalibrator of ROS writes it."""
    return {
        "image_width": 320,
        "image_height": 240,
        "camera_name": "table",
        "camera_matrix": {"rows": 3, "cols": 3, "data": np.ravel(MATRIX).tolist()},
        "distortion_model": "plumb_bob",
        "distortion_coefficients": {"rows": 1, "cols": 5, "data": [-0.2, 0.05, 0.001, -0.001, 0.0]},
        "rectification_matrix": {"rows": 3, "cols": 3, "data": np.eye(3).ravel().tolist()},
        "projection_matrix": {
            "rows": 3,
            "cols": 4,
            "data": [290.0, 0, 159, 0, 0, 291, 120, 0, 0, 0, 1, 0],
        },
        **changes,
    }


@pytest.fixture
def written(tmp_path):
    def write(data):
        path = tmp_path / "camera.yaml"
        path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
        return path

    return write


def test_a_calibration_is_read_to_the_digit(written):
    found = read_calibration(written(document()))
    assert found.matrix.tolist() == MATRIX
    assert found.distortion.tolist() == [-0.2, 0.05, 0.001, -0.001, 0.0]
    assert found.projection[0].tolist() == [290.0, 0.0, 159.0, 0.0]
    assert (found.width_px, found.height_px, found.model) == (320, 240, "plumb_bob")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image_width": "wide"}, "image_width must be a number of pixels"),
        ({"image_height": 0}, "image_height must be a number of pixels"),
        ({"camera_matrix": {"data": [1.0, 2.0]}}, "camera_matrix must have 3x3 values, got 2"),
        ({"camera_matrix": {"data": [0.0] * 9}}, "camera_matrix needs focal lengths above 0"),
        ({"camera_matrix": [1, 2]}, "camera_matrix must hold 'data'"),
        (
            {"rectification_matrix": {"data": [float("nan")] * 9}},
            "rectification_matrix must be a flat list of finite",
        ),
        ({"distortion_model": "plum_bob"}, "did you mean 'plumb_bob'"),
        (
            {"distortion_coefficients": {"data": [0.1] * 3}},
            "of plumb_bob must be 4 or 5 values, got 3",
        ),
    ],
)
def test_a_wrong_field_is_refused_with_the_file_and_the_field(written, change, reason):
    path = written(document(**change))
    with pytest.raises(ConfigError, match=reason) as refusal:
        read_calibration(path)
    assert str(path) in str(refusal.value)


# What calibrators, drivers and people write, and what ROS's own parser makes of it.
RATIONAL = [0.4, -0.2, 0.0, 0.0, 0.01, 0.8, -0.1, 0.02]
FISHEYE = [0.05, -0.01, 0.002, 0.0]
OPENCV = """%YAML:1.0
---
calibration_time: "Mon 30 Nov 2026"
image_width: 320
image_height: 240
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 3.0e+02, 0., 158., 0., 302., 121., 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ -0.2, 0.05, 1e-3, -.001, 0. ]
avg_reprojection_error: 2.1e-01
"""


@pytest.mark.parametrize(
    ("change", "model", "distortion", "says"),
    [
        ({"distortion_model": None}, "plumb_bob", None, "distortion_model is missing"),
        ({"distortion_model": ""}, "plumb_bob", None, "distortion_model is missing"),
        (
            {"distortion_model": None, "camera_model": "plumb_bob"},
            "plumb_bob",
            None,
            "camera_model",
        ),
        ({"distortion_model": None, "camera_model": "pinhole"}, "plumb_bob", None, "pinhole"),
        ({"distortion_model": "Plumb_Bob"}, "plumb_bob", None, "Plumb_Bob"),
        (
            {"distortion_coefficients": {"data": RATIONAL}},
            "rational_polynomial",
            RATIONAL,
            "8 values",
        ),
        ({"distortion_model": "rational_polynomial"}, "plumb_bob", None, "5 values"),
        ({"distortion_coefficients": {"data": []}}, "plumb_bob", [0.0] * 5, "no distortion"),
        (
            {
                "distortion_model": "equidistant",
                "distortion_coefficients": {"data": [*FISHEYE, 0.0]},
            },
            "equidistant",
            FISHEYE,
            "zero at its end",
        ),
        (
            {"distortion_model": "fisheye", "distortion_coefficients": {"data": FISHEYE}},
            "equidistant",
            FISHEYE,
            "fisheye",
        ),
        ({"image_width": 320.0, "image_height": "240"}, "plumb_bob", None, ""),
        ({"rectification_matrix": None}, "plumb_bob", None, "rectification_matrix is missing"),
        ({"projection_matrix": None}, "plumb_bob", None, "projection_matrix is missing"),
    ],
)
def test_what_calibrators_write_is_taken_and_what_was_assumed_is_said(
    written, change, model, distortion, says
):
    data = {key: value for key, value in document(**change).items() if value is not None}
    found = read_calibration(written(data))
    assert found.model == model and (found.width_px, found.height_px) == (320, 240)
    expected = document()["distortion_coefficients"]["data"] if distortion is None else distortion
    assert found.distortion.tolist() == expected
    assert found.matrix.tolist() == MATRIX and found.rectification.tolist() == np.eye(3).tolist()
    assert says in " ".join(found.assumed) and bool(says) == bool(found.assumed)


def test_a_file_as_opencv_writes_it_is_read(written):
    found = read_calibration(written(OPENCV))
    assert found.matrix.tolist() == MATRIX
    assert found.distortion.tolist() == [-0.2, 0.05, 0.001, -0.001, 0.0]
    assert found.projection[:, :3].tolist() == MATRIX and not found.projection[:, 3].any()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image_width": 320.5}, "image_width must be a number of pixels"),
        (
            {
                "distortion_model": "equidistant",
                "distortion_coefficients": {"data": [*FISHEYE, 0.1]},
            },
            "of equidistant must be 4 values, got 5",
        ),
        ({"distortion_model": None, "camera_model": "omni"}, "unknown distortion_model 'omni'"),
    ],
)
def test_what_no_parser_could_mean_is_refused(written, change, reason):
    data = {key: value for key, value in document(**change).items() if value is not None}
    with pytest.raises(ConfigError, match=reason):
        read_calibration(written(data))


@pytest.mark.parametrize("name", ["image_width", "camera_matrix", "distortion_coefficients"])
def test_a_missing_field_is_refused_by_name(written, name):
    data = document()
    del data[name]
    with pytest.raises(ConfigError, match=f"lacks the field '{name}'"):
        read_calibration(written(data))


@pytest.mark.parametrize("text", ["- 1", "a: [", "5"])
def test_what_is_no_calibration_at_all_is_refused(written, text):
    with pytest.raises(ConfigError):
        read_calibration(written(text))


def test_frames_of_another_size_are_refused_with_both_sizes(written):
    found = read_calibration(written(document()))
    found.require_size(320, 240)
    with pytest.raises(ConfigError, match="is for 320x240 px, the camera gives 640x480 px"):
        found.require_size(640, 480)


@pytest.mark.parametrize(
    ("model", "distortion"),
    [("plumb_bob", [-0.2, 0.05, 0.001, -0.001, 0.0]), ("equidistant", [0.05, -0.01, 0.002, 0.0])],
)
def test_undistorting_puts_points_where_the_projection_matrix_says(written, model, distortion):
    """A bright dot drawn where the distorted camera sees a ray is found where the straight one
    projects it.
    """
    changes = {"distortion_model": model, "distortion_coefficients": {"data": distortion}}
    found = read_calibration(written(document(**changes)))
    for ray in ([0.0, 0.0, 1.0], [0.25, -0.15, 1.0], [-0.3, 0.2, 1.0]):
        points, zero = np.array([[ray]]), np.zeros(3)
        if model == "equidistant":
            seen = cv2.fisheye.projectPoints(points, zero, zero, found.matrix, found.distortion)[
                0
            ].ravel()
        else:
            seen = cv2.projectPoints(points, zero, zero, found.matrix, found.distortion)[0].ravel()
        columns, rows = np.meshgrid(np.arange(320), np.arange(240))
        dot = 255 * np.exp(-((columns - seen[0]) ** 2 + (rows - seen[1]) ** 2) / 8)
        straight = found.undistort(np.repeat(dot[..., None], 3, axis=2).astype(np.uint8))[
            ..., 0
        ].astype(float)
        middle = [
            (straight * columns).sum() / straight.sum(),
            (straight * rows).sum() / straight.sum(),
        ]
        expected = found.without_distortion().matrix @ ray
        assert middle == pytest.approx(expected[:2].tolist(), abs=0.3)
    assert not found.without_distortion().distortion.any()


def test_framing_moves_the_intrinsics_and_keeps_the_distortion(written):
    framed = read_calibration(written(document())).for_placement(
        Framing("crop", 48).placement(320, 240)
    )
    assert (framed.width_px, framed.height_px) == (48, 48)
    assert framed.matrix[0, 0] == pytest.approx(300.0 / 5)
    assert framed.matrix[0, 2] == pytest.approx((158.0 - 40 + 0.5) / 5 - 0.5)
    assert framed.distortion[0] == -0.2


def test_an_uncalibrated_camera_says_so_with_a_matrix_of_zeros():
    framed = Calibration.uncalibrated(640, 480).for_placement(
        Framing("crop", 48).placement(640, 480)
    )
    assert (framed.width_px, framed.height_px) == (48, 48)
    assert not framed.matrix.any() and not framed.projection.any()


def test_a_pose_is_a_unit_quaternion_and_a_place(written):
    text = "parent: base_link\ntranslation_m: [0.5, 0.0, 0.4]\nrotation_xyzw: {}\n"
    assert read_pose(written(text.format("[0.6, 0.0, 0.0, 0.8]"))).parent == "base_link"
    with pytest.raises(ConfigError, match="unit quaternion"):
        read_pose(written(text.format("[0.0, 0.0, 0.0, 0.0]")))
    with pytest.raises(ConfigError, match="rotation_xyzw must have 4 values"):
        read_pose(written(text.format("[0.0, 0.0, 1.0]")))
