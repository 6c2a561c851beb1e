"""Frames of a board: which of them are good, and which of the good ones are taken."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from conure_calibration.boards.board import Board
from conure_calibration.boards.detection import (
    Corners,
    Grey,
    blur_px,
    find_corners,
    why_missing,
)
from conure_core.errors import ConfigError
from conure_core.types import Array

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
MOST_BLUR_PX = 2.5
REPEATED_PX = 2.0
"""A frame whose corners moved less than this on average shows nothing new."""
REPEATED_SHARE = 0.7
"""Of a frame's corners that another one must have to be compared."""
LEAST_SHARE = 0.4
"""Of a board's corners; fewer tell little, and often come from a wrong board."""
CELLS = (8, 6)
"""Columns and rows that the image is divided into, to say what of it was covered."""


@dataclass(frozen=True)
class View:
    """A frame with the board in it."""

    name: str
    grey: Grey
    corners: Corners
    points_m: Array
    """The corners on the board, shape (n, 3)."""
    blur_px: float


@dataclass(frozen=True)
class Frames:
    """All frames of a folder: those that can be used, and why the others cannot."""

    size_px: tuple[int, int]
    """Width and height."""
    good: tuple[View, ...]
    refused: dict[str, str]
    """Reason by name."""


def image_paths(folder: Path) -> list[Path]:
    """Find the images of a folder, by name.

    Raises: ConfigError if there is no such folder, or none in it.
    """
    if not folder.is_dir():
        raise ConfigError(f"from={folder} is not a folder; give the one with images and board.yaml")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not found:
        raise ConfigError(f"{folder} holds no images; expected files that end with {ENDINGS}")
    return found


def read_grey(path: Path) -> Grey:
    """Read the brightness of an image. Raises: ConfigError if it is none."""
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise ConfigError(f"{path} cannot be read as an image; remove it, or take it again")
    return np.asarray(pixels, dtype=np.uint8)


def image_size_px(grey: Grey) -> tuple[int, int]:
    """Width and height of an image."""
    height, width = grey.shape
    return width, height


def find_views(images: Iterator[tuple[str, Grey]], board: Board) -> Frames:
    """Look for a board in frames, and refuse frames that would do harm.

    Args:
        images: Name and brightness of each frame, in the order they were taken.
        board: What they show.

    Raises:
        ConfigError: Frames of two sizes.
    """
    good: list[View] = []
    refused: dict[str, str] = {}
    size = (0, 0)
    for name, grey in images:
        own = image_size_px(grey)
        if size not in ((0, 0), own):
            raise ConfigError(
                f"{name} has {own[0]}x{own[1]} px, the images before it {size[0]}x{size[1]} px; one"
                " calibration holds for one size, put the others into a folder of their own"
            )
        size = own
        view = _view(name, grey, board)
        if isinstance(view, str):
            refused[name] = view
            continue
        repeated = _repeats(view, good)
        if repeated:
            refused[name] = repeated
        else:
            good.append(view)
    return Frames(size, tuple(good), refused)


def _view(
    name: str,
    grey: Grey,
    board: Board,
) -> View | str:
    """The view, or why there is none."""
    corners = find_corners(grey, board)
    if corners is None:
        return f"no board ({why_missing(grey, board) or 'not in view, or not this board'})"
    if corners.share(board) < LEAST_SHARE:
        return f"only {len(corners.ids)} of the board's {board.corners} corners"
    blur = blur_px(grey, corners)
    if blur > MOST_BLUR_PX:
        return f"blurred (edges of {blur:.1f} px, at most {MOST_BLUR_PX:g})"
    return View(name, grey, corners, corners.points_m(board), blur)


def _repeats(view: View, before: Sequence[View]) -> str:
    """Name the frame that this one repeats, or ''."""
    own = view.corners.by_id
    for other in before:
        earlier = other.corners.by_id
        common = own.keys() & earlier.keys()
        if len(common) < REPEATED_SHARE * len(own):
            continue
        moved = [np.linalg.norm(own[one] - earlier[one]) for one in common]
        if np.mean(moved) < REPEATED_PX:
            return f"repeats {other.name}"
    return ""


def choose_views(
    views: Sequence[View],
    size_px: tuple[int, int],
    count: int,
) -> list[View]:
    """Choose frames that differ most in place, distance and tilt of the board.

    Args:
        views: To choose from.
        size_px: Width and height of the images.
        count: How many; all if there are fewer.

    Returns:
        The chosen ones in the order given. Source: farthest-point sampling, Gonzalez, Theoretical
        Computer Science 38, 1985.
    """
    if len(views) <= count:
        return list(views)
    features = np.array([_features(view, size_px) for view in views])
    from_mean = _distances(features, features.mean(axis=0))
    chosen = [int(np.argmax(from_mean))]
    nearest = _distances(features, features[chosen[0]])
    while len(chosen) < count:
        farthest = int(np.argmax(nearest))
        chosen.append(farthest)
        nearest = np.minimum(nearest, _distances(features, features[farthest]))
    return [views[index] for index in sorted(chosen)]


def _distances(features: Array, point: Array) -> Array:
    """Distances (n,) of features (n, k) from a point (k,)."""
    return np.asarray(np.linalg.norm(features - point, axis=1))


def _features(view: View, size_px: tuple[int, int]) -> Array:
    """Place (2), size and tilt (2) of the board in the image, of comparable spread."""
    pixels = view.corners.pixels
    flat_m = view.points_m[:, :2]
    homography, _ = cv2.findHomography(flat_m, pixels)
    tilt = np.zeros(2)
    if homography is not None:
        tilt = homography[2, :2] * np.ptp(flat_m, axis=0).max()
    width_px = float(size_px[0])
    centre = pixels.mean(axis=0) / width_px
    area = np.prod(np.ptp(pixels, axis=0))
    side = np.sqrt(area) / width_px
    size = np.log(max(side, 1e-3))
    return np.array([*(2.0 * centre), size, *(2.0 * tilt)])


def coverage(views: Sequence[View], size_px: tuple[int, int]) -> float:
    """Compute which share of the image's 8 x 6 cells holds a corner of some view.

    Args:
        views: That were chosen.
        size_px: Width and height of the images.
    """
    pixels = np.concatenate([view.corners.pixels for view in views])
    counts = np.array(CELLS)
    cells = np.floor(pixels / np.array(size_px) * counts).astype(int)
    inside = np.clip(cells, 0, counts - 1)
    covered = {tuple(cell) for cell in inside}
    return len(covered) / int(counts.prod())
