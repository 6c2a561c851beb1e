"""Cameras, fixed or on a link of the arm, from intrinsics, lens distortion and a pose, as a
renderer takes them.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from conure_core.errors import ConfigError
from conure_core.types import Array

NEAR_M, FAR_M = 0.05, 3.0
MAX_ENLARGEMENT = 4
UNDISTORTED_WITHIN = 1e-6


@dataclass(frozen=True)
class Distortion:
    """Brown-Conrady lens distortion of normalized image coordinates, as OpenCV and ROS
    ("plumb_bob") number it.

    x' = x (1 + k1 r^2 + k2 r^4 + k3 r^6) + 2 p1 x y + p2 (r^2 + 2 x^2), and y' likewise with p1 and
    p2 exchanged. Source: Brown, Close-range camera calibration, Photogrammetric Engineering 37(8),
    1971.
    """

    k1: float = 0.0
    k2: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    k3: float = 0.0

    def apply(self, points: Array) -> Array:
        """Where the lens puts normalized points (n, 2)."""
        x, y = points[:, 0], points[:, 1]
        r2 = x * x + y * y
        radial = 1 + r2 * (self.k1 + r2 * (self.k2 + r2 * self.k3))
        return np.stack(
            [
                x * radial + 2 * self.p1 * x * y + self.p2 * (r2 + 2 * x * x),
                y * radial + self.p1 * (r2 + 2 * y * y) + 2 * self.p2 * x * y,
            ],
            axis=1,
        )

    def remove(self, points: Array) -> Array:
        """The normalized points (n, 2) that the lens puts here. Raises: ConfigError where the lens
        folds over.
        """
        found = points.copy()
        for _ in range(100):
            with np.errstate(all="ignore"):
                error = self.apply(found) - points
                found = found - error
            if np.abs(error).max() < UNDISTORTED_WITHIN:
                return found
        raise ConfigError(
            f"{self} cannot be undone over the whole image; check the coefficients and the image"
            " size"
        )


@dataclass(frozen=True)
class Intrinsics:
    """What a camera's pixels see. Pixel (column i, row j) covers [i, i + 1) x [j, j + 1): OpenCV's
    cx and cy plus 0.5.

    `aligned` draws pixels where `Camera.project` says. Without it, images are half a pixel off, to
    the right and up, because TinyRenderer samples the lower left corner of each pixel: as drawn for
    the policies trained so far.
    """

    width_px: int
    height_px: int
    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    distortion: Distortion | None = None
    aligned: bool = True

    def __post_init__(self) -> None:
        if min(self.width_px, self.height_px) < 1 or not min(self.fx_px, self.fy_px) > 0:
            raise ConfigError(f"a camera needs a size and focal lengths above zero, got {self}")

    def matrix(self) -> Array:
        """Intrinsic matrix (3, 3), px."""
        return np.array(
            [[self.fx_px, 0, self.cx_px], [0, self.fy_px, self.cy_px], [0, 0, 1]], dtype=np.float64
        )

    def scaled(self, factor: float) -> "Intrinsics":
        """The same view in an image that is `factor` times as wide and high."""
        return replace(
            self,
            width_px=round(self.width_px * factor),
            height_px=round(self.height_px * factor),
            fx_px=self.fx_px * factor,
            fy_px=self.fy_px * factor,
            cx_px=self.cx_px * factor,
            cy_px=self.cy_px * factor,
        )

    def zoomed(self, factor: float) -> "Intrinsics":
        """The same image size with `factor` times the focal lengths."""
        return replace(self, fx_px=self.fx_px * factor, fy_px=self.fy_px * factor)

    @cached_property
    def pinhole(self) -> "Intrinsics":
        """The camera without distortion whose image holds everything that this one sees; itself if
        undistorted.
        """
        if self.distortion is None:
            return self
        left, top = self._undistorted.min(axis=0)
        right, bottom = self._undistorted.max(axis=0)
        width_px, height_px = (int(np.ceil(span)) + 2 for span in (right - left, bottom - top))
        if (
            width_px > MAX_ENLARGEMENT * self.width_px
            or height_px > MAX_ENLARGEMENT * self.height_px
        ):
            raise ConfigError(
                f"{self.distortion} stretches the image more than {MAX_ENLARGEMENT} times"
            )
        middle = {"cx_px": self.cx_px - left + 1, "cy_px": self.cy_px - top + 1}
        return replace(self, width_px=width_px, height_px=height_px, distortion=None, **middle)

    @cached_property
    def maps(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Column and row, (h, w) each, in the pinhole image, as cv2.remap takes them, for every
        pixel of this one.
        """
        shift = [self.pinhole.cx_px - self.cx_px - 0.5, self.pinhole.cy_px - self.cy_px - 0.5]
        sources = (
            (self._undistorted + shift).astype(np.float32).reshape(self.height_px, self.width_px, 2)
        )
        return np.ascontiguousarray(sources[..., 0]), np.ascontiguousarray(sources[..., 1])

    @cached_property
    def _undistorted(self) -> Array:
        """Pixel coordinates, (h w, 2), at which this camera without distortion would see what each
        pixel sees.
        """
        columns, rows = np.meshgrid(np.arange(self.width_px) + 0.5, np.arange(self.height_px) + 0.5)
        focal, middle = np.array([self.fx_px, self.fy_px]), np.array([self.cx_px, self.cy_px])
        pixels = np.stack([columns.ravel(), rows.ravel()], axis=1)
        normalized = (pixels - middle) / focal
        return np.asarray((self.distortion or Distortion()).remove(normalized) * focal + middle)

    @cached_property
    def projection_matrix(self) -> list[float]:
        """OpenGL projection matrix, column-major, of the pinhole."""
        shift = 0.5 if self.aligned else 0.0
        cx_px, cy_px, depth = self.cx_px - shift, self.cy_px + shift, FAR_M - NEAR_M
        rows = np.array(
            [
                [2 * self.fx_px / self.width_px, 0, 1 - 2 * cx_px / self.width_px, 0],
                [0, 2 * self.fy_px / self.height_px, 2 * cy_px / self.height_px - 1, 0],
                [0, 0, -(FAR_M + NEAR_M) / depth, -2 * FAR_M * NEAR_M / depth],
                [0, 0, -1, 0],
            ]
        )
        return list(rows.T.ravel())


