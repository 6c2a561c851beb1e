"""The bound on z: |z| kept within a chi-square radius, and the share of actions still reachable.

|z|^2 of z ~ N(0, I) in A dimensions is chi-square distributed with A degrees of freedom. A bound at
its quantile q keeps that share q of the prior's own actions, and excludes those that the prior
would hardly ever choose.
"""

import math
from typing import Protocol

import torch
from scipy.stats import chi2
from torch import Tensor


class Inverse(Protocol):
    """A flow's inverse."""

    def encode(self, action: Tensor, context: Tensor) -> Tensor:
        """Compute z = f^-1(a; context).

        Args:
            action: Shape (B, A).
            context: Shape (B, F).

        Returns:
            z, shape (B, A).
        """
        ...


def chi_square_radius(quantile: float, dim: int) -> float:
    """Compute the length below which z ~ N(0, I) stays with a given probability.

    Args:
        quantile: The probability, in (0, 1]; 1: the radius is infinite.
        dim: Coordinates of z.

    Returns:
        The radius, above 0.
    """
    if quantile >= 1.0:
        return math.inf
    return math.sqrt(float(chi2.ppf(quantile, dim)))


@torch.no_grad()
def reachable_fraction(
    flow: Inverse, context: Tensor, action_dim: int, radius: float, seed: int = 0
) -> float:
    """Estimate the share of actions whose z lies within the radius.

    Args:
        flow: The flow's inverse.
        context: Features of n observations, shape (n, F).
        action_dim: A.
        radius: Bound on |z|.
        seed: Draws one action of [-1, 1]^A, uniformly, for every context.

    Returns:
        A share in [0, 1].
    """
    generator = torch.Generator().manual_seed(seed)
    action = 2.0 * torch.rand(len(context), action_dim, generator=generator) - 1.0
    inside = flow.encode(action, context).norm(dim=-1) <= radius
    return float(inside.float().mean())
