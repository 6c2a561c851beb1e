"""Writing results so that nothing half-written ever stands under a final name."""

import json
import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

UNREADABLE = (OSError, RuntimeError, KeyError, TypeError, EOFError, ValueError, pickle.UnpicklingError)
"""What torch.load and what follows it raise on a damaged or foreign file."""


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


def save_torch(path: Path, data: Any) -> None:
    """torch.save, whole or not at all."""
    with replacing(path) as temporary:
        torch.save(data, temporary)
