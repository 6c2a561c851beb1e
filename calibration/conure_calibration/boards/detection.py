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
BELIEVED_SHARE = 0.3
"""Of a board's corners: with fewer, a mistake in the board's description is not believed."""
NO_DEAD_ZONE = (-1, -1)
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
        """Where each corner is, (2,), px, by its id."""
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
    flat_ids = ids.ravel().astype(np.int64)
    order = np.argsort(flat_ids)
    return _corners(flat_ids[order], _flat(pixels)[order], board)


def _flat(pixels: Any) -> Array:
    """OpenCV's points, of any shape, as (n, 2)."""
    return np.asarray(pixels, dtype=np.float64).reshape(-1, 2)


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
    rough = _upright(grey, _flat(pixels), board)
    corners = _corners(np.arange(board.corners), rough, board)
    return refined(grey, corners, WINDOW_PX)


def _upright(
    grey: Grey,
    pixels: Array,
    board: Board,
) -> Array:
    """Turn the order of a chessboard's corners by half a turn if its first square is not black."""
    if board.is_ambiguous:
        return pixels
    across, down = board.inner
    grid = pixels.reshape(down, across, 2)
    first = grid[:2, 0:2].mean(axis=(0, 1))
    second = grid[:2, 1:3].mean(axis=(0, 1))
    black = _brightness(grey, first)
    white = _brightness(grey, second)
    return pixels if black < white else pixels[::-1]


def _brightness(grey: Grey, centre: Array) -> float:
    x, y = np.rint(centre).astype(int)
    return float(_patch(grey, x, y, 1).mean())


def _patch(
    grey: Grey,
    x: int,
    y: int,
    reach: int,
) -> Grey:
    """The pixels around one, up to a distance; fewer at the image's border."""
    rows = slice(max(y - reach, 0), y + reach + 1)
    columns = slice(max(x - reach, 0), x + reach + 1)
    return grey[rows, columns]


def _corners(
    ids: NDArray[np.int64],
    pixels: Array,
    board: Board,
) -> Corners:
    side_px = _shortest_side(ids, pixels, board)
    return Corners(ids, pixels, side_px)


def _shortest_side(
    ids: NDArray[np.int64],
    pixels: Array,
    board: Board,
) -> float:
    across, _ = board.inner
    place = {identity: index for index, identity in enumerate(ids.tolist())}
    pairs = []
    for identity, index in place.items():
        ends_row = (identity + 1) % across == 0
        if not ends_row and identity + 1 in place:
            pairs.append((index, place[identity + 1]))
        if identity + across in place:
            pairs.append((index, place[identity + across]))
    if not pairs:
        return 0.0
    first, second = np.array(pairs).T
    sides = np.linalg.norm(pixels[first] - pixels[second], axis=1)
    return float(sides.min())


def refined(
    grey: Grey,
    corners: Corners,
    window_px: int,
) -> Corners:
    """Refine corners by the gradients around them.

    Args:
        grey: Brightness, shape (height, width).
        corners: Near the true ones, by a few pixels.
        window_px: Half width of the window; it is kept below half of the shortest side.

    Source: Foerstner & Gulch, ISPRS Intercommission Workshop, 1987; cv2.cornerSubPix.
    """
    widest = max(2.0, 0.45 * corners.side_px)
    window = int(np.clip(window_px, 2, widest))
    return _subpixel(grey, corners, window)


def _subpixel(
    grey: Grey,
    corners: Corners,
    window_px: int,
) -> Corners:
    start = corners.pixels.astype(np.float32).reshape(-1, 1, 2).copy()
    window = (window_px, window_px)
    found = cv2.cornerSubPix(grey, start, window, NO_DEAD_ZONE, TERMINATION)
    return replace(corners, pixels=_flat(found))


def by_other_detectors(
    grey: Grey,
    board: Board,
    corners: Corners,
) -> dict[str, Corners]:
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
    wide = max(2, int(min(11.0, 0.55 * corners.side_px)))
    found = {
        "window of 3 px": refined(grey, corners, 3),
        "window of 11 px": _subpixel(grey, corners, wide),
    }
    seen, pixels = cv2.findChessboardCornersSB(grey, board.inner)
    if seen:
        upright = _upright(grey, _flat(pixels), board)
        found["saddle points (SB)"] = replace(corners, pixels=upright)
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
    nearest = np.rint(corners.pixels).astype(int)
    found = []
    for x, y in nearest:
        patch = _patch(grey, x, y, reach)
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
    steepness = max(min(slopes), 1e-3)
    return float(contrast / (np.sqrt(2 * np.pi) * steepness))


def why_missing(grey: Grey, board: Board) -> str:
    """Say why a board is not found, where a known mistake explains it; else ''.

    Args:
        grey: Brightness, shape (height, width), in which `find_corners` finds nothing.
        board: What was looked for.
    """
    swapped = replace(board, columns=board.rows, rows=board.columns)
    if swapped != board and _shows(grey, swapped):
        return f"rows and columns are swapped: the board has {swapped.columns} columns"
    if board.kind != "charuco":
        return ""
    mirrored = np.ascontiguousarray(grey[:, ::-1])
    if _shows(mirrored, board):
        return "the image is mirrored: switch the mirror off in the camera's driver"
    other = replace(board, legacy=not board.legacy)
    if _shows(grey, other):
        return f"the layout is another one: write legacy: {str(other.legacy).lower()}"
    return ""


def _shows(grey: Grey, board: Board) -> bool:
    """Whether an image shows enough of a board to be believed."""
    found = find_corners(grey, board)
    return found is not None and found.share(board) > BELIEVED_SHARE
