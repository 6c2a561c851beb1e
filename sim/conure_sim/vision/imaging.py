"""Degrade rendered images as a camera does: exposure, blur, noise, JPEG."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from conure_core.types import Array, Image


@dataclass(frozen=True)
class ImageChain:
    """The imperfections of a camera in one episode."""

    exposure: float = 1.0
    """Factor of the intensities."""
    blur_px: float = 0.0
    """Standard deviation of a Gaussian blur."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise, in grey levels of 255."""
    jpeg_quality: float = 100.0
    """Quality as libjpeg counts it; 100 leaves the image uncompressed."""

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Degrade an image as the camera would.

        Args:
            image: As rendered, (h, w, 3) uint8.
            rng: Where noise is drawn from; nothing is drawn without noise.

        Returns:
            The image as the camera sends it, (h, w, 3) uint8.
        """
        if self.blur_px > 0.05:
            # As cv2.GaussianBlur, which wakes threads for it that then spin longer than the blur
            # takes.
            kernel = _gaussian(self.blur_px)
            image = np.asarray(cv2.sepFilter2D(image, -1, kernel, kernel), dtype=np.uint8)
        if self.noise > 0.0:
            image = self._expose_with_noise(image, rng)
        elif self.exposure != 1.0:
            image = cv2.convertScaleAbs(image, alpha=self.exposure)
        if self.jpeg_quality < 100:
            image = self._compress(image)
        return image

    def _expose_with_noise(self, image: Image, rng: np.random.Generator) -> Image:
        exposed: NDArray[np.float32] = rng.standard_normal(image.shape, dtype=np.float32)
        exposed = exposed * np.float32(self.noise)
        exposed += image * np.float32(self.exposure) if self.exposure != 1.0 else image
        return np.clip(exposed, 0, 255, out=exposed).astype(np.uint8)

    def _compress(self, image: Image) -> Image:
        quality = [cv2.IMWRITE_JPEG_QUALITY, round(self.jpeg_quality)]
        _, data = cv2.imencode(".jpg", image, quality)
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


@lru_cache(maxsize=16)
def _gaussian(sigma_px: float) -> Array:
    """The kernel of a blur, (n, 1)."""
    return np.asarray(cv2.getGaussianKernel(round(6.0 * sigma_px + 1.0) | 1, sigma_px))
