"""Corners of a board in an image, to a fraction of a pixel, and how sharp they are."""

from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from conure_calibration.boards.board import Board
from conure_core.types import Array

Grey = NDArray[np.uint8]
WINDOW_PX = 5
"""Half width of the window that a chessboard's corner is refined in, at most. On OpenCV's example
images 11 px doubles the residuals: the window then reaches the next corner.
"""
FEWEST_CORNERS = 6
TERMINATION = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 40, 1e-3)


@dataclass(frozen=True)
class Corners:
    """Inner corners of a board in one image."""

    ids: NDArray[np.int64]
    """Rows of `Board.points_m`, shape (n,)."""
    pixels: Array
    """Shape (n, 2), px; the centre of the first pixel is (0, 0)."""
    side_px: float
    """The shortest distance between neighbouring corners."""

    def points_m(self, board: Board) -> Array:
        """The corners on the board, shape (n, 3), m."""
        return board.points_m[self.ids]

    def share(self, board: Board) -> float:
        """Which share of the board's corners was seen."""
        return len(self.ids) / board.corners

    @cached_property
    def by_id(self) -> dict[int, Array]:
        return dict(zip(self.ids.tolist(), self.pixels, strict=True))


def find_corners(grey: Grey, board: Board) -> Corners | None:
    """Find the corners of a board.

    Args:
        grey: Brightness, shape (height, width).
        board: What to look for. A chessboard must be seen whole, a ChArUco board in part.

    Returns:
        At least 6 corners, refined; None where there are fewer.
    """
    if board.kind == "charuco":
        return _find_charuco(grey, board)
    return _find_chessboard(grey, board)


def _find_charuco(grey: Grey, board: Board) -> Corners | None:
    pixels, ids, *_ = _detector(board).detectBoard(grey)
    if ids is None or len(ids) < FEWEST_CORNERS:
        return None
    order = np.argsort(ids.ravel())
    flat = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
    return _corners(ids.ravel()[order].astype(np.int64), flat[order], board)


@cache
def _detector(board: Board) -> Any:
    return cv2.aruco.CharucoDetector(board.charuco)


def _find_chessboard(grey: Grey, board: Board) -> Corners | None:
    flags = cv2.CALIB_CB_ADAPTIVE_THRESH + cv2.CALIB_CB_NORMALIZE_IMAGE + cv2.CALIB_CB_FAST_CHECK
    found, pixels = cv2.findChessboardCorners(grey, board.inner, flags=flags)
    if not found:
        found, pixels = cv2.findChessboardCornersSB(grey, board.inner)
    if not found:
        return None
    rough = _upright(grey, np.asarray(pixels, dtype=np.float64).reshape(-1, 2), board)
    corners = _corners(np.arange(board.corners), rough, board)
    return refined(grey, corners, WINDOW_PX)


def _upright(grey: Grey, pixels: Array, board: Board) -> Array:
    """Turn the order of a chessboard's corners by half a turn if its first square is not black."""
    if board.is_ambiguous:
        return pixels
    grid = pixels.reshape(board.rows - 1, board.columns - 1, 2)
    centres = [grid[:2, start : start + 2].mean(axis=(0, 1)) for start in (0, 1)]
    black, white = (_brightness(grey, centre) for centre in centres)
    return pixels if black < white else pixels[::-1]


