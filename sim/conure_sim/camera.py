"""A pinhole camera, from intrinsics and a pose, as PyBullet's two matrices."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
NEAR_M, FAR_M = 0.05, 3.0


@dataclass(frozen=True)
class Camera:
    """Square-pixel camera. `base_from_camera` is (4, 4), optical frame: x right, y down, z forward; lengths m."""

    width_px: int
    height_px: int
    focal_px: float
    base_from_camera: Array
    frame: str = "camera"

    def matrix(self) -> Array:
        """Intrinsic matrix (3, 3), px, the principal point in the middle."""
        return np.array(
            [[self.focal_px, 0, self.width_px / 2], [0, self.focal_px, self.height_px / 2], [0, 0, 1]], dtype=np.float64
        )

    def project(self, points: Array) -> Array:
        """Pixel coordinates (n, 2) of points (n, 3) in the base frame."""
        inverse = np.linalg.inv(self.base_from_camera)
        local = points @ inverse[:3, :3].T + inverse[:3, 3]
        image = local @ self.matrix().T
        return np.asarray(image[:, :2] / image[:, 2:])

    @cached_property
    def view_matrix(self) -> list[float]:
        """OpenGL view matrix, column-major, as PyBullet takes it."""
        flip = np.diag([1.0, -1.0, -1.0, 1.0])
        return list((flip @ np.linalg.inv(self.base_from_camera)).T.ravel())

    @cached_property
    def projection_matrix(self) -> list[float]:
        """OpenGL projection matrix, column-major."""
        depth = FAR_M - NEAR_M
        rows = np.array(
            [
                [2 * self.focal_px / self.width_px, 0, 0, 0],
                [0, 2 * self.focal_px / self.height_px, 0, 0],
                [0, 0, -(FAR_M + NEAR_M) / depth, -2 * FAR_M * NEAR_M / depth],
                [0, 0, -1, 0],
            ]
        )
        return list(rows.T.ravel())


def looking_at(eye: Array, target: Array, width_px: int, height_px: int, field_of_view_rad: float) -> Camera:
    """A camera at `eye` that looks at `target` (m, base frame), +z up in the image; the view angle is vertical."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = eye
    return Camera(width_px, height_px, height_px / 2 / np.tan(field_of_view_rad / 2), pose)
