"""Inputs scaled to mean 0 and standard deviation 1."""

import torch
from torch import Tensor, nn


class Normalizer(nn.Module):
    """(x - mean) / deviation, clipped; before `fit` the identity, clipped too.

    Mean and scale are saved with the network's weights. A coordinate that hardly varies in the
    fitted rows is only centred, so that its first real change is not magnified.
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
        """Take mean and standard deviation from samples.

        Args:
            rows: Samples, shape (n, dim).
            least_deviation: Coordinates with a smaller standard deviation are not scaled.
        """
        deviation = rows.std(dim=0, correction=0)
        ones = torch.ones_like(deviation)
        self.mean.copy_(rows.mean(dim=0))
        self.scale.copy_(torch.where(deviation > least_deviation, 1.0 / deviation, ones))

    def forward(self, x: Tensor) -> Tensor:
        """Scale x, shape (..., dim), into [-CLIP, CLIP]."""
        centred = x - self.mean
        return (centred * self.scale).clamp(-self.CLIP, self.CLIP)
