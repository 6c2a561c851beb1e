"""Arrays on disk that can be computed again; what readers of damaged files raise."""

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
"""Exceptions of torch.load, np.load and the code behind them on a damaged or foreign file."""
MADE_OF = "of"


def save_arrays(path: Path, made_of: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays and their origin to one .npz file, whole or not at all.

    Args:
        path: The file.
        made_of: Everything that decides the arrays' values, as text; see `load_arrays`.
        arrays: By name; the name "of" is taken by `made_of`.
    """
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **{**arrays, MADE_OF: np.array(made_of)})


def load_arrays(path: Path, made_of: str) -> dict[str, NDArray[Any]] | None:
    """Read what `save_arrays` wrote, if it is of this origin.

    Args:
        path: The file.
        made_of: The origin that the arrays must have.

    Returns:
        The arrays by name; None if the file is absent, damaged, or of another origin.
    """
    try:
        with np.load(path) as arrays:
            if str(arrays[MADE_OF]) != made_of:
                return None
            return {name: arrays[name] for name in arrays.files if name != MADE_OF}
    except UNREADABLE:
        return None
