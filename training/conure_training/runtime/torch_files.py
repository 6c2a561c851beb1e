"""Reading and writing what torch holds. On its own, so that what renders and collects need not wait
for torch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from conure_core.runtime.atomic_files import damaged, replacing
from conure_training.runtime.arrays import UNREADABLE

AGAIN = "train it again"


def save_torch(path: Path, data: Any) -> None:
    """torch.save, whole or not at all."""
    with replacing(path) as temporary:
        torch.save(data, temporary)


def load_torch(path: Path, remedy: str = AGAIN) -> dict[str, Any]:
    """What `save_torch` wrote: weights and plain values alone, so that a foreign file cannot run
    anything.

    Args:
        path: The file.
        remedy: What to do with one that cannot be used, such as "train it again".

    Raises:
        FileNotFoundError: There is none.
        DataError: It is damaged, foreign, or holds no named values.
    """
    with readable(path, remedy):
        data = torch.load(path, weights_only=True, map_location="cpu")
        if not isinstance(data, dict):
            raise TypeError(f"expected named values, got {type(data).__name__}")
        return data


@contextmanager
def readable(path: Path, remedy: str = AGAIN) -> Iterator[None]:
    """Around what takes a file's values to pieces: whatever is missing or of another shape says
    that it is foreign.

    Raises: DataError in place of every error of Python, torch and NumPy but FileNotFoundError.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except UNREADABLE as error:
        raise damaged(path, error, remedy) from error
