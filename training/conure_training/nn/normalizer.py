"""Inputs scaled to mean 0 and deviation 1."""

import torch
from torch import Tensor, nn


class Normalizer(nn.Module):
    """(x - mean) / deviation, clipped; the identity (but for the clip) until `fit`. Travels with
    the network's weights.

    A coordinate that hardly varies in the fitted rows is only centred, so that its first real
    change is not a shock.
    """

    CLIP = 10.0
    LEAST_DEVIATION = 3e-3

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def fit(self, rows: Tensor, least_deviation: float = LEAST_DEVIATION) -> None:
        """Take mean and standard deviation from rows (n, dim)."""
        deviation = rows.std(dim=0, correction=0)
        self.mean.copy_(rows.mean(dim=0))
        self.scale.copy_(
            torch.where(deviation > least_deviation, 1.0 / deviation, torch.ones_like(deviation))
        )

    def forward(self, x: Tensor) -> Tensor:
        return ((x - self.mean) * self.scale).clamp(-self.CLIP, self.CLIP)
