"""Intrinsics against the truth: rendered images, detected for real."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from conure_calibration.benchmarks.rendering import Renderer, draw_board_pose, draw_lens
from conure_calibration.boards.board import Board
from conure_calibration.boards.detection import Grey
from conure_calibration.intrinsics.calibrate import CENTRE, FOCAL, calibrate_lens, parameters
from conure_calibration.intrinsics.frames import choose_views, find_views
from conure_calibration.results.result import NORMAL_90

FRAMES = 25
SHOWN = 36
MOVING = 9
"""Every so manieth frame is blurred by motion."""
BOARDS = (
    Board("charuco", 10, 7, 0.025, 0.025, True),
    Board("chessboard", 10, 7, 0.025, 0.025, True),
)


@dataclass(frozen=True)
class CameraErrors:
    """Errors of one case."""

    focal_percent: float
    centre_px: float
    held_out_px: float
    covered: tuple[bool, ...]
    """Whether each 90 % interval of focal lengths and centre holds the truth."""


def camera_errors(seed: int, shown: int = SHOWN) -> CameraErrors:
    """Calibrate one random camera; even seeds have a ChArUco board, odd ones a chessboard.

    Args:
        seed: Of the case.
        shown: Number of images, from which frames are chosen.
    """
    rng = np.random.default_rng(seed)
    lens = draw_lens(rng)
    board = BOARDS[seed % 2]
    frames = find_views(_images(rng, Renderer(lens, board), shown), board)
    views = choose_views(frames.good, frames.size_px, FRAMES)
    found = calibrate_lens(views, frames.size_px, board)
    true = parameters(lens)
    values = parameters(found.lens)
    errors = values - true
    relative = values[FOCAL] / true[FOCAL] - 1
    half = NORMAL_90 * np.array(list(found.deviations.values()))
    covered = np.abs(errors) <= half
    return CameraErrors(
        focal_percent=100 * float(np.abs(relative).max()),
        centre_px=float(np.linalg.norm(errors[CENTRE])),
        held_out_px=found.held_out_px[found.lens.model],
        covered=tuple(covered.tolist()),
    )


def _images(
    rng: np.random.Generator,
    renderer: Renderer,
    shown: int,
) -> Iterator[tuple[str, Grey]]:
    for index in range(shown):
        camera_from_board = draw_board_pose(renderer.lens, renderer.board, rng)
        motion_px = 12.0 if index % MOVING == MOVING - 1 else 0.0
        yield f"frame {index}", renderer.image(camera_from_board, rng, motion_px)
