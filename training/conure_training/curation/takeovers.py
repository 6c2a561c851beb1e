"""`conure data takeovers`: why people took over, judged by the prior.

An action of a person is inverted to z = f^-1(a; o). Where |z| is large, the prior would hardly ever
act so: it lacks the skill, and needs more demonstrations. Where |z| is small, the prior acts so
often enough: the policy chose badly, and needs more reinforcement learning.
"""

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from conure_core.config.loader import load_config
from conure_core.config.values import bounds, check_values
from conure_core.errors import DataError
from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.claim import claimed
from conure_training.data.demonstrations import Demonstrations, load_demonstrations
from conure_training.data.selection import TAKEOVER, person_steps
from conure_training.prior.feature_cache import batch_encoder
from conure_training.prior.latent_bound import chi_square_radius
from conure_training.prior.model import Prior, load_prior, prior_note

LACKS_SKILL, CHOSE_BADLY = "the prior lacks the skill", "the policy chose badly"
HELD_OUT = "held_out_log_likelihood_p01"
"""What a prior's training notes: the percentile of held-out actions."""


@dataclass(frozen=True)
class TakeoversConfig:
    """The settings of `conure data takeovers`."""

    data: str
    """Folder of the data set."""

    prior: str
    """File of the prior that the policy acted by."""

    out: str
    """JSON file for the report."""

    quantile: float = field(metadata=bounds(0.5, 0.9999))
    """Of chi-square: a |z| beyond its root is large."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))


@dataclass(frozen=True)
class Takeover:
    """One interval in which a person acted."""

    episode: int
    """Number of its episode."""
    first: int
    """Its first step."""
    end: int
    """One past its last step."""
    latent_norm: float
    """Median of |z|."""
    beyond_share: float
    """Share of its steps whose |z| is large."""
    log_likelihood: float
    """Median, nats."""
    why: str
    """LACKS_SKILL or CHOSE_BADLY."""


@dataclass(frozen=True)
class Inverted:
    """Actions of an episode as the prior would have drawn them."""

    z: NDArray[np.float32]
    """Shape (T, A)."""
    log_likelihood: NDArray[np.float32]
    """Of each action, shape (T,), nats."""


def run(overrides: list[str]) -> None:
    """Judge why people took over: the prior lacks the skill, or the policy chose badly."""
    report(load_config("conure_training.conf", "data_takeovers", TakeoversConfig, overrides))


def report(config: TakeoversConfig) -> list[Takeover]:
    """Write the report and print it.

    Args:
        config: What to judge.

    Returns:
        Every takeover, in the order of the data set.

    Raises:
        DataError: Prior or data set cannot be read, or nobody took over.
    """
    path = Path(config.prior)
    with claimed(config.out, "conure data takeovers", "file") as out:
        data = load_demonstrations(Path(config.data))
        found = find_takeovers(load_prior(path), data, config.quantile)
        if not found:
            raise DataError(
                f"{config.data} holds no takeover: nobody acted in place of a policy; record some"
                " with conure up graph=policy and a pad, and import them"
            )
        usual = prior_note(path).get(HELD_OUT)
        counts = Counter(takeover.why for takeover in found)
        write_json(
            out,
            {
                "data": config.data,
                "prior": config.prior,
                "radius": chi_square_radius(config.quantile, data.action.shape[1]),
                "held_out_log_likelihood_p01": usual,
                "counts": dict(counts),
                "takeovers": [asdict(takeover) for takeover in found],
            },
        )
    _print(found, usual)
    return found


def find_takeovers(
    prior: Prior, data: Demonstrations, quantile: float, features: Tensor | None = None
) -> list[Takeover]:
    """Judge every interval in which a person acted in place of a policy.

    Args:
        prior: Over single actions.
        data: The data set.
        quantile: Of chi-square; a |z| beyond its root is large.
        features: Of every step, shape (n, F); None: computed from the images of these episodes.

    Returns:
        One for each interval, in the order of the data set; none if nobody took over.
    """
    radius = chi_square_radius(quantile, prior.latent_dim)
    found = []
    for episode, info in enumerate(data.episodes):
        if info.source != TAKEOVER or not person_steps(data, episode).any():
            continue
        known = None if features is None else features[data.steps_of(episode)]
        inverted = invert_episode(prior, data, episode, known)
        norms = np.linalg.norm(inverted.z, axis=1)
        for first, end in info.operator:
            mine = slice(first, end)
            norm = float(np.median(norms[mine]))
            found.append(
                Takeover(
                    episode=episode,
                    first=first,
                    end=end,
                    latent_norm=norm,
                    beyond_share=float((norms[mine] > radius).mean()),
                    log_likelihood=float(np.median(inverted.log_likelihood[mine])),
                    why=LACKS_SKILL if norm > radius else CHOSE_BADLY,
                )
            )
    return found


@torch.no_grad()
def invert_episode(
    prior: Prior, data: Demonstrations, episode: int, features: Tensor | None = None
) -> Inverted:
    """Invert the actions of an episode.

    Args:
        prior: Over single actions.
        data: The data set, with images.
        episode: Number of the episode.
        features: Of its steps, shape (T, F); None: computed from its images.

    Returns:
        z and log-likelihood of every action.
    """
    steps = data.steps_of(episode)
    if features is None:
        features = batch_encoder(prior.encoder)(data.image[steps], data.proprio[steps])
    actions = torch.from_numpy(data.action[steps])
    z, likelihood = prior.flow.encode_with_log_prob(actions, features.cpu())
    return Inverted(z.numpy(), likelihood.numpy())


def _print(found: list[Takeover], usual: float | None) -> None:
    beside = "" if usual is None else f"; 1 % of held-out actions lie below {usual:.1f} nats"
    table = Table(title=f"{len(found)} takeovers{beside}")
    for name in ("episode", "steps", "median |z|", "large", "log-likelihood", "why"):
        table.add_column(name)
    for takeover in found:
        row: list[Any] = [
            takeover.episode,
            f"{takeover.first} to {takeover.end - 1}",
            f"{takeover.latent_norm:.1f}",
            f"{takeover.beyond_share:.0%}",
            f"{takeover.log_likelihood:.1f}",
            takeover.why,
        ]
        table.add_row(*map(str, row))
    Console().print(table)
    for why, count in sorted(Counter(takeover.why for takeover in found).items()):
        print(f"{count} of {len(found)}: {why}")
