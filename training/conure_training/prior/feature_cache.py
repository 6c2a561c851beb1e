"""Features of demonstrations by a prior's frozen encoder: computed once, kept beside the prior for
every later run.
"""

import json
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conure_training.data.demonstrations import load_demonstrations
from conure_training.prior.model import Prior
from conure_training.runtime.arrays import save_arrays, saved_arrays

FEATURE_BATCH = 128
"""What fits into the cache: 512 frames of 48x48 at once take 1.6 times as long a frame."""
FEATURES = "features.npz"
Rows = NDArray[Any] | Tensor
Encode = Callable[[Rows, Rows], Tensor]
"""Features (n, F) of images (n, H, W, 3) and proprioception (n, P)."""


@dataclass(frozen=True)
class Encoded:
    """Of every step of a data set, (n, F), and of what is observed after each episode's last
    action, (e, F).
    """

    steps: Tensor
    final: Tensor


def encoding_by(encoder: nn.Module) -> Encode:
    """Features of many frames, in batches, where the encoder is, without gradients: it is
    frozen.
    """

    @torch.no_grad()
    def encode(image: Rows, proprio: Rows) -> Tensor:
        device = next(encoder.parameters()).device
        batches = zip(
            *(torch.as_tensor(rows).split(FEATURE_BATCH) for rows in (image, proprio)), strict=True
        )
        return torch.cat([encoder(x.to(device), y.to(device)) for x, y in batches])

    return encode


def encoded_demonstrations(prior_path: Path, prior: Prior, demos: Path) -> Encoded:
    """What `keep_encoded` left for this prior and these demonstrations; else computed, and kept if
    it can be written.

    Raises: DataError for demonstrations that cannot be read.
    """
    kept = _kept(prior_path, demos)
    if kept is None:
        data, encode = load_demonstrations(demos), encoding_by(prior.encoder)
        kept = Encoded(
            encode(data.image, data.proprio), encode(data.final_image, data.final_proprio)
        )
        with suppress(OSError):  # the prior's folder may be read-only
            keep_encoded(prior_path, demos, kept)
    return kept


def keep_encoded(prior_path: Path, demos: Path, encoded: Encoded) -> None:
    """Write them beside the prior, in place of those of any other data set."""
    arrays = {name: rows.numpy() for name, rows in encoded.__dict__.items()}
    save_arrays(prior_path.with_name(FEATURES), _identity(prior_path, demos), arrays)


def _kept(prior_path: Path, demos: Path) -> Encoded | None:
    arrays = saved_arrays(prior_path.with_name(FEATURES), _identity(prior_path, demos))
    return (
        None
        if arrays is None
        else Encoded(**{name: torch.from_numpy(rows) for name, rows in arrays.items()})
    )


def _identity(prior_path: Path, demos: Path) -> str:
    """Changes with the prior's bytes, and with the name, the size or the time of any file of the
    demonstrations.
    """
    files = [
        (path.relative_to(demos), path.stat())
        for path in sorted(demos.rglob("*"))
        if path.is_file()
    ]
    stamps = [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in files]
    return json.dumps(
        [zlib.crc32(prior_path.read_bytes()), zlib.crc32(json.dumps(stamps).encode())]
    )
