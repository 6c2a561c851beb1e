"""A camera that is mounted on its head or its side: image and calibration turned upright."""

from dataclasses import replace

import cv2
import numpy as np

from conure_core.errors import ConfigError
from conure_core.types import Array, Image
from conure_ros.cameras.calibration import Calibration

TURNS = {
    0: None,
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
TANGENTIAL = [3, 2]
"""Places of p2 and p1 among the coefficients of OpenCV, which form a vector (p2, p1)."""
THIN_PRISM = ([8, 10], [9, 11])
"""Those of the vectors (s1, s3) and (s2, s4)."""
TILTED = 14
"""Number of coefficients of a model with a tilted sensor, whose angles do not turn so."""


def require_turn(rotate_deg: int) -> None:
    """Refuse an angle that is not a quarter turn.

    Raises:
        ConfigError: It is none of 0, 90, 180, 270.
    """
    if rotate_deg not in TURNS:
        raise ConfigError(f"rotate_deg must be 0, 90, 180 or 270, got {rotate_deg}")


def rotate_image(pixels: Image, rotate_deg: int) -> Image:
    """Turn an image clockwise.

    Args:
        pixels: Shape (height, width, 3), uint8.
        rotate_deg: 0, 90, 180 or 270.

    Returns:
        The image; of shape (width, height, 3) after 90 and 270.
    """
    turn = TURNS[rotate_deg]
    return pixels if turn is None else np.asarray(cv2.rotate(pixels, turn), np.uint8)


def rotate_calibration(calibration: Calibration, rotate_deg: int) -> Calibration:
    """Compute the calibration of images that were turned clockwise.

    The optical frame turns with the image: x stays right, y down.

    Args:
        calibration: Of the images before.
        rotate_deg: 0, 90, 180 or 270.

    Returns:
        The calibration of what `rotate_image` returns.

    Raises:
        ConfigError: The distortion model has a tilted sensor, which only undistorted images can
            leave behind.
    """
    for _ in range(rotate_deg // 90):
        calibration = _quarter_turn(calibration)
    return calibration


def _quarter_turn(calibration: Calibration) -> Calibration:
    """u' = height - 1 - v, v' = u; x' = -y, y' = x."""
    pixels = np.array([[0.0, -1.0, calibration.height_px - 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    back = np.eye(4)
    back[:3, :3] = turn.T
    swapped = replace(calibration, width_px=calibration.height_px, height_px=calibration.width_px)
    if not calibration.matrix.any():
        return swapped
    return replace(
        swapped,
        matrix=pixels @ calibration.matrix @ turn.T,
        projection=pixels @ calibration.projection @ back,
        rectification=turn @ calibration.rectification @ turn.T,
        distortion=_turned_distortion(calibration, turn[:2, :2]),
    )


def _turned_distortion(calibration: Calibration, turn: Array) -> Array:
    """What is radial stays; tangential and thin-prism terms are vectors in the image."""
    turned = calibration.distortion.copy()
    if calibration.model == "equidistant" or not turned.size:
        return turned
    if turned.size == TILTED and turned[12:].any():
        raise ConfigError(
            "rotate_deg: a calibration with a tilted sensor (14 coefficients) cannot be turned;"
            " set undistort, or calibrate with fewer coefficients"
        )
    for places in (TANGENTIAL, *(THIN_PRISM if turned.size >= 12 else ())):
        turned[places] = turn @ turned[places]
    return turned