@dataclass(frozen=True)
class Camera:
    """Intrinsics at a pose. `base_from_camera` is (4, 4), optical frame: x right, y down, z
    forward; lengths m.
    """

    intrinsics: Intrinsics
    base_from_camera: Array
    frame: str = "camera"

    @property
    def width_px(self) -> int:
        """Columns of an image."""
        return self.intrinsics.width_px

    @property
    def height_px(self) -> int:
        """Rows of an image."""
        return self.intrinsics.height_px

    def matrix(self) -> Array:
        """Intrinsic matrix (3, 3), px."""
        return self.intrinsics.matrix()

    def scaled(self, factor: float) -> "Camera":
        """The same view in an image that is `factor` times as wide and high."""
        return replace(self, intrinsics=self.intrinsics.scaled(factor))

    def project(self, points: Array) -> Array:
        """Pixel coordinates (n, 2) of points (n, 3) in the base frame, lens distortion included."""
        inverse = np.linalg.inv(self.base_from_camera)
        local = points @ inverse[:3, :3].T + inverse[:3, 3]
        normalized = local[:, :2] / local[:, 2:]
        if self.intrinsics.distortion is not None:
            normalized = self.intrinsics.distortion.apply(normalized)
        matrix = self.matrix()
        return np.asarray(normalized * matrix[[0, 1], [0, 1]] + matrix[:2, 2])

    @cached_property
    def view_matrix(self) -> list[float]:
        """OpenGL view matrix, column-major, as PyBullet takes it."""
        flip = np.diag([1.0, -1.0, -1.0, 1.0])
        return list((flip @ np.linalg.inv(self.base_from_camera)).T.ravel())

    def displaced(self, shift_m: Array, turn_rad: Array, focal_scale: float) -> Self:
        """The camera shifted by (3,), turned by a rotation vector (3,), both in its own frame, and
        zoomed.
        """
        pose = self.base_from_camera @ _change(shift_m, turn_rad)
        return replace(self, intrinsics=self.intrinsics.zoomed(focal_scale), base_from_camera=pose)


