"""The file `pose.yaml`: where a camera is, as `camera_node` takes it."""

from pathlib import Path

import numpy as np
import yaml
from scipy.spatial.transform import Rotation

from conure_calibration.poses import ROTATION, TRANSLATION, assembled
from conure_core.config.yaml_fields import read_mapping
from conure_core.errors import ConfigError
from conure_core.runtime.atomic_files import write_text
from conure_core.types import Array


def write_place(
    path: Path,
    parent: str,
    parent_from_camera: Array,
) -> None:
    """Write where a camera is.

    Args:
        path: The YAML file.
        parent: Name of a frame of the arm.
        parent_from_camera: Shape (4, 4), m, of the optical frame.
    """
    quaternion = Rotation.from_matrix(parent_from_camera[ROTATION]).as_quat()
    data = {
        "parent": parent,
        "translation_m": [float(value) for value in parent_from_camera[TRANSLATION]],
        "rotation_xyzw": [float(value) for value in quaternion],
    }
    write_text(path, yaml.safe_dump(data, sort_keys=False))


def read_place(path: Path) -> tuple[str, Array]:
    """Read where a camera is.

    Returns:
        Name of the parent frame, and parent_from_camera, (4, 4), m.

    Raises:
        ConfigError: The file or a field is missing or wrong.
    """
    if not path.is_file():
        raise ConfigError(f"{path} is missing: conure calibrate hand_eye writes one")
    data = read_mapping(path)
    try:
        translation = np.array(data["translation_m"], dtype=np.float64).reshape(3)
        turned = Rotation.from_quat(data["rotation_xyzw"]).as_matrix()
        return str(data["parent"]), assembled(np.asarray(turned), translation)
    except (KeyError, TypeError, ValueError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(
            f"{path}: expected parent, translation_m and rotation_xyzw ({reason}); run conure"
            " calibrate hand_eye again"
        ) from error
