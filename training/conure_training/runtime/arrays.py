"""Arrays that can be made again, and what readers of damaged files may raise."""

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.runtime.atomic_files import replacing

UNREADABLE = (
    OSError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    EOFError,
    ValueError,
    struct.error,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)
"""What torch.load, np.load and what follows it raise on a damaged or foreign file."""
MADE_OF = "of"


def save_arrays(path: Path, made_of: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """A .npz of arrays that can be made again, with what they were made of; whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **{**arrays, MADE_OF: np.array(made_of)})


def saved_arrays(path: Path, made_of: str) -> dict[str, NDArray[Any]] | None:
    """What `save_arrays` wrote for this origin; None if there is nothing, or nothing of it that can
    be read.
    """
    try:
        with np.load(path) as arrays:
            same = str(arrays[MADE_OF]) == made_of
            return (
                {name: arrays[name] for name in arrays.files if name != MADE_OF} if same else None
            )
    except UNREADABLE:
        return None
