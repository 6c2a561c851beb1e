"""Cameras, fixed or on a link of the arm: intrinsics, lens distortion and pose."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from conure_core.errors import ConfigError
from conure_core.types import Array

NEAR_M = 0.05
FAR_M = 3.0
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
    """Radial, of r^2."""
    k2: float = 0.0
    """Radial, of r^4."""
    p1: float = 0.0
    """Tangential, along y."""
    p2: float = 0.0
    """Tangential, along x."""
    k3: float = 0.0
    """Radial, of r^6."""

    def apply(self, points: Array) -> Array:
        """Distort normalized points (n, 2): where the lens puts them, (n, 2)."""
        x = points[:, 0]
        y = points[:, 1]
        r2 = x * x + y * y
        radial = 1 + r2 * (self.k1 + r2 * (self.k2 + r2 * self.k3))
        stretched_x = x * radial
        stretched_y = y * radial

        p1 = self.p1
        p2 = self.p2
        distorted_x = stretched_x + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        distorted_y = stretched_y + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        return np.stack([distorted_x, distorted_y], axis=1)

    def remove(self, points: Array) -> Array:
        """Undistort normalized points (n, 2), by fixed-point iteration.

        Raises: ConfigError where the lens folds over.
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
    """The projection of a camera. The centre of pixel (column i, row j) is at (i, j), as OpenCV and
    ROS's camera_info have it.
    """

    width_px: int
    """Columns of an image."""
    height_px: int
    """Rows of an image."""
    fx_px: float
    """Focal length along x."""
    fy_px: float
    """Focal length along y."""
    cx_px: float
    """Column of the principal point."""
    cy_px: float
    """Row of the principal point."""
    distortion: Distortion | None = None
    """Distortion of the lens; None: a pinhole."""

    def __post_init__(self) -> None:
        if min(self.width_px, self.height_px) < 1 or not min(self.fx_px, self.fy_px) > 0:
            raise ConfigError(f"a camera needs a size and focal lengths above zero, got {self}")

    def matrix(self) -> Array:
        """Intrinsic matrix (3, 3), px."""
        matrix = np.eye(3)
        matrix[0, 0] = self.fx_px
        matrix[1, 1] = self.fy_px
        matrix[:2, 2] = self.cx_px, self.cy_px
        return matrix

    def scaled(self, factor: float) -> "Intrinsics":
        """The same view in an image that is `factor` times as wide and high."""
        return replace(
            self,
            width_px=round(self.width_px * factor),
            height_px=round(self.height_px * factor),
            fx_px=self.fx_px * factor,
            fy_px=self.fy_px * factor,
            cx_px=(self.cx_px + 0.5) * factor - 0.5,
            cy_px=(self.cy_px + 0.5) * factor - 0.5,
        )

    def shifted(self, right_px: float, down_px: float) -> "Intrinsics":
        """The same view with its principal point moved."""
        return replace(self, cx_px=self.cx_px + right_px, cy_px=self.cy_px + down_px)

    def zoomed(self, factor: float) -> "Intrinsics":
        """The same image size with `factor` times the focal lengths."""
        return replace(self, fx_px=self.fx_px * factor, fy_px=self.fy_px * factor)

    @cached_property
    def pinhole(self) -> "Intrinsics":
        """The camera without distortion whose image holds everything that this one sees; itself if
        undistorted.

        Raises: ConfigError if its image is more than MAX_ENLARGEMENT times as large.
        """
        if self.distortion is None:
            return self
        left, top = self._undistorted.min(axis=0)
        right, bottom = self._undistorted.max(axis=0)
        width_px = int(np.ceil(right - left)) + 2
        height_px = int(np.ceil(bottom - top)) + 2
        too_wide = width_px > MAX_ENLARGEMENT * self.width_px
        too_high = height_px > MAX_ENLARGEMENT * self.height_px
        if too_wide or too_high:
            raise ConfigError(
                f"{self.distortion} stretches the image more than {MAX_ENLARGEMENT} times"
            )
        return replace(
            self,
            width_px=width_px,
            height_px=height_px,
            cx_px=self.cx_px - left + 0.5,
            cy_px=self.cy_px - top + 0.5,
            distortion=None,
        )

    @cached_property
    def maps(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Column and row in the pinhole image, (h, w) each, for every pixel of this one, as
        cv2.remap takes them.
        """
        shift_x = self.pinhole.cx_px - self.cx_px
        shift_y = self.pinhole.cy_px - self.cy_px
        sources = (self._undistorted + [shift_x, shift_y]).astype(np.float32)
        sources = sources.reshape(self.height_px, self.width_px, 2)
        return np.ascontiguousarray(sources[..., 0]), np.ascontiguousarray(sources[..., 1])

    @cached_property
    def _undistorted(self) -> Array:
        """Pixel coordinates, (h w, 2), at which this camera without distortion would see what each
        pixel sees.
        """
        columns, rows = np.meshgrid(np.arange(self.width_px), np.arange(self.height_px))
        pixels = np.stack([columns.ravel(), rows.ravel()], axis=1)
        focal = np.array([self.fx_px, self.fy_px])
        principal = np.array([self.cx_px, self.cy_px])
        lens = self.distortion or Distortion()
        normalized = lens.remove((pixels - principal) / focal)
        return np.asarray(normalized * focal + principal)

    @cached_property
    def projection_matrix(self) -> list[float]:
        """OpenGL projection matrix, column-major, of the pinhole.

        TinyRenderer samples the lower left corner of each pixel: that is where the matrix puts the
        pixel's centre.
        """
        cx_px = self.cx_px
        cy_px = self.cy_px + 1.0
        depth = FAR_M - NEAR_M

        rows = np.zeros((4, 4))
        rows[0, 0] = 2 * self.fx_px / self.width_px
        rows[0, 2] = 1 - 2 * cx_px / self.width_px
        rows[1, 1] = 2 * self.fy_px / self.height_px
        rows[1, 2] = 2 * cy_px / self.height_px - 1
        rows[2, 2] = -(FAR_M + NEAR_M) / depth
        rows[2, 3] = -2 * FAR_M * NEAR_M / depth
        rows[3, 2] = -1
        return list(rows.T.ravel())


@dataclass(frozen=True)
class Camera:
    """Intrinsics at a pose in the arm's base frame."""

    intrinsics: Intrinsics
    """Its projection."""
    base_from_camera: Array
    """Pose (4, 4), m, of the optical frame: x right, y down, z forward."""
    frame: str = "camera_optical_frame"
    """Name of the optical frame."""

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
        """Pixel coordinates (n, 2) of points (n, 3) in the base frame, lens distortion included.

        Whole numbers are centres of pixels.
        """
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

    def displace(
        self,
        shift_m: Array,
        turn_rad: Array,
        focal_scale: float,
    ) -> Self:
        """Move, turn and zoom the camera.

        Args:
            shift_m: In its own frame, (3,) m.
            turn_rad: Rotation vector in its own frame, (3,) rad.
            focal_scale: Factor of the focal lengths, above zero.

        Returns:
            Another camera.
        """
        pose = self.base_from_camera @ _transform(shift_m, turn_rad)
        return replace(self, intrinsics=self.intrinsics.zoomed(focal_scale), base_from_camera=pose)


@dataclass(frozen=True)
class MountedCamera:
    """A camera that moves with a link of the arm, such as the wrist's."""

    intrinsics: Intrinsics
    """Its projection."""
    link: str
    """Name of a link of the URDF."""
    link_from_camera: Array
    """Pose (4, 4), m, of the optical frame: x right, y down, z forward."""
    frame: str = "wrist_optical_frame"
    """Name of the optical frame."""

    def at(self, base_from_link: Array) -> Camera:
        """The camera in the base frame while the link has this pose, (4, 4)."""
        return Camera(self.intrinsics, base_from_link @ self.link_from_camera, self.frame)

    def displace(
        self,
        shift_m: Array,
        turn_rad: Array,
        focal_scale: float,
    ) -> Self:
        """Move, turn and zoom the camera on its link.

        Args:
            shift_m: In its own frame, (3,) m.
            turn_rad: Rotation vector in its own frame, (3,) rad.
            focal_scale: Factor of the focal lengths, above zero.

        Returns:
            Another camera.
        """
        pose = self.link_from_camera @ _transform(shift_m, turn_rad)
        return replace(self, intrinsics=self.intrinsics.zoomed(focal_scale), link_from_camera=pose)


AnyCamera = Camera | MountedCamera


def _transform(shift_m: Array, turn_rad: Array) -> Array:
    """The transform (4, 4) of a shift (3,) and a rotation vector (3,)."""
    transform = np.eye(4)
    transform[:3, :3] = pin.exp3(np.asarray(turn_rad, dtype=np.float64))
    transform[:3, 3] = shift_m
    return transform


def calibrated_intrinsics(
    width_px: int, height_px: int, matrix: Array, distortion: Array | None = None
) -> Intrinsics:
    """Intrinsics from a calibration of OpenCV or ROS.

    Args:
        width_px: Columns of an image.
        height_px: Rows of an image.
        matrix: K, (3, 3) px, without skew; pixel centres are whole numbers.
        distortion: (k1, k2, p1, p2[, k3]); None or all zero: no distortion.

    Returns:
        The intrinsics.

    Raises:
        ConfigError: The matrix has skew or another shape, or the number of coefficients differs.
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
    return Intrinsics(
        width_px=width_px,
        height_px=height_px,
        fx_px=float(matrix[0, 0]),
        fy_px=float(matrix[1, 1]),
        cx_px=float(matrix[0, 2]),
        cy_px=float(matrix[1, 2]),
        distortion=Distortion(*coefficients) if any(coefficients) else None,
    )


def centred_intrinsics(width_px: int, height_px: int, field_of_view_rad: float) -> Intrinsics:
    """Intrinsics with square pixels and the principal point in the image's centre.

    Args:
        width_px: Columns of an image.
        height_px: Rows of an image.
        field_of_view_rad: Vertical, in (0, pi).

    Returns:
        The intrinsics of a pinhole.
    """
    focal_px = height_px / 2 / float(np.tan(field_of_view_rad / 2))
    return Intrinsics(
        width_px=width_px,
        height_px=height_px,
        fx_px=focal_px,
        fy_px=focal_px,
        cx_px=(width_px - 1) / 2,
        cy_px=(height_px - 1) / 2,
    )


def looking_pose(
    eye: Array,
    target: Array,
    up: Array | None = None,
) -> Array:
    """The pose of an optical frame that looks at a point.

    Args:
        eye: Its origin, (3,) m.
        target: The point, (3,) m.
        up: Direction (3,) that is up in the image, not along the view; by default +z.

    Returns:
        Pose (4, 4), m, in the frame of the points: x right, y down, z forward.
    """
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0] if up is None else up)
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)

    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, down, forward], axis=1)
    pose[:3, 3] = eye
    return pose


def looking_at(
    eye: Array,
    target: Array,
    width_px: int,
    height_px: int,
    field_of_view_rad: float,
) -> Camera:
    """A camera that looks at a point, +z up in the image.

    Args:
        eye: Where it is, base frame, (3,) m.
        target: The point, base frame, (3,) m.
        width_px: Columns of an image.
        height_px: Rows of an image.
        field_of_view_rad: Vertical, in (0, pi).

    Returns:
        The camera.
    """
    intrinsics = centred_intrinsics(width_px, height_px, field_of_view_rad)
    return Camera(intrinsics, looking_pose(eye, target))
