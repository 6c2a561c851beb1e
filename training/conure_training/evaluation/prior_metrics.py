"""Metrics of a flow as a prior: coverage, invertibility, condition, calibration.

They are computed in float64, as the flow is executed.
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
    """A mean with its 95 % interval."""

    value: float
    """The mean."""

    low: float | None
    """Lower end; None: a single episode gives no interval."""

    high: float | None
    """Upper end; None: a single episode gives no interval."""


def mean_over_episodes(values: Array, episode: NDArray[np.int64], seed: int = 0) -> Estimate:
    """Average over steps, with a percentile bootstrap over episodes, whose steps are alike.

    Args:
        values: Of every step, shape (n,).
        episode: Index of every step's episode, shape (n,).
        seed: Draws the bootstrap samples.

    Returns:
        The mean and its interval.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13: whole clusters
    are drawn.
    """
    means = resampled_means(values, episode, np.random.default_rng(seed))
    if means is None:
        return Estimate(float(values.mean()), None, None)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high))


def resampled_means(
    values: Array, episode: NDArray[np.int64], rng: np.random.Generator
) -> Array | None:
    """Average over the steps of episodes that are drawn with replacement.

    Args:
        values: Of every step, shape (n,).
        episode: Index of every step's episode, shape (n,).
        rng: Where episodes are drawn from.

    Returns:
        The means of RESAMPLES draws, shape (RESAMPLES,); None of a single episode.
    """
    _, index = np.unique(episode, return_inverse=True)
    sums = np.bincount(index, values)
    counts = np.bincount(index)
    if len(sums) < 2:
        return None
    drawn = rng.integers(len(sums), size=(RESAMPLES, len(sums)))
    return np.asarray(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))


def coverage(
    flow: ConditionalRealNVP, context: Tensor, radius: float, actions: int, seed: int = 0
) -> Array:
    """Estimate the share of [-1, 1]^D whose |f^-1(a)| <= radius, in each context.

    Args:
        flow: f.
        context: Shape (n, C).
        radius: Bound on |z|.
        actions: Uniform actions drawn for each context.
        seed: Draws them.

    Returns:
        Shape (n,), in [0, 1].
    """
    generator = torch.Generator().manual_seed(seed)
    size = (actions, flow.action_dim)
    shares = []
    for row in context:
        action = 2 * torch.rand(size, generator=generator, dtype=context.dtype) - 1
        z = flow.encode(action, row.expand(actions, -1))
        inside = z.norm(dim=1) <= radius
        shares.append(float(inside.double().mean()))
    return np.array(shares)


def latent_grid(dim: int, radii: Sequence[float], directions: int, seed: int = 0) -> Tensor:
    """Place points on spheres around 0, in random directions that all spheres share.

    Args:
        dim: Coordinates, D.
        radii: Of the spheres.
        directions: Points on each sphere.
        seed: Draws the directions.

    Returns:
        Shape (len(radii), directions, D), float64.
    """
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(directions, dim, generator=generator, dtype=torch.float64)
    lengths = torch.tensor(radii, dtype=torch.float64)[:, None, None]
    return lengths * points / points.norm(dim=1, keepdim=True)


def condition_numbers(flow: ConditionalRealNVP, context: Tensor, latents: Tensor) -> Array:
    """Compute the condition number of df/dz: its largest over its smallest singular value.

    It is large where one direction of z moves the arm far and another hardly, which makes learning
    in z hard.

    Args:
        flow: f.
        context: Shape (n, C).
        latents: z, shape (k, D).

    Returns:
        Of every context at every z, shape (n, k), at least 1.
    """

    def _decode(z: Tensor, row: Tensor) -> Tensor:
        return flow.decode(z[None], row[None])[0]

    jacobian_at = vmap(jacrev(_decode))
    rows, points = _pairs(context, latents)
    batches = zip(points.split(BATCH), rows.split(BATCH), strict=True)
    jacobian = torch.cat([jacobian_at(z, row) for z, row in batches])

    values = torch.linalg.svdvals(jacobian)
    condition = values[:, 0] / values[:, -1]
    return condition.view(len(context), -1).numpy()


def action_round_trip(flow: ConditionalRealNVP, action: Tensor, context: Tensor) -> float:
    """Compute the largest |f(f^-1(a)) - a|.

    Args:
        flow: f.
        action: In [-1, 1], shape (n, D).
        context: Shape (n, C).

    Returns:
        The error, in the action's normalized unit.
    """
    decoded = flow.decode(flow.encode(action, context), context)
    return float((decoded - action).abs().max())


def latent_round_trip(flow: ConditionalRealNVP, context: Tensor, latents: Tensor) -> float:
    """Compute the largest |f^-1(f(z)) - z| / (1 + |z|) where f(z) lies in [-1, 1]^D.

    Args:
        flow: f.
        context: Shape (n, C).
        latents: z, shape (k, D).

    Returns:
        The relative error over all pairs; 0 if no action lies in the box.
    """
    rows, points = _pairs(context, latents)
    action = flow.decode(points, rows)
    inside = (action.abs() <= 1.0).all(1)
    if not bool(inside.any()):
        return 0.0
    distance = (flow.encode(action, rows) - points).abs().amax(1)
    error = distance / (1.0 + points.norm(dim=1))
    return float(error[inside].max())


def _pairs(context: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
    """Every context with every latent: (n * k, C), (n * k, D)."""
    n = len(context)
    k = len(latents)
    rows = context[:, None].expand(n, k, -1)
    points = latents.to(context.dtype).expand(n, k, -1)
    return rows.flatten(0, 1), points.flatten(0, 1)


@dataclass(frozen=True)
class Calibration:
    """|z|^2 of held-out demonstrations, compared with its chi-square distribution F under a true
    likelihood.
    """

    histogram: tuple[float, ...]
    """Shares of u = F(|z|^2) in equal bins of [0, 1], each 1 / bins if calibrated."""

    reliability: tuple[float, ...]
    """Share of u up to each bin's upper edge."""

    expected_error: float
    """Mean distance of `reliability` from those edges."""

    ks_distance: float
    """Largest distance anywhere (Kolmogorov and Smirnov)."""


def calibration(z: Tensor, bins: int) -> Calibration:
    """Compare latents of held-out demonstrations with N(0, I).

    Args:
        z: Shape (n, D).
        bins: Of the histogram.

    Returns:
        How well they agree.

    Source: Dawid, Present position and potential developments, JRSS A 147(2), 1984 (the transform);
    Kuleshov, Fenner & Ermon, Accurate uncertainties for deep learning using calibrated regression,
    ICML 2018 (the error).
    """
    u = stats.chi2.cdf(z.double().square().sum(1).numpy(), z.shape[1])
    edges = np.linspace(0.0, 1.0, bins + 1)
    counts, _ = np.histogram(u, edges)
    histogram = counts / len(u)
    reliability = np.cumsum(histogram)
    error = float(np.abs(reliability - edges[1:])[:-1].mean()) if bins > 1 else 0.0
    distance = float(stats.ks_1samp(u, stats.uniform.cdf).statistic)
    return Calibration(tuple(histogram.tolist()), tuple(reliability.tolist()), error, distance)
