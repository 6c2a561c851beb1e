"""Lens models as ROS names them, and where a point is seen through one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from conure_core.config.yaml_fields import read_mapping
from conure_core.errors import ConfigError, unknown_name
from conure_core.runtime.atomic_files import write_text
from conure_core.types import Array

COEFFICIENTS = {"plumb_bob": 5, "equidistant": 4, "rational_polynomial": 8}
"""Number of distortion coefficients of each model, simplest model first."""


@dataclass(frozen=True)
class Lens:
    """Intrinsics of a camera, as sensor_msgs/CameraInfo."""

    model: str
    """"plumb_bob", "rational_polynomial" or "equidistant"."""
    width_px: int
    height_px: int
    matrix: Array
    """Shape (3, 3), px."""
    distortion: Array
    """Shape (5,), (8,) or (4,), as OpenCV and ROS number it."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        return self.width_px, self.height_px

    def project(self, points_m: Array) -> Array:
        """Compute where points (n, 3) in the camera's optical frame are seen, (n, 2), px."""
        points = np.asarray(points_m, dtype=np.float64).reshape(-1, 1, 3)
        zero = np.zeros(3)
        project: Any = cv2.projectPoints
        if self.model == "equidistant":
            project = cv2.fisheye.projectPoints
        found, _ = project(points, zero, zero, self.matrix, self.distortion)
        return np.asarray(found, dtype=np.float64).reshape(-1, 2)

    def rays(self, pixels: Array) -> Array:
        """Compute the directions (n, 2), with z = 1, that pixels (n, 2) see."""
        points = np.asarray(pixels, dtype=np.float64).reshape(-1, 1, 2)
        undistort: Any = cv2.undistortPoints
        if self.model == "equidistant":
            undistort = cv2.fisheye.undistortPoints
        found = undistort(points, self.matrix, self.distortion)
        return np.asarray(found, dtype=np.float64).reshape(-1, 2)


def write_lens(
    path: Path,
    lens: Lens,
    name: str,
) -> None:
    """Write intrinsics in ROS's camera_info format, as `camera_node` takes them.

    Args:
        path: The YAML file.
        lens: What is written, every digit.
        name: The camera's.
    """
    projection = np.hstack([lens.matrix, np.zeros((3, 1))])
    data = {
        "image_width": lens.width_px,
        "image_height": lens.height_px,
        "camera_name": name,
        "camera_matrix": _matrix(lens.matrix),
        "distortion_model": lens.model,
        "distortion_coefficients": _matrix(lens.distortion[None]),
        "rectification_matrix": _matrix(np.eye(3)),
        "projection_matrix": _matrix(projection),
    }
    write_text(path, yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=100))


def _matrix(values: Array) -> dict[str, object]:
    """A matrix as ROS writes it."""
    rows, columns = values.shape
    return {"rows": rows, "cols": columns, "data": values.ravel().tolist()}


def read_lens(path: Path) -> Lens:
    """Read intrinsics that `write_lens` or a calibrator of ROS wrote.

    Raises:
        ConfigError: A field is missing or wrong; names file and field.
    """
    if not path.is_file():
        raise ConfigError(f"{path} is missing: conure calibrate camera writes one, copy it here")
    data = read_mapping(path)
    try:
        lens = _parsed(data)
    except KeyError as error:
        raise ConfigError(f"{path} lacks {error}; expected ROS's camera_info format") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path}: {error}; expected ROS's camera_info format") from error
    if lens.model not in COEFFICIENTS:
        raise unknown_name(f"distortion_model of {path}", lens.model, COEFFICIENTS)
    count = COEFFICIENTS[lens.model]
    if lens.distortion.shape != (count,) or not np.isfinite(lens.matrix).all():
        raise ConfigError(
            f"{path}: distortion_coefficients of {lens.model} must be {count} numbers, got"
            f" {lens.distortion.size}"
        )
    if np.diag(lens.matrix)[:2].min() <= 0:
        raise ConfigError(f"{path}: camera_matrix needs focal lengths above 0 px")
    return lens


def _parsed(data: Mapping[str, Any]) -> Lens:
    """Raises: KeyError, TypeError or ValueError where the format is another one."""
    matrix = np.array(data["camera_matrix"]["data"], dtype=np.float64)
    distortion = np.array(data["distortion_coefficients"]["data"], dtype=np.float64)
    return Lens(
        model=str(data["distortion_model"]),
        width_px=int(data["image_width"]),
        height_px=int(data["image_height"]),
        matrix=matrix.reshape(3, 3),
        distortion=distortion,
    )
