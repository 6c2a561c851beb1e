"""`conure calibrate scene`: the table comes back, and what is wrong with the data is named."""

from dataclasses import asdict

import cv2
import numpy as np
import pytest
import yaml

from conure_calibration.apply.measured import read_measured
from conure_calibration.apply.robot_file import calibrated_fields
from conure_calibration.benchmarks.rendering import Renderer
from conure_calibration.boards.board import Board
from conure_calibration.hand_eye.place import write_place
from conure_calibration.intrinsics.lens import Lens, write_lens
from conure_calibration.results.result import read_result
from conure_calibration.scene.light import measure_light
from conure_calibration.scene.table import fit_table
from conure_core.cli import main
from conure_core.errors import ConfigError, DataError
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot

ROBOT = load_robot("wx250s")
ARM = Arm(ROBOT)
PLACES = [(0.2, -0.12), (0.2, 0.12), (0.36, -0.12), (0.36, 0.12), (0.28, 0.0), (0.3, 0.08)]
HEIGHT_M = 0.012
CENTRE_M = np.array([0.28, 0.0])


def plane(xy, height_m=HEIGHT_M, slope=(0.0, 0.0)):
    points = np.array(xy)
    heights = height_m + (points - CENTRE_M) @ slope
    return np.column_stack([points, heights])


def touches():
    """Joint angles with the tool on the table."""
    found = []
    pose = ARM.forward(np.array(ROBOT.home_rad))
    for point in plane(PLACES):
        pose[:3, 3] = point
        found.append(ARM.solve(pose, np.array(ROBOT.home_rad), iterations=60).tolist())
    return found


TOUCHES = touches()


def draw_images(count=4, noise=2.0, exposure_spread=0.03, seed=0):
    rng = np.random.default_rng(seed)
    flat = np.tile(np.array([150.0, 120.0, 90.0]), (48, 64, 1))
    flat += 20 * rng.normal(size=(6, 8, 3)).repeat(8, axis=0).repeat(8, axis=1)
    images = []
    for _ in range(count):
        exposed = flat * (1 + exposure_spread * rng.normal())
        images.append(np.clip(exposed + noise * rng.normal(size=flat.shape), 0, 255))
    return np.rint(images).astype(np.uint8)


def save(folder, fields, images=()):
    folder.mkdir(exist_ok=True)
    for index, image in enumerate(images):
        cv2.imwrite(str(folder / f"{index}.png"), image[..., ::-1])
    (folder / "scene.yaml").write_text(yaml.safe_dump({"robot": "wx250s", **fields}))
    return ["calibrate", "scene", f"from={folder}", f"out={folder.parent / 'scene'}"]


EVERYWHERE = np.ones((48, 64), dtype=bool)


@pytest.mark.parametrize("slope", [(0.0, 0.0), (0.02, -0.01)])
def test_a_plane_comes_back_within_its_deviation(slope):
    errors = []
    for seed in range(40):
        points = plane(PLACES, slope=slope)
        points[:, 2] += 0.001 * np.random.default_rng(seed).normal(size=len(points))
        table = fit_table(points, CENTRE_M, 0.001)
        errors.append((table.height_m - HEIGHT_M) / table.height_deviation_m)
    assert 0.6 < np.std(errors) < 1.3
    assert table.tilt_rad == pytest.approx(np.arctan(np.hypot(*slope)), abs=0.02)
    assert table.outlier is None


def test_a_touch_off_the_plane_is_found():
    points = plane(PLACES)
    points[3, 2] += 0.01
    assert fit_table(points, CENTRE_M, 0.001).outlier == 3


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (plane(PLACES[:2]), "2 points on the table, at least 3"),
        (plane([(0.2, 0.0), (0.3, 0.001), (0.4, 0.0)]), "of one line"),
    ],
)
def test_points_that_tell_no_plane_are_refused(points, reason):
    with pytest.raises(DataError, match=reason):
        fit_table(points, CENTRE_M, 0.001)


def test_noise_and_exposure_come_back_apart():
    light = measure_light(draw_images(12, noise=3.0, exposure_spread=0.05), EVERYWHERE)
    assert light.noise_levels == pytest.approx(3.0, rel=0.1)
    assert light.exposure_spread == pytest.approx(0.05, rel=0.5)
    assert light.colour == pytest.approx(np.array([150, 120, 90]) / 255, abs=0.06)
    assert not light.moved
    still = measure_light(draw_images(4, noise=0.0, exposure_spread=0.0), EVERYWHERE)
    assert still.exposure_spread == 0.0 and still.noise_levels == 0.0


