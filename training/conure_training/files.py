"""Writing results so that nothing half-written ever stands under a final name."""

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)
"""What torch.load, np.load and what follows it raise on a damaged or foreign file."""
MADE_OF = "of"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary sibling to write a file or a folder to; it takes the final name only when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        if path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        temporary.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Write JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1))


def save_arrays(path: Path, made_of: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """A .npz of arrays that can be made again, with what they were made of; whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **{**arrays, MADE_OF: np.array(made_of)})


def saved_arrays(path: Path, made_of: str) -> dict[str, NDArray[Any]] | None:
    """What `save_arrays` wrote for this origin; None if there is nothing, or nothing of it that can be read."""
    try:
        with np.load(path) as arrays:
            same = str(arrays[MADE_OF]) == made_of
            return {name: arrays[name] for name in arrays.files if name != MADE_OF} if same else None
    except UNREADABLE:
        return None
