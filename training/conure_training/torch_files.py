"""Files of what torch holds. On their own, so that what renders and collects need not wait for torch."""

from pathlib import Path
from typing import Any

import torch

from conure_core.atomic_files import reading, replacing


def load_torch(path: Path, remedy: str, device: str | None = None) -> dict[str, Any]:
    """What `save_torch` wrote, on the device it was on, or on this one.

    Raises: FileNotFoundError; DataError that says "damaged" and the remedy, such as "train it again".
    """
    return reading(path, lambda: dict(torch.load(path, weights_only=True, map_location=device)), remedy)


def save_torch(path: Path, data: Any) -> None:
    """torch.save, whole or not at all."""
    with replacing(path) as temporary:
        torch.save(data, temporary)
