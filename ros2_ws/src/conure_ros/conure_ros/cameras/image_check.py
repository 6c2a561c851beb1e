"""Whether an image can show what the camera sees now. Pure."""

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import DataError
from conure_core.types import Array

BLACK_LEVEL = 8
"""Of 255: an image without a brighter pixel is black."""


class ImageCheck:
    """Refuses frozen images, which do not change while the arm moves, and black ones.

    A frozen image stays refused until another one comes. The arm then holds, so its rest is no sign
    of recovery.

    >>> health = ImageCheck(frozen_motion_rad=0.05)
    >>> health.check(pixels, joint_rad)
    """

    def __init__(self, frozen_motion_rad: float) -> None:
        self._limit_rad = frozen_motion_rad
        self._pixels: NDArray[np.uint8] | None = None
        self._since_rad: Array | None = None
        self._frozen = False

    def check(self, pixels: NDArray[np.uint8], joint_rad: Array) -> None:
        """Refuse an image that cannot be current.

        Args:
            pixels: The image, shape (height, width, 3), uint8.
            joint_rad: Angles of the arm at its capture, shape (n,), rad.

        Raises:
            DataError: The image is black or frozen; the message says which.
        """
        if int(pixels.max()) <= BLACK_LEVEL:
            raise DataError(
                f"camera/image_raw is black (no pixel above {BLACK_LEVEL} of 255); is the lens"
                " covered?"
            )
        if (
            self._pixels is None
            or self._since_rad is None
            or not np.array_equal(pixels, self._pixels)
        ):
            self._pixels, self._since_rad, self._frozen = pixels.copy(), joint_rad.copy(), False
            return
        moved_rad = float(np.abs(joint_rad - self._since_rad).max())
        self._frozen = self._frozen or moved_rad > self._limit_rad
        if self._frozen:
            raise DataError(
                f"camera/image_raw is frozen: the arm moved by {moved_rad:.2f} rad and not a pixel"
                " changed; restart the camera"
            )
