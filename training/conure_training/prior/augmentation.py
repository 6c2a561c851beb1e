"""Random shifts of images, with the labels that hang on pixels."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from conure_sim.vision.camera import Camera


def shift_images(image: Tensor, offset_px: Tensor) -> Tensor:
    """Images (b, h, w, c) moved by whole pixels (b, 2), right and down; the edge is repeated where
    nothing came in.

    Source: Yarats, Kostrikov & Fergus, DrQ, ICLR 2021: pad by repetition, crop anywhere.
    """
    count, height, width = image.shape[:3]
    rows = (torch.arange(height, device=image.device) - offset_px[:, 1:]).clamp(0, height - 1)
    columns = (torch.arange(width, device=image.device) - offset_px[:, :1]).clamp(0, width - 1)
    return image[
        torch.arange(count, device=image.device)[:, None, None],
        rows[:, :, None],
        columns[:, None, :],
    ]


@dataclass(frozen=True)
class PlaneShift:
    """Where a point of the scene would lie, had its pixel moved: on the ray of the new pixel, at
    the same height.

    A point p is seen along d = R K^-1 (u, v, 1), and p' = eye + d' (p_height - eye_height) /
    d'_height. Of a camera without lens distortion.

    >>> moved = PlaneShift.of(camera)(positions, pixels, pixels + 2.0)  # (b, k, 3) m, (b, k, 2) px
    """

    base_from_pixel: Tensor
    eye: Tensor

    @staticmethod
    def of(camera: Camera) -> "PlaneShift":
        base_from_pixel = camera.base_from_camera[:3, :3] @ np.linalg.inv(camera.matrix())
        return PlaneShift(
            *(
                torch.tensor(x, dtype=torch.float32)
                for x in (base_from_pixel, camera.base_from_camera[:3, 3])
            )
        )

    def __call__(self, positions: Tensor, before_px: Tensor, after_px: Tensor) -> Tensor:
        """Positions (..., 3) m, base frame, for pixels (..., 2); NaN stays NaN. Exact where the two
        pixels are one.
        """
        height = positions[..., 2:] - self.eye[2].to(positions.device)
        return positions + (self._at(after_px, height) - self._at(before_px, height))

    def _at(self, pixels: Tensor, height: Tensor) -> Tensor:
        rays = torch.nn.functional.pad(pixels, (0, 1), value=1.0) @ self.base_from_pixel.T.to(
            pixels.device
        )
        return rays * (height / rays[..., 2:])
