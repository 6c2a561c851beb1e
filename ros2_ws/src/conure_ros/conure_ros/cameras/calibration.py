"""A camera's calibration, from the YAML that ROS's calibrators write (camera_info format), and its
pose.
"""

import math
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from conure_core.config.yaml_fields import read_fields
from conure_core.errors import ConfigError, unknown_name
from conure_core.types import Array, Image
from conure_ros.cameras.framing import Placement

# Numbers of coefficients of the distortion models, in ROS and OpenCV.
MODELS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
ALIASES = {"fisheye": "equidistant", "pinhole": "plumb_bob", "radtan": "plumb_bob"}
"""Other names of these models: of cameracalibrator, drivers and Kalibr."""
OPENCV_HEADER = re.compile(r"^\ufeff?%YAML[: ].*\n")


@dataclass(frozen=True)
class Calibration:
    """As sensor_msgs/CameraInfo: K (3, 3) and P (3, 4), px, D, R (3, 3), for frames of one size.

    The K of an uncalibrated camera is zero.
    """

    width_px: int
    height_px: int
    model: str
    matrix: Array
    distortion: Array
    rectification: Array
    projection: Array
    assumed: tuple[str, ...] = ()
    """What the file does not say, or says otherwise, and how it was taken; for a person to read."""

    @classmethod
    def uncalibrated(cls, width_px: int, height_px: int) -> "Calibration":
        """The calibration of an uncalibrated camera.

        Args:
            width_px: Width of its frames, px.
            height_px: Height of its frames, px.
        """
        return cls(
            width_px, height_px, "", np.zeros((3, 3)), np.zeros(0), np.eye(3), np.zeros((3, 4))
        )

    def require_size(self, width_px: int, height_px: int) -> None:
        """Refuse frames of another size: focal lengths in px hold for one size only.

        Args:
            width_px: Width of the camera's frames, px.
            height_px: Height of the camera's frames, px.

        Raises:
            ConfigError: The size differs.
        """
        if (width_px, height_px) != (self.width_px, self.height_px):
            raise ConfigError(
                f"the calibration is for {self.width_px}x{self.height_px} px, the camera gives"
                f" {width_px}x{height_px} px; calibrate at that size, or set width_px and height_px"
                " to the calibration's"
            )

    def without_distortion(self) -> "Calibration":
        """The calibration of the frames that `undistort` returns."""
        matrix, none = self.projection[:, :3].copy(), np.zeros(5)
        return replace(
            self, model="plumb_bob", matrix=matrix, distortion=none, rectification=np.eye(3)
        )

    def for_placement(self, placement: Placement) -> "Calibration":
        """The calibration of the images that a placement makes of the frames."""
        if not self.matrix.any():
            return replace(self, width_px=placement.size[0], height_px=placement.size[1])
        matrix, projection = (
            placement.intrinsics(self.matrix),
            placement.intrinsics(self.projection),
        )
        return replace(
            self,
            width_px=placement.size[0],
            height_px=placement.size[1],
            matrix=matrix,
            projection=projection,
        )

    @cached_property
    def _maps(self) -> tuple[NDArray[Any], NDArray[Any]]:
        size, matrix = (self.width_px, self.height_px), self.projection[:, :3]
        make = (
            cv2.fisheye.initUndistortRectifyMap
            if self.model == "equidistant"
            else cv2.initUndistortRectifyMap
        )
        first, second = make(
            self.matrix, self.distortion, self.rectification, matrix, size, cv2.CV_16SC2
        )
        return first, second

    def undistort(self, pixels: Image) -> Image:
        """Rectify a frame (height, width, 3), so that P holds as its intrinsics, without
        distortion.
        """
        first, second = self._maps
        straight: Image = cv2.remap(pixels, first, second, cv2.INTER_LINEAR)
        return straight


def read_calibration(path: Path) -> Calibration:
    """Read a calibration from a YAML file in ROS's camera_info format (camera_calibration_parsers),
    or as OpenCV's FileStorage writes one.

    What calibrators leave out or name otherwise is taken as ROS's parser takes it, and said in
    `Calibration.assumed`.

    Raises: ConfigError naming the file and the field.
    """
    try:
        data = yaml.load(OPENCV_HEADER.sub("", path.read_text()), Loader=_Loader)
        if not isinstance(data, dict):
            raise ConfigError(f"{path} must hold 'field: value' lines, got {type(data).__name__}")
        calibration = _calibration(data)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path} cannot be read as YAML: {' '.join(str(error).split())}"
        ) from error
    except KeyError as error:
        raise ConfigError(
            f"{path} lacks the field {error}; expected ROS's camera_info format"
        ) from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    for name, matrix in (
        ("camera_matrix", calibration.matrix),
        ("projection_matrix", calibration.projection),
    ):
        if not min(matrix[0, 0], matrix[1, 1]) > 0:
            raise ConfigError(
                f"{path}: {name} needs focal lengths above 0 px, got {matrix[0, 0]}, {matrix[1, 1]}"
            )
    return calibration


