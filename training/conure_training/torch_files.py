"""Writing what torch holds. On its own, so that what renders and collects need not wait for torch."""

from pathlib import Path
from typing import Any

import torch

from conure_training.files import replacing


def save_torch(path: Path, data: Any) -> None:
    """torch.save, whole or not at all."""
    with replacing(path) as temporary:
        torch.save(data, temporary)
