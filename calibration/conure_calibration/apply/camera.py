"""The calibrated camera as `conure_sim` takes it: size, matrix, distortion and pose."""

from typing import Any

from conure_calibration.apply.measured import Measured
from conure_calibration.hand_eye.place import read_place
from conure_calibration.intrinsics.lens import read_lens
from conure_core.errors import ConfigError

LENS = "camera/camera.yaml"
POSE = "hand_eye/pose.yaml"
MODEL = "plumb_bob"
"""The one lens model that the simulator renders."""


def simulated_camera(measured: Measured) -> dict[str, Any]:
    """Build the camera.

    Args:
        measured: With `camera` and `hand_eye`.

    Raises:
        ConfigError: A file is missing or damaged, or the lens is of another model.
    """
    lens = read_lens(measured.folder / LENS)
    if lens.model != MODEL:
        raise ConfigError(
            f"{measured.folder / LENS}: the simulator renders lenses of model {MODEL}, this one is"
            f" {lens.model}; calibrate with models=[{MODEL}], or leave camera out of what="
        )
    parent, pose = read_place(measured.folder / POSE)
    camera: dict[str, Any] = {
        "width_px": lens.width_px,
        "height_px": lens.height_px,
        "matrix": lens.matrix.tolist(),
        "distortion": lens.distortion.tolist(),
    }
    if parent == measured.robot.base_frame:
        return {**camera, "base_from_camera": pose.tolist()}
    return {**camera, "link": parent, "link_from_camera": pose.tolist()}
