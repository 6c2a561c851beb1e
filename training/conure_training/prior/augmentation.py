"""Random shifts of images, together with their labels in pixels."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from conure_sim.vision.camera import Camera


def shift_images(image: Tensor, offset_px: Tensor) -> Tensor:
    """Move images by whole pixels; the border is repeated where nothing came in.

    Args:
        image: Shape (b, h, w, c).
        offset_px: To the right and down, integers, shape (b, 2).

    Returns:
        Shape (b, h, w, c).

    Source: Yarats, Kostrikov & Fergus, DrQ, ICLR 2021: pad by repetition, crop anywhere.
    """
    count, height, width = image.shape[:3]
    device = image.device
    rows = torch.arange(height, device=device) - offset_px[:, 1:]
    columns = torch.arange(width, device=device) - offset_px[:, :1]
    rows = rows.clamp(0, height - 1)
    columns = columns.clamp(0, width - 1)
    index = torch.arange(count, device=device)
    return image[index[:, None, None], rows[:, :, None], columns[:, None, :]]


@dataclass(frozen=True)
class PlaneShift:
    """Moves points of the scene as their pixels move: to the ray of the new pixel, at the same
    height.

    A point p is seen along d = R K^-1 (u, v, 1), and p' = eye + d' (p_height - eye_height) /
    d'_height, for a camera without lens distortion.

    >>> moved = PlaneShift.of(camera)(positions, pixels, pixels + 2.0)  # (b, k, 3) m, (b, k, 2) px
    """

    base_from_pixel: Tensor
    """R K^-1, shape (3, 3)."""

    eye: Tensor
    """The camera's centre, shape (3,), m, base frame."""

    @staticmethod
    def of(camera: Camera) -> "PlaneShift":
        base_from_camera = camera.base_from_camera
        base_from_pixel = base_from_camera[:3, :3] @ np.linalg.inv(camera.matrix())
        return PlaneShift(
            torch.tensor(base_from_pixel, dtype=torch.float32),
            torch.tensor(base_from_camera[:3, 3], dtype=torch.float32),
        )

    def __call__(self, positions: Tensor, before_px: Tensor, after_px: Tensor) -> Tensor:
        """Move points. Exact where both pixels are equal; NaN stays NaN.

        Args:
            positions: Shape (..., 3), m, base frame.
            before_px: Pixels where the points are seen, shape (..., 2).
            after_px: Pixels where they should be seen, shape (..., 2).

        Returns:
            Shape (..., 3), m, base frame.
        """
        height = positions[..., 2:] - self.eye[2].to(positions.device)
        return positions + (self._at(after_px, height) - self._at(before_px, height))

    def _at(self, pixels: Tensor, height: Tensor) -> Tensor:
        """The points of the pixels' rays at this height, relative to the eye."""
        homogeneous = torch.nn.functional.pad(pixels, (0, 1), value=1.0)
        rays = homogeneous @ self.base_from_pixel.T.to(pixels.device)
        return rays * (height / rays[..., 2:])
