"""Inputs scaled by the mean and deviation of all rows seen so far."""

import torch
from torch import Tensor

from conure_training.nn.normalizer import Normalizer


class RunningNormalizer(Normalizer):
    """A Normalizer whose mean and scale follow the rows that `update` gets.

    The sums are kept in float64 beside the weights, so that a resumed run goes on to the bit.

    Source of the parallel update: Chan, Golub and LeVeque, COMPSTAT 1982.
    """

    count: Tensor
    average: Tensor
    squares: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("average", torch.zeros(dim, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(dim, dtype=torch.float64))

    @torch.no_grad()
    def update(self, rows: Tensor) -> None:
        """Add rows, shape (n, dim), to what mean and scale are taken from."""
        if not len(rows):
            return
        rows = rows.double()
        mean = rows.mean(dim=0)
        total = self.count + len(rows)
        away = mean - self.average
        self.squares += (rows - mean).square().sum(dim=0)
        self.squares += away.square() * (self.count * len(rows) / total)
        self.average += away * (len(rows) / total)
        self.count.copy_(total)

        deviation = (self.squares / total).sqrt()
        scale = torch.where(deviation > self.LEAST_DEVIATION, 1.0 / deviation, 1.0)
        self.mean.copy_(self.average)
        self.scale.copy_(scale)
