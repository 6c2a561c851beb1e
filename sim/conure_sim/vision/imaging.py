"""From a rendered image to what a camera would have sent: exposure, blur, noise, JPEG."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ImageChain:
    """A camera's shortcomings in one episode.

    `exposure` multiplies intensities, `blur_px` is a Gaussian's sigma, `noise` another's in grey
    levels of 255; `jpeg_quality` of 100 leaves the image uncompressed.
    """

    exposure: float = 1.0
    blur_px: float = 0.0
    noise: float = 0.0
    jpeg_quality: float = 100.0

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """The image (h, w, 3) uint8 as the camera sends it; draws from `rng` only for noise."""
        if self.blur_px > 0.05:
            # As cv2.GaussianBlur, which wakes threads for it that then spin longer than the blur
            # takes.
            kernel = _gaussian(self.blur_px)
            image = np.asarray(cv2.sepFilter2D(image, -1, kernel, kernel), dtype=np.uint8)
        if self.noise > 0.0:
            exposed: NDArray[np.float32] = rng.standard_normal(
                image.shape, dtype=np.float32
            ) * np.float32(self.noise)
            exposed += image * np.float32(self.exposure) if self.exposure != 1.0 else image
            image = np.clip(exposed, 0, 255, out=exposed).astype(np.uint8)
        elif self.exposure != 1.0:
            image = cv2.convertScaleAbs(image, alpha=self.exposure)
        if self.jpeg_quality < 100:
            quality = [cv2.IMWRITE_JPEG_QUALITY, round(self.jpeg_quality)]
            image = np.asarray(
                cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR),
                dtype=np.uint8,
            )
        return image


@lru_cache(maxsize=16)
def _gaussian(sigma_px: float) -> NDArray[np.float64]:
    """The kernel of an episode's blur."""
    return np.asarray(cv2.getGaussianKernel(round(6.0 * sigma_px + 1.0) | 1, sigma_px))