def _brightness(grey: Grey, centre: Array) -> float:
    x, y = np.rint(centre).astype(int)
    return float(grey[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean())


def _corners(ids: NDArray[np.int64], pixels: Array, board: Board) -> Corners:
    return Corners(ids, pixels, _shortest_side(ids, pixels, board))


def _shortest_side(ids: NDArray[np.int64], pixels: Array, board: Board) -> float:
    across = board.columns - 1
    place = {int(identity): index for index, identity in enumerate(ids)}
    pairs = [
        (index, place[identity + step])
        for identity, index in place.items()
        for step in (1, across)
        if identity + step in place and (step > 1 or (identity + 1) % across)
    ]
    if not pairs:
        return 0.0
    first, second = np.array(pairs).T
    return float(np.linalg.norm(pixels[first] - pixels[second], axis=1).min())


def refined(grey: Grey, corners: Corners, window_px: int) -> Corners:
    """Refine corners by the gradients around them.

    Args:
        grey: Brightness, shape (height, width).
        corners: Near the true ones, by a few pixels.
        window_px: Half width of the window; it is kept below half of the shortest side.

    Source: Foerstner & Gulch, ISPRS Intercommission Workshop, 1987; cv2.cornerSubPix.
    """
    window = int(np.clip(window_px, 2, max(2.0, 0.45 * corners.side_px)))
    return _subpixel(grey, corners, window)


def _subpixel(grey: Grey, corners: Corners, window_px: int) -> Corners:
    start = corners.pixels.astype(np.float32).reshape(-1, 1, 2).copy()
    found = cv2.cornerSubPix(grey, start, (window_px, window_px), (-1, -1), TERMINATION)
    pixels = np.asarray(found, dtype=np.float64).reshape(-1, 2)
    return Corners(corners.ids, pixels, corners.side_px)


def by_other_detectors(grey: Grey, board: Board, corners: Corners) -> dict[str, Corners]:
    """Find the same corners by other means: what differs is the detector's own error.

    Args:
        grey: Brightness, shape (height, width).
        board: What is looked for.
        corners: As `find_corners` gives them.

    Returns:
        Corners by the name of the detector; one that fails on this image is left out.
    """
    if board.kind == "charuco":
        smooth = np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.0), dtype=np.uint8)
        return {
            "smoothed": _subpixel(smooth, corners, 3),
            "window of 3 px": _subpixel(grey, corners, 3),
        }
    found = {
        "window of 3 px": refined(grey, corners, 3),
        "window of 11 px": _subpixel(grey, corners, max(2, int(min(11.0, 0.55 * corners.side_px)))),
    }
    seen, pixels = cv2.findChessboardCornersSB(grey, board.inner)
    if seen:
        flat = _upright(grey, np.asarray(pixels, dtype=np.float64).reshape(-1, 2), board)
        found["saddle points (SB)"] = Corners(corners.ids, flat, corners.side_px)
    return found


def blur_px(grey: Grey, corners: Corners) -> float:
    """Estimate how blurred the board's edges are: the deviation of a Gaussian that does the same.

    Args:
        grey: Brightness, shape (height, width).
        corners: Of the board in the image.

    Returns:
        Median over the corners, px; of the image's two directions the worse one, so that motion
        along one of them shows. An edge of contrast c behind a Gaussian of deviation s has a slope
        of c / (s sqrt(2 pi)).
    """
    reach = int(np.clip(0.35 * corners.side_px, 3, 15))
    found = []
    for x, y in np.rint(corners.pixels).astype(int):
        patch = grey[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
        if min(patch.shape) > reach:
            found.append(_edge_width(patch.astype(np.float64)))
    return float(np.median(found)) if found else 0.0


def _edge_width(patch: Array) -> float:
    low, high = np.percentile(patch, [5, 95])
    contrast = max(high - low, 1.0)
    slopes = []
    for axis in (0, 1):
        slope = np.abs(np.diff(patch, axis=axis))
        slopes.append(np.percentile(slope, 98))
    return float(contrast / (np.sqrt(2 * np.pi) * max(min(slopes), 1e-3)))


def why_missing(grey: Grey, board: Board) -> str:
    """Say why a board is not found, where a known mistake explains it; else ''.

    Args:
        grey: Brightness, shape (height, width), in which `find_corners` finds nothing.
        board: What was looked for.
    """
    swapped = replace(board, columns=board.rows, rows=board.columns)
    tries = [
        (grey, swapped, f"rows and columns are swapped: the board has {swapped.columns} columns"),
    ]
    if board.kind == "charuco":
        flipped = np.ascontiguousarray(grey[:, ::-1])
        legacy = replace(board, legacy=not board.legacy)
        tries += [
            (flipped, board, "the image is mirrored: switch the mirror off in the camera's driver"),
            (
                grey,
                legacy,
                f"the layout is another one: write legacy: {str(legacy.legacy).lower()}",
            ),
        ]
    for image, other, reason in tries:
        if other != board or image is not grey:
            found = find_corners(image, other)
            if found is not None and found.share(other) > 0.3:
                return reason
    return ""
