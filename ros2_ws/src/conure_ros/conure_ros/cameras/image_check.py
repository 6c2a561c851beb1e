"""Whether an image can be what the camera sees now. Pure."""

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import DataError
from conure_core.types import Array

BLACK_LEVEL = 8
"""Of 255: a picture without a brighter pixel shows nothing."""


class SightHealth:
    """A frozen image does not change although the arm moves; a black one shows nothing.

    Frozen, it stays refused until another image comes: that the arm holds, because of it, is no
    sign of recovery.

    >>> health = SightHealth(frozen_motion_rad=0.05)
    >>> health.check(pixels, joint_rad)
    """

    def __init__(self, frozen_motion_rad: float) -> None:
        self._limit_rad = frozen_motion_rad
        self._pixels: NDArray[np.uint8] | None = None
        self._since_rad: Array | None = None
        self._frozen = False

    def check(self, pixels: NDArray[np.uint8], joint_rad: Array) -> None:
        """Raises: DataError saying what is wrong with the image (height, width, 3), seen with the
        arm at (n,) rad.
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
