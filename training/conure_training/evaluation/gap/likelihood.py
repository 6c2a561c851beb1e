"""The gap in nats: what a prior trained in simulation thinks of actions that a robot executed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import DataError
from conure_core.types import Array
from conure_training.evaluation.prior_metrics import Estimate, mean_over_episodes, resampled_means

PHASES = 4


@dataclass(frozen=True)
class Trace:
    """Log-likelihoods of the actions of some episodes."""

    nats: Array
    """Of every step, (n,)."""
    episode: NDArray[np.int64]
    """Number of every step's episode, (n,)."""

    def __post_init__(self) -> None:
        if self.nats.shape != self.episode.shape or not len(self.nats):
            raise DataError(
                f"expected a log-likelihood and an episode for every step, got {self.nats.shape}"
                f" and {self.episode.shape}"
            )
        if not np.isfinite(self.nats).all():
            step = int(np.flatnonzero(~np.isfinite(self.nats))[0])
            raise DataError(f"the log-likelihood of step {step} is {self.nats[step]}, not finite")

    def phase(self, index: int, phases: int = PHASES) -> "Trace":
        """The steps in one of equal parts of every episode's time.

        Raises: DataError if an episode has fewer steps than there are phases.
        """
        starts = np.flatnonzero(np.diff(self.episode, prepend=self.episode[0] - 1))
        lengths = np.diff(starts, append=len(self.episode))
        if lengths.min() < phases:
            raise DataError(
                f"an episode has {lengths.min()} steps, expected at least {phases}, one a phase;"
                " leave it out"
            )
        within = np.arange(len(self.episode)) - np.repeat(starts, lengths)
        part = within * phases // np.repeat(lengths, lengths)
        return Trace(self.nats[part == index], self.episode[part == index])


@dataclass(frozen=True)
class NatsGap:
    """By how much real actions are less likely than simulated ones, nats a step."""

    total: Estimate
    phases: tuple[Estimate, ...]
    """In each quarter of an episode's time."""
    perception: Estimate | None
    """The part that goes when each real image is replaced by one rendered at the same joints; None
    without such images."""
    motion: Estimate | None
    """The rest: dynamics and behavior."""


def nats_gap(simulated: Trace, real: Trace, rendered: Trace | None = None) -> NatsGap:
    """Measure the gap between simulated and real episodes, with intervals over episodes.

    Args:
        simulated: Held-out episodes of the simulator in which the prior was trained.
        real: Recorded on the robot.
        rendered: The same real steps, each image replaced by a rendered one.

    Returns:
        The gap: simulated minus real.

    Raises:
        DataError: The rendered steps are not the real ones.
    """
    if rendered is not None and not np.array_equal(rendered.episode, real.episode):
        raise DataError(
            f"expected the {len(real.episode)} real steps with rendered images, got"
            f" {len(rendered.episode)} others; render the recording that is examined"
        )
    perception = None
    motion = None
    if rendered is not None:
        perception = mean_over_episodes(rendered.nats - real.nats, real.episode)
        motion = _difference(simulated, rendered)
    parts = [(simulated.phase(index), real.phase(index)) for index in range(PHASES)]
    return NatsGap(
        total=_difference(simulated, real),
        phases=tuple(_difference(*part) for part in parts),
        perception=perception,
        motion=motion,
    )


def _difference(first: Trace, second: Trace, seed: int = 0) -> Estimate:
    """The first mean minus the second, with a bootstrap over the episodes of each."""
    rng = np.random.default_rng(seed)
    value = float(first.nats.mean() - second.nats.mean())
    means = [resampled_means(trace.nats, trace.episode, rng) for trace in (first, second)]
    if means[0] is None or means[1] is None:
        return Estimate(value, None, None)
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
    return Estimate(value, float(low), float(high))
