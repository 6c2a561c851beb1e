"""What is recorded for latency: commands, feedback, a marker in images, and a filmed clock."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from conure_core.errors import ConfigError, DataError
from conure_core.runtime.atomic_files import reading
from conure_core.types import Array

RECORDING = "latency.npz"
FEWEST = 30
OPTIONAL = ("clock_stamp_s", "clock_shown_s")


@dataclass(frozen=True)
class Recording:
    """The arrays of `latency.npz`. All stamps are of one clock, the one of the computer."""

    command_stamp_s: Array
    """When each command was sent, shape (n,)."""
    command_rad: Array
    """What the joint was told, shape (n,); it holds until the next one."""
    feedback_stamp_s: Array
    """Stamp of each joint state, shape (m,)."""
    feedback_rad: Array
    """The joint's measured angle, shape (m,)."""
    camera_stamp_s: Array
    """Stamp of each image, shape (k,)."""
    camera_px: Array
    """Where the marker on the arm was seen in it, along its motion, shape (k,)."""
    clock_stamp_s: Array
    """Stamps of images of a screen that shows this computer's time, shape (c,); empty: none."""
    clock_shown_s: Array
    """The time that was read in each of them, shape (c,)."""


def read_recording(folder: Path) -> Recording:
    """Read the recording of a folder.

    Raises:
        ConfigError: There is none.
        DataError: It is damaged, an array is missing, of another length, too short, not finite, or
            its stamps do not rise; names file and array.
    """
    path = folder / RECORDING
    if not path.is_file():
        raise ConfigError(
            f"{path} is missing; expected arrays {[f.name for f in fields(Recording)]}"
        )
    found = read_arrays(path)
    for name in OPTIONAL:
        found.setdefault(name, np.zeros(0))
    names = [field.name for field in fields(Recording)]
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)}; it has {', '.join(found) or 'nothing'}"
        )
    recording = Recording(**{name: found[name] for name in names})
    check_recording(recording, str(path))
    return recording


def read_arrays(path: Path) -> dict[str, Array]:
    """Read all arrays of an .npz file. Raises: DataError if it is damaged."""
    return reading(path, lambda: _load(path), "record it again")


def _load(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as stored:
        return {name: np.asarray(stored[name], dtype=np.float64) for name in stored.files}


def check_recording(recording: Recording, where: str) -> None:
    """Refuse arrays that cannot be used.

    Args:
        recording: The arrays.
        where: Begins a message, such as the file.

    Raises:
        DataError: Names the array.
    """
    pairs = [
        ("command_stamp_s", "command_rad"),
        ("feedback_stamp_s", "feedback_rad"),
        ("camera_stamp_s", "camera_px"),
        ("clock_stamp_s", "clock_shown_s"),
    ]
    for stamps_name, values_name in pairs:
        stamps = getattr(recording, stamps_name)
        values = getattr(recording, values_name)
        if stamps.ndim != 1 or stamps.shape != values.shape:
            raise DataError(
                f"{where}: {stamps_name} and {values_name} must be lists of one length, got shapes"
                f" {stamps.shape} and {values.shape}"
            )
        if stamps_name in OPTIONAL and not len(stamps):
            continue
        if len(stamps) < FEWEST:
            raise DataError(f"{where}: {stamps_name} has {len(stamps)} values, {FEWEST} are needed")
        if not (np.isfinite(stamps).all() and np.isfinite(values).all()):
            raise DataError(
                f"{where}: {stamps_name} or {values_name} has values that are not finite"
            )
        if (np.diff(stamps) <= 0).any():
            raise DataError(f"{where}: {stamps_name} must rise; sort the recording by its stamps")