def test_an_image_in_which_something_moved_is_found():
    images = draw_images(5)
    images[2, 10:30, 10:30] = 20
    assert measure_light(images, EVERYWHERE).moved == (2,)


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (draw_images(2), "2 images of the empty scene, at least 3"),
        (np.zeros((3, 48, 64, 3), np.uint8), "neither black nor white"),
    ],
)
def test_images_that_tell_nothing_are_refused(images, reason):
    with pytest.raises(DataError, match=reason):
        measure_light(images, EVERYWHERE)


def test_the_command_measures_and_apply_takes_its_table(tmp_path):
    fields = {"touches": TOUCHES, "empty": ["0.png", "1.png", "2.png"]}
    assert main(save(tmp_path / "data", fields, draw_images(3))) == 0
    result = read_result(tmp_path / "scene/result.yaml", "scene", "wx250s", (64, 48))
    assert result.value("table_height_m") == pytest.approx(HEIGHT_M, abs=5e-4)
    assert result.value("reached_y_low_m") == pytest.approx(-0.12, abs=1e-3)
    assert 0.0 < result.value("image_noise_levels") < 4.0
    assert "<svg" in (tmp_path / "scene/report.html").read_text()
    robot = calibrated_fields("wx250s", None, read_measured(tmp_path, ROBOT))
    assert robot["table_height_m"] == result.value("table_height_m")


def test_a_tilted_table_is_not_usable(tmp_path):
    pose = ARM.forward(np.array(ROBOT.home_rad))
    tilted = []
    for point in plane(PLACES, slope=(0.1, 0.0)):
        pose[:3, 3] = point
        tilted.append(ARM.solve(pose, np.array(ROBOT.home_rad), iterations=60).tolist())
    assert main(save(tmp_path / "data", {"touches": tilted})) == 0
    with pytest.raises(ConfigError, match="tilt of the table is 5"):
        read_result(tmp_path / "scene/result.yaml", "scene")


def test_a_board_on_the_table_tells_it_too(tmp_path):
    lens = Lens("plumb_bob", 640, 480, np.diag([600.0, 600.0, 1.0]), np.zeros(5))
    lens.matrix[:2, 2] = 319.5, 239.5
    board = Board(
        "charuco", 10, 7, 0.025, 0.025, measured=True, dictionary="DICT_5X5_250",
        marker_fraction=0.7,
    )  # fmt: skip
    base_from_camera = np.eye(4)
    base_from_camera[:3, :3] = [[0, -1, 0], [-1, 0, 0], [0, 0, -1]]
    base_from_camera[:3, 3] = 0.28, 0.0, 0.45
    base_from_board = np.eye(4)
    base_from_board[:3, :3] = [[0, -1, 0], [-1, 0, 0], [0, 0, -1]]
    base_from_board[:3, 3] = 0.36, 0.12, HEIGHT_M + 0.003
    seen = np.linalg.inv(base_from_camera) @ base_from_board
    data = tmp_path / "data"
    words = save(data, {"board": ["b.png"], "board_thickness_m": 0.003})
    image = Renderer(lens, board).image(seen, np.random.default_rng(0))
    cv2.imwrite(str(data / "b.png"), image)
    (data / "board.yaml").write_text(yaml.safe_dump(asdict(board)))
    write_lens(data / "camera.yaml", lens, "table")
    write_place(data / "pose.yaml", "base_link", base_from_camera)
    assert main(words) == 0
    result = read_result(tmp_path / "scene/result.yaml", "scene")
    assert result.value("table_height_m") == pytest.approx(HEIGHT_M, abs=2e-3)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "expected touches or board, and empty"),
        ({"touches": [[0.0]]}, "touches[0] must have 6 values"),
        ({"empty": ["a.png"]}, "a.png cannot be read as an image"),
        ({"touches": TOUCHES[:2]}, "2 points on the table"),
        ({"touches": TOUCHES, "board": ["b.png"]}, "camera.yaml is missing"),
        ({"touched": []}, "unknown field 'touched'"),
    ],
)
def test_a_wrong_folder_is_refused_in_a_line(fields, reason, tmp_path, capsys):
    assert main(save(tmp_path / "data", fields)) == 1
    said = capsys.readouterr().err
    assert reason in said and said.count("\n") == 1
