"""What is recorded for dynamics: each joint's commands and angles while the others stand still."""

from pathlib import Path

import numpy as np

from conure_calibration.dynamics.fit import Recorded
from conure_core.errors import ConfigError, DataError
from conure_core.runtime.atomic_files import reading
from conure_core.types import Array

RECORDING = "dynamics.npz"
PARTS = ("command_stamp_s", "command_rad", "stamp_s", "angle_rad")
LINK = "link_rad"


def read_dynamics(
    folder: Path, joints: tuple[str, ...]
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

    def load() -> dict[str, Array]:
        with np.load(path, allow_pickle=False) as stored:
            return {name: np.asarray(stored[name], dtype=np.float64) for name in stored.files}

    arrays = reading(path, load, "record it again")
    named = {name.rpartition(".")[0] for name in arrays}
    unknown = sorted(named - set(joints))
    if unknown or not named:
        raise DataError(
            f"{path} has recordings of {', '.join(unknown) or 'no joint'}; expected some of"
            f" {', '.join(joints)}"
        )
    return {joint: _one(path, arrays, joint) for joint in joints if joint in named}


def _one(path: Path, arrays: dict[str, Array], joint: str) -> tuple[Recorded, Array | None]:
    missing = [part for part in PARTS if f"{joint}.{part}" not in arrays]
    if missing:
        raise DataError(f"{path} lacks {joint}.{missing[0]}")
    found = [arrays[f"{joint}.{part}"] for part in PARTS]
    link = arrays.get(f"{joint}.{LINK}")
    pairs = [found[:2], found[2:]] + ([[found[2], link]] if link is not None else [])
    for first, second in pairs:
        if first.ndim != 1 or first.shape != second.shape or len(first) < 2:
            raise DataError(
                f"{path}: {joint}: stamps and values must be lists of one length, got shapes"
                f" {first.shape} and {second.shape}"
            )
        if not (np.isfinite(first).all() and np.isfinite(second).all()):
            raise DataError(f"{path}: {joint}: a value is not finite")
        if (np.diff(first) <= 0).any():
            raise DataError(f"{path}: {joint}: stamps must rise; sort the recording by its stamps")
    return Recorded(*found), link
