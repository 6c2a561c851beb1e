"""Features of demonstrations by a prior's frozen encoder, computed once, kept beside it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conure_core.runtime.resume import identity, stamp
from conure_training.data.demonstrations import load_demonstrations
from conure_training.data.images import EncodedImages
from conure_training.prior.model import Prior
from conure_training.runtime.arrays import load_arrays, save_arrays

FEATURE_BATCH = 128
"""Fits into the processor's cache: 512 frames of 48x48 at once take 1.6 times as long a frame."""
FEATURES = "features.npz"
Rows = NDArray[Any] | Tensor | EncodedImages
Encode = Callable[[Rows, Rows], Tensor]
"""Features (n, F) of images (n, H, W, 3) and proprioception (n, P)."""


@dataclass(frozen=True)
class Encoded:
    """Features of a data set."""

    steps: Tensor
    """One row for every step, shape (n, F)."""

    final: Tensor
    """One row for the observation after each episode's last action, shape (e, F)."""


def batch_encoder(encoder: nn.Module) -> Encode:
    """Wrap a frozen encoder: it computes features in batches, on its device, without gradients."""

    @torch.no_grad()
    def encode_rows(image: Rows, proprio: Rows) -> Tensor:
        device = next(encoder.parameters()).device
        features = []
        for start in range(0, len(image), FEATURE_BATCH):
            batch = slice(start, start + FEATURE_BATCH)
            images = torch.as_tensor(image[batch])
            proprios = torch.as_tensor(proprio[batch])
            features.append(encoder(images.to(device), proprios.to(device)))
        return torch.cat(features)

    return encode_rows


def encode_demonstrations(prior_path: Path, prior: Prior, demos: Path) -> Encoded:
    """Load the features that `save_encoded` kept, or compute and keep them.

    Args:
        prior_path: The prior's file.
        prior: The prior itself.
        demos: Folder of the demonstrations.

    Returns:
        Features of every step, on the CPU if they were kept, else on the prior's device.

    Raises:
        DataError: The demonstrations cannot be read.
    """
    kept = _load_encoded(prior_path, demos)
    if kept is not None:
        return kept

    data = load_demonstrations(demos)
    encode = batch_encoder(prior.encoder)
    steps = encode(data.image, data.proprio)
    final = encode(data.final_image, data.final_proprio)
    encoded = Encoded(steps, final)
    with suppress(OSError):  # the prior's folder may be read-only
        save_encoded(prior_path, demos, encoded)
    return encoded


def save_encoded(prior_path: Path, demos: Path, encoded: Encoded) -> None:
    """Keep features beside the prior, in place of those of any other data set.

    Args:
        prior_path: The prior's file.
        demos: Folder of the demonstrations.
        encoded: Their features by this prior's encoder, on the CPU.
    """
    arrays = {"steps": encoded.steps.numpy(), "final": encoded.final.numpy()}
    save_arrays(prior_path.with_name(FEATURES), _identity(prior_path, demos), arrays)


def _load_encoded(prior_path: Path, demos: Path) -> Encoded | None:
    arrays = load_arrays(prior_path.with_name(FEATURES), _identity(prior_path, demos))
    if arrays is None:
        return None
    return Encoded(**{name: torch.from_numpy(rows) for name, rows in arrays.items()})


def _identity(prior_path: Path, demos: Path) -> str:
    return identity([stamp(prior_path), stamp(demos)])
