"""Boards are printed at true size, found to a fraction of a pixel, and wrong ones named."""

import re
from dataclasses import replace

import numpy as np
import pytest
import yaml
from matplotlib.backends.backend_agg import FigureCanvasAgg

from conure_calibration.benchmarks.rendering import Renderer, draw_board_pose
from conure_calibration.boards.board import Board, read_board
from conure_calibration.boards.detection import blur_px, find_corners, why_missing
from conure_calibration.boards.printing import PAPER_MM, draw_page, write_pdf
from conure_calibration.intrinsics.fit import projected
from conure_core.cli import main
from conure_core.errors import ConfigError
from tests.calibration.conftest import CHARUCO, CHESSBOARD

BOARDS = [CHARUCO, CHESSBOARD]
DPI = 200


def kind(board):
    return board.kind


def printed(board, paper):
    """The page as grey pixels."""
    canvas = FigureCanvasAgg(draw_page(board, paper))
    canvas.figure.set_dpi(DPI)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., 0])


@pytest.mark.parametrize("board", BOARDS, ids=kind)
@pytest.mark.parametrize("paper", PAPER_MM)
def test_a_printed_board_is_found_and_has_its_size(board, paper):
    corners = find_corners(printed(board, paper), board)
    assert corners is not None and len(corners.ids) == board.corners
    grid = corners.pixels.reshape(board.rows - 1, board.columns - 1, 2)
    square_px = 25.0 / 25.4 * DPI
    np.testing.assert_allclose(np.diff(grid[..., 0], axis=1), square_px, atol=1.0)
    np.testing.assert_allclose(np.diff(grid[..., 1], axis=0), square_px, atol=1.0)


@pytest.mark.parametrize("paper", PAPER_MM)
def test_a_pdf_is_as_large_as_the_paper(paper, tmp_path):
    write_pdf(tmp_path / "board.pdf", CHARUCO, paper)
    box = re.search(
        rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", (tmp_path / "board.pdf").read_bytes()
    )
    points = [float(side) for side in box.groups()]
    assert np.array(points) / 72 * 25.4 == pytest.approx(PAPER_MM[paper], abs=0.1)


def test_what_does_not_fit_is_refused_with_what_does(tmp_path):
    large = replace(CHARUCO, square_x_m=0.03, square_y_m=0.03)
    with pytest.raises(ConfigError, match=r"do not fit on A4; at most square_mm=2\d"):
        write_pdf(tmp_path / "board.pdf", large, "A4")
    with pytest.raises(ConfigError, match="unknown paper 'A5'"):
        write_pdf(tmp_path / "board.pdf", CHARUCO, "A5")


@pytest.mark.parametrize("board", BOARDS, ids=kind)
def test_corners_are_found_to_a_tenth_of_a_pixel(board, lens):
    rng = np.random.default_rng(0)
    renderer = Renderer(lens, board)
    found = 0
    for _ in range(6):
        pose = draw_board_pose(lens, board, rng)
        corners = find_corners(renderer.image(pose, rng), board)
        if corners is not None:
            found += 1
            true = projected(lens, pose, corners.points_m(board))
            assert np.sqrt(((corners.pixels - true) ** 2).mean()) < 0.15
    assert found >= 4


def test_blur_is_seen_along_either_direction(lens):
    rng = np.random.default_rng(1)
    pose = draw_board_pose(lens, CHESSBOARD, rng)
    seen = []
    for blur, motion in ((0.6, 0.0), (2.0, 0.0), (0.6, 12.0)):
        image = Renderer(lens, CHESSBOARD, blur_px=blur).image(pose, rng, motion)
        seen.append(blur_px(image, find_corners(image, CHESSBOARD)))
    assert seen[0] < 1.4 < seen[1]
    assert seen[2] > 2.0


@pytest.mark.parametrize(
    ("change", "mirrored", "reason"),
    [
        (
            {"columns": 7, "rows": 10},
            False,
            "rows and columns are swapped: the board has 10 columns",
        ),
        ({}, True, "mirrored"),
        ({"rows": 6, "legacy": True}, False, ""),
        ({"dictionary": "DICT_4X4_250"}, False, ""),
    ],
)
def test_a_wrong_board_is_named(change, mirrored, reason, lens):
    image = printed(CHARUCO, "A4")
    if mirrored:
        image = np.ascontiguousarray(image[:, ::-1])
    told = replace(CHARUCO, **change)
    assert find_corners(image, told) is None or "rows" in change
    said = why_missing(image, told)
    assert reason in said if reason else not said or "rows" in change


def test_another_layout_is_named():
    even = Board("charuco", 10, 6, 0.025, 0.025, True)
    image = printed(even, "A4")
    told = replace(even, legacy=True)
    assert find_corners(image, told) is None
    assert why_missing(image, told) == "the layout is another one: write legacy: false"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "circles"}, "unknown kind 'circles'"),
        ({"dictionary": "DICT_5X5_2500"}, "unknown dictionary 'DICT_5X5_2500'; did you mean"),
        ({"columns": 2}, r"columns must be in \[3, 100\]"),
        ({"columns": 30, "rows": 20}, "has 250 markers, 30x20 squares need 300"),
        ({"square_x_m": "25 mm"}, "square_x_m must be a finite number"),
        ({"colums": 3}, "unknown field 'colums'; did you mean 'columns'"),
    ],
)
def test_a_wrong_board_file_is_refused_by_field(change, reason, tmp_path):
    board = {"kind": "charuco", "columns": 10, "rows": 7, "square_x_m": 0.025, "square_y_m": 0.025}
    (tmp_path / "board.yaml").write_text(yaml.safe_dump(board | change))
    with pytest.raises(ConfigError, match=reason):
        read_board(tmp_path)


def test_the_measured_size_is_what_is_used(tmp_path, capsys):
    out = f"out={tmp_path / 'board'}"
    assert main(["calibrate", "board", out]) == 0
    assert "measure over all squares" in capsys.readouterr().out
    assert (tmp_path / "board/board.pdf").is_file()
    assert not read_board(tmp_path / "board").measured
    assert main(["calibrate", "board", out, "measured_mm=[248.0,174.3]"]) == 0
    board = read_board(tmp_path / "board")
    assert board.measured
    assert (board.square_x_m, board.square_y_m) == pytest.approx((0.0248, 0.0249))
    np.testing.assert_allclose(board.points_m[-1], [9 * 0.0248, 6 * 0.0249, 0.0])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["measured_mm=[25.1,24.9]"], "the width over 10 squares should be near 250 mm, got 25.1"),
        (["measured_mm=[250]"], "measured_mm must be the width and the height"),
        (["square_mm=40"], "do not fit on A4"),
        (["kind=chess"], "unknown kind 'chess'"),
        (["out=/proc/board"], "/proc/board"),
    ],
)
def test_a_wrong_word_is_refused_in_a_line(words, reason, tmp_path, capsys):
    assert main(["calibrate", "board", f"out={tmp_path / 'board'}", *words]) == 1
    said = capsys.readouterr().err
    assert reason in said and said.count("\n") == 1
