"""What a person sees in an image of the table: where objects lie, and how to grasp them."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from conure_core.errors import DataError
from conure_core.types import Array

LOOKED_AT_M = 0.015
"""Height above the table at which a patch of an image is taken to lie."""
DIFFERENT = 28
"""Difference of a colour from the empty table's that is seen, of 255."""
ARM_SHARE = 0.25
"""Share of the scenes from which a pixel that looks otherwise is the arm's."""
SMALLEST_M2, LARGEST_M2 = 1.5e-4, 6e-3


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that stands still."""

    matrix: Array
    """Intrinsics, (3, 3), px."""
    base_from_camera: Array
    """Pose of its optical frame, (4, 4), m."""

    def on_plane(self, pixels: NDArray[np.floating], height_m: float) -> Array:
        """Where the rays of pixels meet a horizontal plane.

        Args:
            pixels: Columns and rows, (n, 2), px.
            height_m: z of the plane in the base frame, m.

        Returns:
            x and y in the base frame, (n, 2), m.
        """
        rays = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(self.matrix).T
        rays = rays @ self.base_from_camera[:3, :3].T
        eye = self.base_from_camera[:3, 3]
        lengths = (height_m - eye[2]) / rays[:, 2]
        return np.asarray((eye + lengths[:, None] * rays)[:, :2])


@dataclass(frozen=True)
class Seen:
    """A patch that is no table: its centre, (2,) m, and the direction across its narrow side."""

    centre_m: Array
    yaw_rad: float
    area_m2: float
    outline_px: NDArray[np.int32]
    """Around it in the image: columns and rows, (n, 1, 2)."""


@dataclass(frozen=True)
class Table:
    """The table as it looks without objects."""

    empty: NDArray[np.uint8]
    """(h, w, 3)."""
    arm: NDArray[np.bool_]
    """Where the arm may be seen when an episode begins, (h, w)."""


def know_table(images: list[NDArray[np.uint8]]) -> Table:
    """Learn what the table looks like: everywhere as most scenes show it. What looks otherwise in
    several of them is the arm; objects lie elsewhere each time.

    Args:
        images: Of different scenes, each (h, w, 3).

    Raises:
        DataError: There are fewer than five.
    """
    if len(images) < 5:
        raise DataError(f"expected at least 5 images of different scenes, got {len(images)}")
    scenes = np.stack(images)
    empty = np.asarray(np.median(scenes, axis=0), dtype=np.uint8)
    otherwise = np.mean([_differ(image, empty) for image in images], axis=0)
    arm = np.asarray(otherwise > ARM_SHARE, dtype=np.uint8)
    grown = cv2.dilate(arm, np.ones((5, 5), dtype=np.uint8))
    return Table(empty, grown.astype(np.bool_))


def find_objects(
    image: NDArray[np.uint8],
    table: Table,
    camera: Camera,
    table_m: float,
) -> list[Seen]:
    """Find what lies on the table.

    Args:
        image: RGB, (h, w, 3), the arm where episodes begin.
        table: As the same camera shows it.
        camera: That took the image.
        table_m: Height of the table in the base frame, m.

    Returns:
        Patches of a size that can be an object's, in no order.
    """
    mask = np.asarray(_differ(image, table.empty) & ~table.arm, dtype=np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((2, 2), dtype=np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    found = []
    for contour in contours:
        outline = camera.on_plane(contour[:, 0].astype(np.float64), table_m + LOOKED_AT_M)
        seen = _measure(outline, contour)
        if SMALLEST_M2 < seen.area_m2 < LARGEST_M2:
            found.append(seen)
    return found


def is_gone(image: NDArray[np.uint8], table: Table, seen: Seen) -> bool:
    """Whether most of the place where something lay looks like the table again.

    Args:
        image: RGB, (h, w, 3).
        table: As the same camera shows it.
        seen: What lay there.
    """
    place = np.zeros(image.shape[:2], dtype=np.uint8)
    cv2.drawContours(place, [seen.outline_px], -1, 1, cv2.FILLED)
    return bool(_differ(image, table.empty)[place > 0].mean() < 0.5)


def _differ(image: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(image.astype(np.int16) - other).max(axis=2) > DIFFERENT)


def _measure(outline: Array, outline_px: NDArray[np.int32]) -> Seen:
    """The smallest rectangle around an outline, (n, 2), m."""
    # OpenCV's rectangle is exact for float32 near 1.
    (x, y), (width, length), degrees = cv2.minAreaRect((1000.0 * outline).astype(np.float32))
    across = degrees if width < length else degrees + 90.0
    centre = np.array([x, y]) / 1000.0
    return Seen(centre, math.radians(across), width * length * 1e-6, outline_px)
