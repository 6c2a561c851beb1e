"""Files of weights and plain values.

A module of its own, so that programs that render and collect need not wait for torch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from conure_core.runtime.atomic_files import damaged, replacing
from conure_core.runtime.resume import require_same
from conure_training.runtime.arrays import UNREADABLE

AGAIN = "train it again"
START_OVER = "remove it to start over"


def save_torch(path: Path, data: Any) -> None:
    """Write `data` as torch.save does, whole or not at all.

    Args:
        path: The file; its folder is made.
        data: A dictionary of tensors, plain values, and lists and dictionaries of these.
    """
    with replacing(path) as temporary:
        torch.save(data, temporary)


def load_torch(path: Path, remedy: str = AGAIN) -> dict[str, Any]:
    """Read what `save_torch` wrote. A foreign file cannot run any code.

    Args:
        path: The file.
        remedy: What to do with a file that cannot be used, such as "train it again".

    Returns:
        The dictionary, its tensors on the CPU.

    Raises:
        FileNotFoundError: There is none.
        DataError: It is damaged, foreign, or holds no dictionary.
    """
    with readable(path, remedy):
        data = torch.load(path, weights_only=True, map_location="cpu")
        if not isinstance(data, dict):
            raise TypeError(f"expected named values, got {type(data).__name__}")
        return data


def load_checkpoint(path: Path, identity: str) -> dict[str, Any] | None:
    """Read the checkpoint of an interrupted run, if there is one.

    Args:
        path: The file, whose "identity" says of which run it is.
        identity: Of the run that wants to resume.

    Returns:
        What was saved; None if there is no file.

    Raises:
        ConfigError: It is of another run.
        DataError: It is damaged.
    """
    if not path.is_file():
        return None
    data = load_torch(path, START_OVER)
    require_same(path, data.get("identity"), identity)
    return data


@contextmanager
def readable(path: Path, remedy: str = AGAIN) -> Iterator[None]:
    """Report every error of the block as a damaged file. Put it around code that uses the content.

    Args:
        path: The file that the content came from.
        remedy: What to do about it.

    Raises:
        DataError: In place of every error of Python, torch and NumPy but FileNotFoundError.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except UNREADABLE as error:
        raise damaged(path, error, remedy) from error
