"""Features of demonstrations by a prior's frozen encoder: computed once, kept beside the prior for every later run."""

import json
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conure_training.dataset import load_demonstrations
from conure_training.files import UNREADABLE, replacing
from conure_training.prior import Prior

FEATURE_BATCH = 512
FEATURES = "features.npz"
Encode = Callable[[NDArray, NDArray], Tensor]
"""Features (n, F) of images (n, H, W, 3) and proprioception (n, P)."""


@dataclass(frozen=True)
class Encoded:
    """Of every step of a data set, (n, F), and of what is observed after each episode's last action, (e, F)."""

    steps: Tensor
    final: Tensor


def encoding_by(encoder: nn.Module) -> Encode:
    """Features of many frames, in batches: the encoder is frozen."""

    @torch.inference_mode()
    def encode(image: NDArray, proprio: NDArray) -> Tensor:
        parts = range(0, len(image), FEATURE_BATCH)
        pairs = ((image[i : i + FEATURE_BATCH], proprio[i : i + FEATURE_BATCH]) for i in parts)
        return torch.cat([encoder(torch.from_numpy(x), torch.from_numpy(y)) for x, y in pairs])

    return encode


def encoded_demonstrations(prior_path: Path, prior: Prior, demos: Path) -> Encoded:
    """What `keep_encoded` left for this prior and these demonstrations; else computed, and kept if it can be written.

    Raises: DataError for demonstrations that cannot be read.
    """
    kept = _kept(prior_path, demos)
    if kept is None:
        data, encode = load_demonstrations(demos), encoding_by(prior.encoder)
        kept = Encoded(encode(data.image, data.proprio), encode(data.final_image, data.final_proprio))
        with suppress(OSError):  # the prior's folder may be read-only
            keep_encoded(prior_path, demos, kept)
    return kept


def keep_encoded(prior_path: Path, demos: Path, encoded: Encoded) -> None:
    """Write them beside the prior, in place of those of any other data set."""
    arrays = {name: rows.numpy() for name, rows in encoded.__dict__.items()}
    with replacing(prior_path.with_name(FEATURES)) as temporary, temporary.open("wb") as stream:
        np.savez(stream, of=_identity(prior_path, demos), **arrays)


def _kept(prior_path: Path, demos: Path) -> Encoded | None:
    try:
        with np.load(prior_path.with_name(FEATURES)) as arrays:
            if str(arrays["of"]) == _identity(prior_path, demos):
                return Encoded(*(torch.from_numpy(arrays[name]) for name in ("steps", "final")))
    except (*UNREADABLE, zipfile.BadZipFile):
        return None
    return None


def _identity(prior_path: Path, demos: Path) -> str:
    """Changes with the prior's bytes, and with the name, the size or the time of any file of the demonstrations."""
    files = [(path.relative_to(demos), path.stat()) for path in sorted(demos.rglob("*")) if path.is_file()]
    stamps = [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in files]
    return json.dumps([zlib.crc32(prior_path.read_bytes()), zlib.crc32(json.dumps(stamps).encode())])
