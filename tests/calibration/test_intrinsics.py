"""Intrinsics: on images that nobody here made, and on rendered ones whose lens is known."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from conure_calibration.benchmarks.camera_cases import camera_errors
from conure_calibration.benchmarks.rendering import Renderer, draw_board_pose, draw_lens
from conure_calibration.boards.board import read_board
from conure_calibration.boards.detection import Corners
from conure_calibration.intrinsics.calibrate import calibrate_lens
from conure_calibration.intrinsics.fit import place_board, pose_covariance, projected
from conure_calibration.intrinsics.frames import (
    View,
    choose_views,
    find_views,
    image_paths,
    read_grey,
)
from conure_calibration.intrinsics.lens import read_lens, write_lens
from conure_calibration.poses import difference
from conure_calibration.results.result import read_result
from conure_core.cli import main
from conure_core.errors import ConfigError, DataError
from conure_ros.cameras.calibration import read_calibration
from tests.calibration.conftest import CHARUCO, CHESSBOARD

REAL = Path(__file__).parent / "opencv_chessboards"
ELSEWHERE_PX = {"corner windows of 11 px": 536.3, "of 5 px": 532.8, "saddle points": 531.7}
"""The focal length of the camera behind these images, as other detectors give it."""


@pytest.fixture(scope="module")
def real():
    board = read_board(REAL)
    images = ((path.name, read_grey(path)) for path in image_paths(REAL))
    frames = find_views(images, board)
    return frames, calibrate_lens(frames.good, frames.size_px, board)


def test_real_images_are_fitted_to_a_quarter_of_a_pixel(real):
    frames, found = real
    assert len(frames.good) == 14 and not frames.refused
    assert found.rms_px <= 0.25
    assert found.held_out_px[found.lens.model] <= 0.3


def test_the_deviation_covers_what_detectors_differ_by(real):
    _, found = real
    focal, deviation = found.values["focal_x_px"], found.deviations["focal_x_px"]
    for name, elsewhere in ELSEWHERE_PX.items():
        assert abs(elsewhere - focal) < 2 * deviation, name
    assert np.std(list(ELSEWHERE_PX.values()), ddof=1) < 1.3 * deviation
    assert deviation < 0.005 * focal


def exact_views(lens, count=12, noise_px=0.0):
    rng = np.random.default_rng(0)
    points = CHARUCO.points_m
    views = []
    for index in range(count):
        pose = draw_board_pose(lens, CHARUCO, rng)
        pixels = projected(lens, pose, points) + noise_px * rng.normal(size=(len(points), 2))
        corners = Corners(np.arange(len(points)), pixels, 20.0)
        grey = np.zeros((lens.height_px, lens.width_px), dtype=np.uint8)
        views.append(View(f"{index}", grey, corners, points, 1.0))
    return views


@pytest.mark.parametrize("model", ["plumb_bob", "equidistant"])
def test_held_out_views_choose_the_model_that_made_the_images(model, monkeypatch):
    monkeypatch.setattr("conure_calibration.intrinsics.calibrate.by_other_detectors", lambda *_: {})
    lens = draw_lens(np.random.default_rng(5), model)
    lens.matrix[0, 0] = lens.matrix[1, 1] = 300.0  # wide: here the models differ
    found = calibrate_lens(exact_views(lens, noise_px=0.05), lens.size_px, CHARUCO)
    assert found.lens.model == model
    assert found.values["focal_x_px"] == pytest.approx(lens.matrix[0, 0], rel=3e-3)


def test_a_board_is_placed_and_its_covariance_is_what_noise_does(lens):
    rng = np.random.default_rng(2)
    pose = draw_board_pose(lens, CHARUCO, rng)
    pixels = projected(lens, pose, CHARUCO.points_m)
    np.testing.assert_allclose(
        place_board(lens, CHARUCO.points_m, pixels).camera_from_board, pose, atol=1e-5
    )
    covariance = pose_covariance(lens, pose, CHARUCO.points_m, 0.3)
    twists = [
        difference(
            pose,
            place_board(
                lens, CHARUCO.points_m, pixels + 0.3 * rng.normal(size=pixels.shape)
            ).camera_from_board,
        )
        for _ in range(300)
    ]
    np.testing.assert_allclose(np.std(twists, axis=0), np.sqrt(np.diag(covariance)), rtol=0.2)


def test_rendered_images_give_the_lens_back():
    errors = camera_errors(1, 14)
    assert errors.focal_percent < 0.3
    assert errors.centre_px < 2.0
    assert errors.held_out_px < 0.3


def test_blurred_and_repeated_frames_are_refused_by_name(camera_folder):
    images = ((path.name, read_grey(path)) for path in image_paths(camera_folder))
    frames = find_views(images, CHARUCO)
    # Motion makes markers unreadable before it makes edges wide.
    assert frames.refused["05.png"].startswith(("blurred", "no board"))
    assert [name for name, why in frames.refused.items() if why == "repeats 02_again.png"] == [
        "11.png"
    ]


def test_chosen_frames_cover_more_than_the_first_ones(lens):
    views = exact_views(lens, 60)
    chosen = choose_views(views, lens.size_px, 10)
    assert len(chosen) == 10

    def area(some):
        return np.prod(np.ptp(np.concatenate([view.corners.pixels for view in some]), axis=0))

    assert area(chosen) >= area(views[:10])
    assert choose_views(views[:5], lens.size_px, 10) == views[:5]


def test_the_command_writes_what_the_camera_node_reads(camera_folder, lens, tmp_path, capsys):
    out = tmp_path / "out"
    words = [f"from={camera_folder}", f"out={out}", "name=table", "models=[plumb_bob]"]
    assert main(["calibrate", "camera", *words]) == 0, capsys.readouterr().err
    found = read_calibration(out / "camera.yaml")
    assert not found.assumed
    assert found.matrix[0, 0] == pytest.approx(lens.matrix[0, 0], rel=0.01)
    result = read_result(out / "result.yaml", "camera", size_px=(640, 480))
    assert result.value("focal_x_px") == found.matrix[0, 0]
    page = (out / "report.html").read_text()
    assert "Usable" in page and page.count("<figure>") == 4
    assert main(["calibrate", "camera", *words]) == 0
    again = read_calibration(out / "camera.yaml")
    np.testing.assert_allclose(again.matrix, found.matrix, rtol=1e-6)  # sums of several threads


def spoil_board(folder):
    keep_three(folder)
    board = yaml.safe_load((folder / "board.yaml").read_text())
    board["columns"], board["rows"] = board["rows"], board["columns"]
    (folder / "board.yaml").write_text(yaml.safe_dump(board))


def mirror(folder):
    keep_three(folder)
    for path in image_paths(folder):
        cv2.imwrite(str(path), cv2.imread(str(path))[:, ::-1])


def keep_three(folder):
    for path in image_paths(folder)[3:]:
        path.unlink()


def truncate(folder):
    (folder / "03.png").write_bytes((folder / "03.png").read_bytes()[:40])


def other_size(folder):
    cv2.imwrite(str(folder / "03.png"), np.zeros((240, 320), dtype=np.uint8))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_board, "rows and columns are swapped: the board has 10 columns"),
        (mirror, "the image is mirrored"),
        (keep_three, "3 good views of the board, at least 6 are needed"),
        (truncate, "03.png cannot be read as an image"),
        (other_size, "03.png has 320x240 px, the images before it 640x480 px"),
        (lambda folder: (folder / "board.yaml").unlink(), "board.yaml is missing"),
        (lambda folder: [path.unlink() for path in image_paths(folder)], "holds no images"),
    ],
)
def test_a_wrong_folder_is_refused_in_a_line(spoil, reason, camera_folder, tmp_path, capsys):
    folder = tmp_path / "data"
    shutil.copytree(camera_folder, folder)
    spoil(folder)
    out = tmp_path / "out"
    assert main(["calibrate", "camera", f"from={folder}", f"out={out}"]) == 1
    said = capsys.readouterr().err
    assert reason in said and said.count("\n") == 1
    assert not (out / "camera.yaml").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["from=nowhere"], "from=nowhere is not a folder"),
        (["from=."], "out=out/calibration/camera lies in the data folder"),
        (["from=.", "models=[brown]", "out=/tmp/x"], "unknown model 'brown'"),
        ([], "data"),
    ],
)
def test_wrong_words_are_refused_in_a_line(words, reason, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["calibrate", "camera", *words]) == 1
    said = capsys.readouterr().err
    assert reason in said and said.count("\n") == 1


def test_intrinsics_are_read_as_they_were_written(lens, tmp_path):
    write_lens(tmp_path / "camera.yaml", lens, "table")
    found = read_lens(tmp_path / "camera.yaml")
    np.testing.assert_array_equal(found.matrix, lens.matrix)
    np.testing.assert_array_equal(found.distortion, lens.distortion)
    text = (tmp_path / "camera.yaml").read_text()
    (tmp_path / "camera.yaml").write_text(text.replace("plumb_bob", "rational_polynomial"))
    with pytest.raises(ConfigError, match="rational_polynomial must be 8 numbers, got 5"):
        read_lens(tmp_path / "camera.yaml")


def test_too_few_views_are_refused(lens):
    with pytest.raises(DataError, match="5 good views"):
        calibrate_lens(exact_views(lens, 5), lens.size_px, CHESSBOARD)


def test_a_renderer_draws_where_the_lens_projects(lens):
    rng = np.random.default_rng(1)
    pose = draw_board_pose(lens, CHESSBOARD, rng)
    image = Renderer(lens, CHESSBOARD, noise=0.0).image(pose, rng)
    centre = np.array([[0.5 * 0.025, 0.5 * 0.025, 0.0], [1.5 * 0.025, 0.5 * 0.025, 0.0]])
    black, white = np.rint(projected(lens, pose, centre)).astype(int)
    assert image[black[1], black[0]] < 80 < 180 < image[white[1], white[0]]