class _Loader(yaml.SafeLoader):
    """Reads OpenCV's matrices, which have a tag of their own, as the mappings that they are."""


def _opencv_matrix(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", _opencv_matrix)


def _calibration(data: dict[Any, Any]) -> Calibration:
    assumed: list[str] = []
    matrix = _matrix(data["camera_matrix"], (3, 3), "camera_matrix")
    rectification, projection = np.eye(3), np.hstack([matrix, np.zeros((3, 1))])
    if data.get("rectification_matrix") is None:
        assumed.append("rectification_matrix is missing, taken as the identity")
    else:
        rectification = _matrix(data["rectification_matrix"], (3, 3), "rectification_matrix")
    if data.get("projection_matrix") is None:
        assumed.append("projection_matrix is missing, taken as camera_matrix")
    else:
        projection = _matrix(data["projection_matrix"], (3, 4), "projection_matrix")
    model, distortion = _distortion(data, assumed)
    return Calibration(
        _size(data["image_width"], "image_width"),
        _size(data["image_height"], "image_height"),
        model,
        matrix,
        distortion,
        rectification,
        projection,
        tuple(assumed),
    )


def _size(value: Any, name: str) -> int:
    try:
        size = 0.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        size = 0.0
    if not (size >= 1.0 and size.is_integer()):
        raise ConfigError(f"{name} must be a number of pixels above 0, got {value!r}")
    return int(size)


def _numbers(field: Any, name: str) -> Array:
    try:
        values = np.array(field["data"], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{name} must hold 'data', a list of numbers, got {field!r}") from error
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ConfigError(f"{name} must be a flat list of finite numbers, got {field['data']!r}")
    return values


def _matrix(field: Any, shape: tuple[int, int], name: str) -> Array:
    values = _numbers(field, name)
    if values.size != math.prod(shape):
        raise ConfigError(f"{name} must have {shape[0]}x{shape[1]} values, got {values.size}")
    return values.reshape(shape)


def _model(data: dict[Any, Any], assumed: list[str]) -> str:
    """The name of the distortion model in ROS."""
    key = next((key for key in ("distortion_model", "camera_model") if data.get(key)), "")
    if not key:
        assumed.append("distortion_model is missing, taken as plumb_bob")
        return "plumb_bob"
    given = str(data[key])
    model = ALIASES.get(given.lower(), given.lower())
    if model not in MODELS:
        raise unknown_name("distortion_model", given, MODELS)
    if key != "distortion_model" or given != model:
        assumed.append(f"{key} '{given}' is taken as distortion_model {model}")
    return model


def _distortion(data: dict[Any, Any], assumed: list[str]) -> tuple[str, Array]:
    """Model and coefficients as OpenCV takes them; adds to what is assumed."""
    model = _model(data, assumed)
    values = _numbers(data["distortion_coefficients"], "distortion_coefficients")
    counted = f"distortion_coefficients has {values.size} values"
    if not values.size:
        assumed.append("distortion_coefficients is empty: no distortion")
        return model, np.zeros(MODELS[model][-1] if model == "equidistant" else 5)
    if model == "equidistant" and values.size == 5 and values[4] == 0.0:
        assumed.append(f"{counted}; the zero at its end is left out")
        values = values[:4]
    if model != "equidistant" and values.size not in MODELS[model]:
        # To OpenCV these are one model, whose further coefficients are zero where they are absent.
        for other in ("plumb_bob", "rational_polynomial"):
            if values.size in MODELS[other]:
                assumed.append(f"{counted}; the model is taken as {other}, not {model}")
                return other, values
    if values.size not in MODELS[model]:
        counts = " or ".join(map(str, MODELS[model]))
        raise ConfigError(
            f"distortion_coefficients of {model} must be {counts} values, got {values.size}"
        )
    return model, values


@dataclass(frozen=True)
class CameraPose:
    """The pose of the camera's optical frame (REP 103: z forward, x right, y down) in the frame
    `parent`.
    """

    parent: str
    translation_m: tuple[float, float, float]
    rotation_xyzw: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        norm = math.hypot(*self.rotation_xyzw)
        if abs(norm - 1.0) > 1e-3:
            raise ConfigError(
                f"rotation_xyzw must be a unit quaternion, got {self.rotation_xyzw} of length"
                f" {norm:.4f}"
            )


def read_pose(path: Path) -> CameraPose:
    """Read a pose from a YAML file. Raises: ConfigError naming the file and the field."""
    return read_fields(path, CameraPose)
