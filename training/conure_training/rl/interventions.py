"""A person's takeovers as episodes of a replay, and how often each of their steps is drawn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conure_core.errors import DataError
from conure_training.curation.takeovers import CHOSE_BADLY, LACKS_SKILL, find_takeovers
from conure_training.data.demonstrations import (
    Demonstrations,
    load_demonstrations,
    require_state,
)
from conure_training.data.selection import TAKEOVER, episodes_of, person_steps
from conure_training.prior.feature_cache import Encoded, batch_encoder
from conure_training.prior.model import Prior
from conure_training.rl.demonstrations import build_episodes
from conure_training.rl.replay import Batch, Episode, Replay, Source, sample_both

LARGE_QUANTILE = 0.99
"""Of chi-square: a person's |z| beyond its root says that the prior lacks the skill."""

Mask = NDArray[np.bool_]
Weights = NDArray[np.float64]


def _people_alone(person: Mask, before: Mask) -> Weights:
    """Kelly et al., HG-DAgger, arXiv 1810.02890."""
    return _even(person)


def _people_and_policy(person: Mask, before: Mask) -> Weights:
    """Mandlekar et al., IWR, arXiv 2012.06733: both count the same, however many steps each has."""
    return _even(person) + _even(~person)


def _people_twice(person: Mask, before: Mask) -> Weights:
    """Luo et al., HIL-SERL, arXiv 2410.21845: a person's steps are in both of its buffers, the
    policy's in one.
    """
    return _even(person) + _even(np.ones_like(person))


def _nothing_before(person: Mask, before: Mask) -> Weights:
    """Liu et al., Sirius, arXiv 2211.08416: what led to a takeover hardly counts."""
    return 0.5 * _even(person) + 0.498 * _even(~person & ~before) + 0.002 * _even(before)


def _even(mask: Mask) -> Weights:
    """The same for each that is marked, in all 1; 0 if none is."""
    return mask / max(1, int(mask.sum()))


WEIGHTINGS: Mapping[str, Callable[[Mask, Mask], Weights]] = {
    "hg_dagger": _people_alone,
    "iwr": _people_and_policy,
    "hil_serl": _people_twice,
    "sirius": _nothing_before,
}
"""How often steps are drawn, by name: of masks of a person's steps and of those that led to a
takeover.
"""


@dataclass(frozen=True)
class Interventions:
    """The takeovers of a task."""

    episodes: list[Episode]
    """One for each, actions as executed."""
    weights: Tensor
    """How often each step of all of them is drawn, shape (n,); they sum to 1."""
    metrics: dict[str, Any]
    """For the run's record: how many, and why people took over."""


def load_interventions(
    folder: Path,
    prior: Prior,
    task: str,
    state_size: int,
    weighting: str,
    lead_steps: int,
    needs_state: bool,
) -> Interventions:
    """Read the takeovers of a task.

    Args:
        folder: A data set of `conure data import`.
        prior: Over single actions; it encodes the images, and judges why people took over.
        task: Name of the task.
        state_size: Values of the simulator's state; recordings, which have none, get zeros.
        weighting: One of WEIGHTINGS.
        lead_steps: Steps before a takeover that led to it.
        needs_state: Whether the critics need that state.

    Returns:
        The takeovers.

    Raises:
        DataError: There is none of the task, or they lack the state that is needed.
    """
    data = _takeovers(load_demonstrations(folder), task, folder)
    if data.proprio.shape[1:] != prior.contract.observation.proprio.shape:
        raise DataError(f"interventions={folder} is not of the arm that the prior is for")
    if needs_state:
        require_state(data, task, state_size, f"interventions={folder}: method.critic=state needs")
    encode = batch_encoder(prior.encoder)
    encoded = Encoded(
        encode(data.image, data.proprio).cpu(), encode(data.final_image, data.final_proprio).cpu()
    )
    episodes = build_episodes(data, task, encoded, None, state_size=state_size)
    ended = [
        replace(episode, terminated=info.outcome != "unknown")
        for episode, info in zip(episodes, data.episodes, strict=True)
    ]
    person = np.concatenate([person_steps(data, number) for number in range(len(data.ends))])
    before = _leads(data, lead_steps) & ~person
    weights = WEIGHTINGS[weighting](person, before)
    why = [takeover.why for takeover in find_takeovers(prior, data, LARGE_QUANTILE, encoded.steps)]
    metrics = {
        "episodes": len(ended),
        "person_steps": int(person.sum()),
        "policy_steps": int((~person).sum()),
        **{name: why.count(name) for name in (LACKS_SKILL, CHOSE_BADLY)},
    }
    return Interventions(ended, torch.from_numpy(weights / weights.sum()), metrics)


def _takeovers(data: Demonstrations, task: str, folder: Path) -> Demonstrations:
    """The episodes of the task in which a person acted in place of a policy."""
    chosen = [
        number
        for number, info in enumerate(data.episodes)
        if info.source == TAKEOVER
        and data.tasks[int(data.task[number])] == task
        and person_steps(data, number).any()
    ]
    if not chosen:
        raise DataError(
            f"interventions={folder} holds no takeover of {task}: its {len(data.ends)} episodes"
            f" are of {', '.join(data.tasks)}, by"
            f" {', '.join(sorted({info.source for info in data.episodes}))}; give demonstrations"
            " as demos="
        )
    return episodes_of(data, np.array(chosen))


def _leads(data: Demonstrations, count: int) -> Mask:
    """Steps that come at most `count` before a person took over, (n,)."""
    marked = np.zeros(len(data), np.bool_)
    for episode, info in enumerate(data.episodes):
        start = int(data.starts[episode])
        for first, _ in info.operator:
            marked[start + max(0, first - count) : start + first] = True
    return marked


class WeightedReplay:
    """A replay that is not added to, whose steps are drawn by weight."""

    def __init__(self, replay: Replay, weights: Tensor) -> None:
        """Wrap a replay.

        Args:
            replay: With its episodes.
            weights: Of each step, in the order in which they were added, shape (n,).
        """
        self._replay = replay
        self._weights = weights

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        drawn = torch.multinomial(self._weights, batch_size, True, generator=generator)
        return self._replay.transitions(drawn)

    def rows(self, name: str) -> Tensor:
        return self._replay.rows(name)


class BlendedSource:
    """Batches of which a fixed share comes from a second source."""

    def __init__(self, first: Source, second: Source, second_share: float) -> None:
        """Blend two sources.

        Args:
            first: Where the rest comes from.
            second: Where the share comes from.
            second_share: In [0, 1].
        """
        self._first = first
        self._second = second
        self._second_share = second_share

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        count = round(batch_size * self._second_share)
        return sample_both(self._first, batch_size - count, self._second, count, generator)

    def rows(self, name: str) -> Tensor:
        return torch.cat([self._first.rows(name), self._second.rows(name)])
