"""What is recorded for dynamics: each joint's commands and angles while the others stand still."""

from pathlib import Path

import numpy as np

from conure_calibration.dynamics.fit import Recorded
from conure_calibration.latency.recording import read_arrays
from conure_core.errors import ConfigError, DataError
from conure_core.types import Array

RECORDING = "dynamics.npz"
PARTS = ("command_stamp_s", "command_rad", "stamp_s", "angle_rad")
LINK = "link_rad"


def read_dynamics(
    folder: Path,
    joints: tuple[str, ...],
) -> dict[str, tuple[Recorded, Array | None]]:
    """Read the recordings of a folder.

    Args:
        folder: With `dynamics.npz`: arrays `JOINT.command_stamp_s`, `JOINT.command_rad`,
            `JOINT.stamp_s`, `JOINT.angle_rad` and, where something watched the link,
            `JOINT.link_rad` at the same stamps.
        joints: Names that the arm has.

    Returns:
        Commands and angles, and the link's angles or None, by joint, in the arm's order.

    Raises:
        ConfigError: There is no such file.
        DataError: An array is missing, of another length, or not finite, or no joint is in it.
    """
    path = folder / RECORDING
    if not path.is_file():
        raise ConfigError(f"{path} is missing; expected arrays JOINT.{', JOINT.'.join(PARTS)}")
    arrays = read_arrays(path)
    named = {name.rpartition(".")[0] for name in arrays}
    unknown = sorted(named - set(joints))
    if unknown or not named:
        raise DataError(
            f"{path} has recordings of {', '.join(unknown) or 'no joint'}; expected some of"
            f" {', '.join(joints)}"
        )
    return {joint: _one(path, arrays, joint) for joint in joints if joint in named}


def _one(
    path: Path,
    arrays: dict[str, Array],
    joint: str,
) -> tuple[Recorded, Array | None]:
    """One joint's recording, checked."""
    for part in PARTS:
        if f"{joint}.{part}" not in arrays:
            raise DataError(f"{path} lacks {joint}.{part}")
    recorded = Recorded(*(arrays[f"{joint}.{part}"] for part in PARTS))
    link = arrays.get(f"{joint}.{LINK}")
    where = f"{path}: {joint}"
    _require_series(recorded.command_stamp_s, recorded.command_rad, where)
    _require_series(recorded.stamp_s, recorded.angle_rad, where)
    if link is not None:
        _require_series(recorded.stamp_s, link, where)
    return recorded, link


def _require_series(
    stamps: Array,
    values: Array,
    where: str,
) -> None:
    """Raises: DataError for values without a rising stamp each."""
    if stamps.ndim != 1 or stamps.shape != values.shape or len(stamps) < 2:
        raise DataError(
            f"{where}: stamps and values must be lists of one length, got shapes"
            f" {stamps.shape} and {values.shape}"
        )
    if not np.isfinite([stamps, values]).all():
        raise DataError(f"{where}: a value is not finite")
    if (np.diff(stamps) <= 0).any():
        raise DataError(f"{where}: stamps must rise; sort the recording by its stamps")
