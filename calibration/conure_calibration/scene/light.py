"""Light and colour of the empty scene: what changes from image to image."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from conure_core.errors import DataError
from conure_core.types import Array

FEWEST = 3
LEVELS = 255.0
MOVED_LEVELS = 25.0
"""Median change of a block, brightness apart, from which something moved in it."""
BLOCKS = 12
"""Along each side of an image."""
SATURATED = (8.0, 247.0)
"""Between these a pixel tells noise and exposure."""
MEDIAN_TO_DEVIATION = 1.4826
"""Of a normal distribution, from the median of absolute deviations."""


@dataclass(frozen=True)
class Light:
    """Statistics of some images of one scene."""

    colour: Array
    """Mean of each channel, rgb in [0, 1], shape (3,)."""
    colour_spread: Array
    """Its standard deviation from image to image, shape (3,)."""
    exposure: Array
    """Brightness of each image over their mean, shape (n,)."""
    exposure_spread: float
    """Its standard deviation."""
    noise_levels: float
    """Standard deviation of a pixel from image to image, grey levels of 255, exposure apart."""
    moved: tuple[int, ...]
    """Images in which something is elsewhere than in most."""


def measure_light(images: NDArray[np.uint8], region: NDArray[np.bool_]) -> Light:
    """Compare images of one empty scene.

    Args:
        images: Shape (n, h, w, 3), rgb, n >= 3.
        region: Pixels that show the table, (h, w); colours are those there.

    Raises:
        DataError: Too few images, or too dark or too bright to tell anything.
    """
    if len(images) < FEWEST:
        raise DataError(f"{len(images)} images of the empty scene, at least {FEWEST} are needed")
    pixels = images.astype(np.float64)
    grey = pixels.mean(axis=-1)
    usable = ((grey > SATURATED[0]) & (grey < SATURATED[1])).all(axis=0)
    if usable.mean() < 0.2:
        raise DataError(
            f"{100 * usable.mean():.0f} % of the pixels are neither black nor white in all images,"
            " at least 20 % are needed; change the exposure"
        )
    usual = np.median(grey, axis=0)
    exposure = np.array([np.median(image[usable] / usual[usable]) for image in grey])
    exposure = exposure / exposure.mean()
    even = grey / exposure[:, None, None]
    away = even - np.median(even, axis=0)
    moved = [index for index, image in enumerate(away) if _has_moved(image)]
    colours = pixels[:, region].mean(axis=1) / LEVELS
    return Light(
        colour=colours.mean(axis=0),
        colour_spread=colours.std(axis=0, ddof=1),
        exposure=exposure,
        exposure_spread=float(exposure.std(ddof=1)),
        noise_levels=_noise(pixels / exposure[:, None, None, None], usable),
        moved=tuple(moved),
    )


def _noise(even: Array, usable: NDArray[np.bool_]) -> float:
    """A pixel's deviation, median over the image, from pairs of successive images."""
    steps = np.diff(even, axis=0)[:, usable]
    return float(MEDIAN_TO_DEVIATION * np.median(np.abs(steps)) / np.sqrt(2.0))


def _has_moved(away: Array) -> bool:
    """Whether a whole block of an image differs from the usual one."""
    blocks = cv2.resize(np.abs(away), (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
    return bool(np.max(blocks) > MOVED_LEVELS)
