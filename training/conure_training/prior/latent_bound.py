"""The exploration dial: |z| kept within a chi-square radius, and what part of the action space that
leaves reachable.

|z|^2 of z ~ N(0, I) in A dimensions is chi-square distributed with A degrees of freedom: a bound at
its quantile q leaves that share q of the prior's own actions, and none that the prior would hardly
ever choose.
"""

import math
from typing import Protocol

import torch
from scipy.stats import chi2
from torch import Tensor


class Inverse(Protocol):
    """A flow's inverse z = f^-1(a; context)."""

    def encode(self, action: Tensor, context: Tensor) -> Tensor: ...


def chi_square_radius(quantile: float, dim: int) -> float:
    """The length below which z ~ N(0, I) of `dim` coordinates stays with this probability; infinite
    for 1.
    """
    return math.inf if quantile >= 1.0 else math.sqrt(float(chi2.ppf(quantile, dim)))


@torch.no_grad()
def reachable_fraction(
    flow: Inverse, context: Tensor, action_dim: int, radius: float, seed: int = 0
) -> float:
    """Share of the actions of [-1, 1]^A, one drawn uniformly for every context (n, F), whose z lies
    in the radius.
    """
    generator = torch.Generator().manual_seed(seed)
    action = 2.0 * torch.rand(len(context), action_dim, generator=generator) - 1.0
    return float((flow.encode(action, context).norm(dim=-1) <= radius).float().mean())