@dataclass(frozen=True)
class MountedCamera:
    """A camera that rides on a link of the arm, such as the wrist: `link_from_camera` (4, 4), m, a
    link of the URDF.
    """

    intrinsics: Intrinsics
    link: str
    link_from_camera: Array
    frame: str = "wrist_camera"

    def at(self, base_from_link: Array) -> Camera:
        """The camera where it is when the link is here."""
        return Camera(self.intrinsics, base_from_link @ self.link_from_camera, self.frame)

    def displaced(self, shift_m: Array, turn_rad: Array, focal_scale: float) -> Self:
        """The camera shifted by (3,), turned by a rotation vector (3,), both in its own frame, and
        zoomed.
        """
        pose = self.link_from_camera @ _change(shift_m, turn_rad)
        return replace(self, intrinsics=self.intrinsics.zoomed(focal_scale), link_from_camera=pose)


AnyCamera = Camera | MountedCamera


def _change(shift_m: Array, turn_rad: Array) -> Array:
    """The pose (4, 4) of a frame shifted by (3,) and turned by a rotation vector (3,), in the frame
    it was.
    """
    change = np.eye(4)
    change[:3, :3], change[:3, 3] = pin.exp3(np.asarray(turn_rad, dtype=np.float64)), shift_m
    return change


def calibrated_intrinsics(
    width_px: int, height_px: int, matrix: Array, distortion: Array | None = None
) -> Intrinsics:
    """Intrinsics from what a calibration gives: OpenCV's or ROS's K (3, 3), px, and (k1, k2, p1,
    p2[, k3]).

    Raises: ConfigError for a matrix with skew or of another shape, or another number of
    coefficients.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.shape != (3, 3) or np.abs(matrix[[0, 1, 2, 2], [1, 0, 0, 1]]).max() > 1e-9:
        raise ConfigError(
            f"expected an intrinsic matrix (3, 3) without skew, got {matrix.tolist()}"
        )
    coefficients = [] if distortion is None else [float(value) for value in distortion]
    if len(coefficients) not in (0, 4, 5):
        raise ConfigError(
            f"expected distortion coefficients (k1, k2, p1, p2[, k3]), got {coefficients}"
        )
    lens = Distortion(*coefficients) if any(coefficients) else None
    fx_px, fy_px, cx_px, cy_px = (float(matrix[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
    return Intrinsics(width_px, height_px, fx_px, fy_px, cx_px + 0.5, cy_px + 0.5, lens)


def centred_intrinsics(
    width_px: int, height_px: int, field_of_view_rad: float, aligned: bool = True
) -> Intrinsics:
    """Square pixels, the principal point in the middle; the view angle is vertical."""
    focal_px = height_px / 2 / float(np.tan(field_of_view_rad / 2))
    return Intrinsics(
        width_px, height_px, focal_px, focal_px, width_px / 2, height_px / 2, None, aligned
    )


def looking_pose(eye: Array, target: Array, up: Array | None = None) -> Array:
    """Pose (4, 4) of an optical frame at `eye` that looks at `target` (m), `up` (default +z) up in
    the image.
    """
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0] if up is None else up)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = eye
    return pose


def looking_at(
    eye: Array,
    target: Array,
    width_px: int,
    height_px: int,
    field_of_view_rad: float,
    aligned: bool = True,
) -> Camera:
    """A camera at `eye` that looks at `target` (m, base frame), +z up in the image; the view angle
    is vertical.
    """
    return Camera(
        centred_intrinsics(width_px, height_px, field_of_view_rad, aligned),
        looking_pose(eye, target),
    )
