"""What a flow is worth as a prior: coverage, invertibility, condition, calibration. In float64, as
it is executed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor
from torch.func import jacrev, vmap

from conure_core.types import Array
from conure_training.prior.flow import ConditionalRealNVP

BATCH = 4096
RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; None where a single episode says nothing of it."""

    value: float
    low: float | None
    high: float | None


def mean_over_episodes(values: Array, episode: NDArray[np.int64], seed: int = 0) -> Estimate:
    """Mean of values (n,), with a percentile bootstrap over episodes (n,): steps of one episode are
    alike.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13; whole clusters
    are drawn.
    """
    _, index = np.unique(episode, return_inverse=True)
    sums, counts = np.bincount(index, values), np.bincount(index)
    if len(sums) < 2:
        return Estimate(float(values.mean()), None, None)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high))


def coverage(
    flow: ConditionalRealNVP, context: Tensor, radius: float, actions: int, seed: int = 0
) -> Array:
    """Of each context (n, C), the share of [-1, 1]^D whose |f^-1(a)| <= radius, (n,), by that many
    uniform actions.
    """
    generator = torch.Generator().manual_seed(seed)
    shares = []
    for row in context:
        action = (
            2 * torch.rand(actions, flow.action_dim, generator=generator, dtype=context.dtype) - 1
        )
        z = flow.encode(action, row.expand(actions, -1))
        shares.append(float((z.norm(dim=1) <= radius).double().mean()))
    return np.array(shares)


def latent_grid(dim: int, radii: Sequence[float], directions: int, seed: int = 0) -> Tensor:
    """Points (len(radii), directions, dim) on spheres of these radii, in random directions, the
    same on each.
    """
    points = torch.randn(
        directions, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return (
        torch.tensor(radii, dtype=torch.float64)[:, None, None]
        * points
        / points.norm(dim=1, keepdim=True)
    )


def condition_numbers(flow: ConditionalRealNVP, context: Tensor, latents: Tensor) -> Array:
    """Condition number of df/dz, (n, k), the largest over the smallest singular value, of contexts
    (n, C) at z (k, D).

    Large where one direction of z moves the arm far and another hardly: what a policy in z has to
    cope with.
    """

    def decoded(z: Tensor, row: Tensor) -> Tensor:
        return flow.decode(z[None], row[None])[0]

    rows, points = (x.flatten(0, 1) for x in _pairs(context, latents))
    jacobian = torch.cat(
        [
            vmap(jacrev(decoded))(*parts)
            for parts in zip(points.split(BATCH), rows.split(BATCH), strict=True)
        ]
    )
    values = torch.linalg.svdvals(jacobian)
    return (values[:, 0] / values[:, -1]).view(len(context), -1).numpy()


def action_round_trip(flow: ConditionalRealNVP, action: Tensor, context: Tensor) -> float:
    """The largest |f(f^-1(a)) - a| of actions (n, D) in contexts (n, C)."""
    return float((flow.decode(flow.encode(action, context), context) - action).abs().max())


def latent_round_trip(flow: ConditionalRealNVP, context: Tensor, latents: Tensor) -> float:
    """The largest |f^-1(f(z)) - z| / (1 + |z|), of contexts (n, C) at z (k, D) with an action in
    the box; 0 if none.
    """
    rows, points = (x.flatten(0, 1) for x in _pairs(context, latents))
    action = flow.decode(points, rows)
    inside = (action.abs() <= 1.0).all(1)
    error = (flow.encode(action, rows) - points).abs().amax(1) / (1.0 + points.norm(dim=1))
    return float(error[inside].max()) if bool(inside.any()) else 0.0


def _pairs(context: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
    """Every context with every latent: (n, k, C), (n, k, D)."""
    n, k = len(context), len(latents)
    return context[:, None].expand(n, k, -1), latents.to(context.dtype).expand(n, k, -1)


@dataclass(frozen=True)
class Calibration:
    """How |z|^2 of held-out demonstrations compares with the chi-square that a true likelihood
    would give it.

    `histogram`: shares of the probability integral transform u = F(|z|^2) by equal bins of [0, 1],
    each 1 / bins if calibrated; `reliability`: share of u up to each bin's upper edge;
    `expected_error`: mean distance of `reliability` from those edges; `ks_distance`: the largest
    distance anywhere (Kolmogorov and Smirnov).
    """

    histogram: tuple[float, ...]
    reliability: tuple[float, ...]
    expected_error: float
    ks_distance: float


def calibration(z: Tensor, bins: int) -> Calibration:
    """Of the latents (n, D) of held-out demonstrations.

    Source: Dawid, Present position and potential developments, JRSS A 147(2), 1984 (the transform);
    Kuleshov, Fenner & Ermon, Accurate uncertainties for deep learning using calibrated regression,
    ICML 2018 (the error).
    """
    u = stats.chi2.cdf(z.double().square().sum(1).numpy(), z.shape[1])
    edges = np.linspace(0.0, 1.0, bins + 1)
    histogram = np.histogram(u, edges)[0] / len(u)
    reliability = np.cumsum(histogram)
    error = float(np.abs(reliability - edges[1:])[:-1].mean()) if bins > 1 else 0.0
    distance = float(stats.ks_1samp(u, stats.uniform.cdf).statistic)
    return Calibration(tuple(histogram.tolist()), tuple(reliability.tolist()), error, distance)
