"""A lens fitted to views of a board, and a board placed by a lens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from conure_calibration.intrinsics.frames import View
from conure_calibration.intrinsics.lens import COEFFICIENTS, Lens
from conure_calibration.poses import assembled, pose, rotation, transformed
from conure_core.errors import DataError
from conure_core.types import Array

STEP = 1e-6
"""Of numeric derivatives, in metres and radians."""
LEAST_FOCAL = 0.05
"""Of a focal length, as a share of the image's longer side."""
CONVERGED = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-9)


@dataclass(frozen=True)
class Placed:
    """A board placed in front of a camera."""

    camera_from_board: Array
    """Shape (4, 4), metres."""
    residuals_px: Array
    """Seen minus predicted, shape (n, 2)."""

    @property
    def rms_px(self) -> float:
        """Root mean square of the distances."""
        return float(np.sqrt((self.residuals_px**2).sum(axis=1).mean()))


def fit_lens(
    views: Sequence[View],
    size_px: tuple[int, int],
    model: str,
    start: Lens | None = None,
) -> Lens:
    """Fit a lens.

    Args:
        views: Of the board, 3 or more.
        size_px: Width and height of the images.
        model: One of `COEFFICIENTS`.
        start: Where the fit begins; None: what the views' homographies say.

    Raises:
        DataError: The fit does not converge, or ends at a lens that cannot be.

    Source: Zhang, IEEE T-PAMI 22(11), 2000; Kannala & Brandt, IEEE T-PAMI 28(8), 2006;
    cv2.calibrateCamera, cv2.fisheye.calibrate.
    """
    if model == "equidistant":
        start = start or fit_lens(views, size_px, "plumb_bob")
        lens = _fit_equidistant(views, size_px, start)
    else:
        lens = _fit_pinhole(views, size_px, model, start)
    focal = np.diag(lens.matrix)[:2]
    possible = (focal > LEAST_FOCAL * max(size_px)).all()
    if not (np.isfinite(lens.distortion).all() and possible):
        raise DataError(f"{model}: the fit ended at focal lengths {focal} px")
    return lens


def _arrays(views: Sequence[View]) -> tuple[list[Any], list[Any]]:
    points = [view.points_m.astype(np.float32) for view in views]
    pixels = [view.corners.pixels.astype(np.float32) for view in views]
    return points, pixels


def _fit_pinhole(
    views: Sequence[View],
    size_px: tuple[int, int],
    model: str,
    start: Lens | None,
) -> Lens:
    points, pixels = _arrays(views)
    count = COEFFICIENTS[model]
    flags = cv2.CALIB_RATIONAL_MODEL if model == "rational_polynomial" else 0
    matrix = distortion = None
    if start is not None and start.model != "equidistant":
        flags |= cv2.CALIB_USE_INTRINSIC_GUESS
        matrix = start.matrix.copy()
        distortion = np.zeros(count)
        distortion[: len(start.distortion)] = start.distortion
    try:
        _, found_matrix, found_distortion, *_ = cv2.calibrateCamera(
            points,
            pixels,
            size_px,
            matrix,
            distortion,
            flags=flags,
            criteria=CONVERGED,
        )
    except cv2.error as error:
        raise DataError(f"{model}: the fit failed: {_reason(error)}") from error
    coefficients = np.asarray(found_distortion, dtype=np.float64).ravel()
    return Lens(
        model,
        *size_px,
        matrix=np.asarray(found_matrix, dtype=np.float64),
        distortion=coefficients[:count],
    )


def _fit_equidistant(
    views: Sequence[View],
    size_px: tuple[int, int],
    start: Lens,
) -> Lens:
    points, pixels = _arrays(views)
    # OpenCV 5 has these names, with other values, in cv2 itself.
    names = cv2.fisheye if hasattr(cv2.fisheye, "CALIB_FIX_SKEW") else cv2
    flags = names.CALIB_RECOMPUTE_EXTRINSIC | names.CALIB_FIX_SKEW | names.CALIB_USE_INTRINSIC_GUESS
    try:
        # Shapes (1, n, c) are what every version of OpenCV takes.
        _, matrix, distortion, *_ = cv2.fisheye.calibrate(
            [one[None].astype(np.float64) for one in points],
            [one[None].astype(np.float64) for one in pixels],
            size_px,
            start.matrix.copy(),
            np.zeros((4, 1)),
            flags=flags,
            criteria=CONVERGED,
        )
    except cv2.error as error:
        raise DataError(f"equidistant: the fit failed: {_reason(error)}") from error
    return Lens("equidistant", *size_px, np.asarray(matrix), np.asarray(distortion).ravel())


def _reason(error: cv2.error) -> str:
    return " ".join(str(error).split())[-160:]


def place_board(
    lens: Lens,
    points_m: Array,
    pixels: Array,
) -> Placed:
    """Find where a board stands.

    Args:
        lens: Of the camera.
        points_m: Corners on the board, shape (n, 3), n >= 6.
        pixels: Where they are seen, shape (n, 2).

    Raises:
        DataError: There is no such place in front of the camera.
    """
    rays = lens.rays(pixels)
    try:
        found, turn, shift = cv2.solvePnP(points_m, rays, np.eye(3), None)
        if found and lens.model != "equidistant":
            turn, shift = cv2.solvePnPRefineLM(
                points_m,
                pixels,
                lens.matrix,
                lens.distortion,
                turn,
                shift,
            )
    except cv2.error as error:
        raise DataError(f"the board cannot be placed: {_reason(error)}") from error
    if not found or not np.isfinite(shift).all() or shift[2] <= 0:
        raise DataError("the board cannot be placed in front of the camera")
    turned = rotation(np.ravel(turn))
    camera_from_board = assembled(turned, np.ravel(shift))
    predicted = projected(lens, camera_from_board, points_m)
    return Placed(camera_from_board, pixels - predicted)


def projected(
    lens: Lens,
    camera_from_board: Array,
    points_m: Array,
) -> Array:
    """Compute where a board's points are seen.

    Args:
        lens: Of the camera.
        camera_from_board: Pose of the board, shape (4, 4), metres.
        points_m: On the board, shape (n, 3).

    Returns:
        Shape (n, 2), px.
    """
    return lens.project(transformed(camera_from_board, points_m))


def pose_covariance(
    lens: Lens,
    camera_from_board: Array,
    points_m: Array,
    noise_px: float,
) -> Array:
    """Compute how well corners tell a board's pose.

    Args:
        lens: Of the camera.
        camera_from_board: Pose of the board, shape (4, 4), metres.
        points_m: The corners that are seen, on the board, shape (n, 3).
        noise_px: Standard deviation of a corner along x and along y.

    Returns:
        Covariance of the pose's twist in the board's frame, shape (6, 6), m and rad.
    """
    columns = []
    for axis in range(6):
        step = np.zeros(6)
        step[axis] = STEP
        forward = projected(lens, camera_from_board @ pose(step), points_m)
        backward = projected(lens, camera_from_board @ pose(-step), points_m)
        derivative = (forward - backward) / (2 * STEP)
        columns.append(derivative.ravel())
    jacobian = np.stack(columns, axis=1)
    information = jacobian.T @ jacobian
    return np.asarray(noise_px**2 * np.linalg.inv(information))
