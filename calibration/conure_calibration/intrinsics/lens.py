"""Lens models as ROS names them, and where a point is seen through one."""

from dataclasses import dataclass
from pathlib import Path

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
        return self.width_px, self.height_px

    def project(self, points_m: Array) -> Array:
        """Compute where points (n, 3) in the camera's optical frame are seen, (n, 2), px."""
        points = np.asarray(points_m, dtype=np.float64).reshape(-1, 1, 3)
        zero = np.zeros(3)
        if self.model == "equidistant":
            found = cv2.fisheye.projectPoints(points, zero, zero, self.matrix, self.distortion)[0]
        else:
            found = cv2.projectPoints(points, zero, zero, self.matrix, self.distortion)[0]
        return np.asarray(found, dtype=np.float64).reshape(-1, 2)

    def rays(self, pixels: Array) -> Array:
        """Compute the directions (n, 2), with z = 1, that pixels (n, 2) see."""
        points = np.asarray(pixels, dtype=np.float64).reshape(-1, 1, 2)
        if self.model == "equidistant":
            found = cv2.fisheye.undistortPoints(points, self.matrix, self.distortion)
        else:
            found = cv2.undistortPoints(points, self.matrix, self.distortion)
        return np.asarray(found, dtype=np.float64).reshape(-1, 2)


def write_lens(path: Path, lens: Lens, name: str) -> None:
    """Write intrinsics in ROS's camera_info format, as `camera_node` takes them.

    Args:
        path: The YAML file.
        lens: What is written, every digit.
        name: The camera's.
    """

    def matrix(values: Array, rows: int) -> dict[str, object]:
        flat = [float(value) for value in np.ravel(values)]
        return {"rows": rows, "cols": len(flat) // rows, "data": flat}

    data = {
        "image_width": lens.width_px,
        "image_height": lens.height_px,
        "camera_name": name,
        "camera_matrix": matrix(lens.matrix, 3),
        "distortion_model": lens.model,
        "distortion_coefficients": matrix(lens.distortion, 1),
        "rectification_matrix": matrix(np.eye(3), 3),
        "projection_matrix": matrix(np.hstack([lens.matrix, np.zeros((3, 1))]), 3),
    }
    write_text(path, yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=100))


def read_lens(path: Path) -> Lens:
    """Read intrinsics that `write_lens` or a calibrator of ROS wrote.

    Raises:
        ConfigError: A field is missing or wrong; names file and field.
    """
    if not path.is_file():
        raise ConfigError(f"{path} is missing: conure calibrate camera writes one, copy it here")
    data = read_mapping(path)
    try:
        model = str(data["distortion_model"])
        matrix = np.array(data["camera_matrix"]["data"], dtype=np.float64).reshape(3, 3)
        distortion = np.array(data["distortion_coefficients"]["data"], dtype=np.float64)
        size = int(data["image_width"]), int(data["image_height"])
    except KeyError as error:
        raise ConfigError(f"{path} lacks {error}; expected ROS's camera_info format") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path}: {error}; expected ROS's camera_info format") from error
    if model not in COEFFICIENTS:
        raise unknown_name(f"distortion_model of {path}", model, COEFFICIENTS)
    if distortion.shape != (COEFFICIENTS[model],) or not np.isfinite(matrix).all():
        raise ConfigError(
            f"{path}: distortion_coefficients of {model} must be {COEFFICIENTS[model]} numbers, got"
            f" {distortion.size}"
        )
    if min(matrix[0, 0], matrix[1, 1]) <= 0:
        raise ConfigError(f"{path}: camera_matrix needs focal lengths above 0 px")
    return Lens(model, *size, matrix, distortion)
