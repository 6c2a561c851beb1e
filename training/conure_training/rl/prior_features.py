"""What the methods on the prior's frozen features share: observations, demonstrations, replay,
saving.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conure_training.data.demonstrations import (
    Demonstrations,
    load_demonstrations,
    require_state,
)
from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.nn.weights import seeded
from conure_training.policies.module import PolicyModule
from conure_training.prior.feature_cache import Encoded, encode_demonstrations
from conure_training.prior.model import Prior, load_prior
from conure_training.rl.config import RunConfig
from conure_training.rl.demonstrations import build_episodes
from conure_training.rl.interventions import (
    BlendedSource,
    Interventions,
    WeightedReplay,
    load_interventions,
)
from conure_training.rl.learners.pretraining import Module, train_once
from conure_training.rl.policy_file import save_module
from conure_training.rl.replay import Episode, Field, MixedReplay, Replay, ReplayConfig

WHOLE_EPISODE = 1000


def _as_it_is(episode: Episode) -> Episode:
    return episode


@dataclass(frozen=True)
class Features:
    """A prior's frozen features of what is seen, beside the simulator's state, and the run's
    demonstrations.

    Raises: DataError if the prior cannot be read; SpecMismatch if it is for another arm or image
    size.
    """

    config: RunConfig
    """The run."""
    env: Any
    """Its environment."""
    critic: str = "state"
    """What the critics see: the simulator's state, or these features."""
    images: bool = False
    """Whether the demonstrations come with their images."""

    @cached_property
    def prior(self) -> Prior:
        """The prior, frozen."""
        return load_prior(Path(self.config.prior), self.env.contract)

    @cached_property
    def data(self) -> Demonstrations:
        """The demonstrations of every task: what is learned before RL learns from all, as a prior
        does.
        """
        return load_demonstrations(Path(self.config.demos), images=self.images)

    @cached_property
    def encoded(self) -> Encoded:
        """Features of `data`."""
        return encode_demonstrations(Path(self.config.prior), self.prior, Path(self.config.demos))

    @property
    def demonstrated_features(self) -> Tensor:
        """Of every step of `data`, (n, F)."""
        return self.encoded.steps

    @property
    def demonstrated_actions(self) -> Tensor:
        """Of every step of `data`, (n, A)."""
        return torch.from_numpy(self.data.action)

    @property
    def dim(self) -> int:
        """Length of the features."""
        return self.prior.encoder.feature_dim

    @property
    def action_dim(self) -> int:
        """Dimension of actions and latents."""
        return self.prior.action_dim

    @property
    def state_dim(self) -> int:
        """Length of the simulator's state."""
        return int(self.env.observation_space["state"].shape[0])

    @property
    def critic_dim(self) -> int:
        """Length of what the critics see."""
        return self.state_dim if self.critic == "state" else self.dim

    @property
    def slots(self) -> int:
        """Slots that a policy attends to."""
        return self.prior.size.slots if self.config.attention else 0

    @property
    def fields(self) -> dict[str, Field]:
        """What a replay stores."""
        return {"features": Field((self.dim,)), "state": Field((self.state_dim,))}

    def observe(self, observation: dict[str, NDArray]) -> dict[str, Tensor]:
        """The environment's observation, encoded once."""
        return {
            "features": self.prior.features(observation)[0],
            "state": torch.from_numpy(observation["state"]),
        }

    def task_demonstrations(self) -> list[Episode]:
        """The task's own, and again as failures where `relabel` asks for it."""
        relabel_seed = self.config.seed if self.config.relabel else None
        task = self.config.task
        for is_needed, who in (
            (self.critic == "state", "method.critic=state learns from"),
            (self.config.relabel, "relabel=true finds other targets in"),
        ):
            if is_needed and task in self.data.tasks:
                require_state(self.data, task, self.state_dim, f"{self.config.demos}: {who}")
        return build_episodes(
            self.data, task, self.encoded, relabel_seed, self.images, self.state_dim
        )

    @cached_property
    def interventions(self) -> Interventions | None:
        """The task's takeovers; None where the run has none."""
        config = self.config
        if not config.interventions:
            return None
        return load_interventions(
            Path(config.interventions),
            self.prior,
            config.task,
            self.state_dim,
            config.intervention_weighting,
            config.intervention_lead_steps,
            self.critic == "state",
        )

    def mixed_replay(self, stored: Callable[[Episode], Episode] = _as_it_is) -> MixedReplay:
        """The learner's own episodes, mixed with the task's demonstrations, which are whole
        returns, and with takeovers, if the run has some.

        Args:
            stored: Gives the form in which a recorded episode is stored.
        """
        config = self.config
        mixed = build_mixed_replay([stored(one) for one in self.task_demonstrations()], config)
        taken = self.interventions
        if taken is not None:
            episodes = [stored(one) for one in taken.episodes]
            kept = _replay_of(episodes, config.replay)
            weighted = WeightedReplay(kept, taken.weights)
            share = config.intervention_share
            mixed.demonstrations = BlendedSource(mixed.demonstrations, weighted, share)
        return mixed

    def metrics(self) -> dict[str, Any]:
        """What the run's record says of its takeovers; empty where it has none."""
        taken = self.interventions
        return {} if taken is None else {"interventions": taken.metrics}

    def policy(self, hidden_dims: tuple[int, ...]) -> GaussianPolicy:
        """A policy on features at N(0, I)."""
        with seeded(self.config.seed):
            return GaussianPolicy(self.dim, self.action_dim, hidden_dims, self.slots)

    def train_once(self, module: Module, train: Callable[[Module], None]) -> Module:
        """Train a module, or read it from the run's `out`, where it is kept until the run's end.

        Args:
            module: The untrained module; trained or loaded in place.
            train: Trains it in place.

        Returns:
            The module, frozen.
        """
        path = Path(self.config.out) / "pretrained.pt"
        return train_once(path, self.config.identity(), module, train)

    def make_saver(
        self,
        kind: str,
        module: Callable[[], PolicyModule],
        hidden: tuple[int, ...],
        radius: float = np.inf,
        **more_sizes: Any,
    ) -> Callable[[Path, dict[str, Any]], None]:
        """Make the function that writes `policy.pt`.

        Args:
            kind: Names the loader, see rl.registry.
            module: Gives the module to save, as it is at the time of the call.
            hidden: Widths of the policy's hidden layers.
            radius: Bound on what the policy draws; infinity: none.
            **more_sizes: Sizes of the module's other parts, by name.

        Returns:
            A function of the path and a note.
        """
        sizes = {
            "prior": self.prior.size.__dict__,
            "hidden": list(hidden),
            "slots": self.slots,
            "radius": radius,
        }

        def save(path: Path, note: dict[str, Any]) -> None:
            save_module(path, kind, module(), self.prior.contract, {**sizes, **more_sizes}, note)

        return save


def build_mixed_replay(
    episodes: list[Episode],
    config: RunConfig,
    steps_an_action: int = 1,
    n_step: int = WHOLE_EPISODE,
) -> MixedReplay:
    """Build a replay for the learner's own episodes beside one that holds exactly these.

    Demonstrated returns are whole unless `n_step` says otherwise: they bootstrap from nothing
    before the episode's end.

    Args:
        episodes: Demonstrated, at least one; their observations say what is stored.
        config: The run, for the replay's settings and the demonstrated share of a batch.
        steps_an_action: Environment steps of one action; the discount is that of so many.
        n_step: Of the demonstrated returns.

    Returns:
        The replay, with nothing online yet.
    """
    size = replace(config.replay, gamma=config.replay.gamma**steps_an_action)
    kept = _replay_of(episodes, replace(size, n_step=n_step))
    action_dim = episodes[0].action.shape[1]
    online = Replay(_fields_of(episodes[0]), action_dim, size)
    return MixedReplay(online, kept, config.demonstration_share)


def _replay_of(episodes: list[Episode], config: ReplayConfig) -> Replay:
    """A replay that holds exactly these episodes."""
    rows = sum(len(episode.action) + 1 for episode in episodes)
    action_dim = episodes[0].action.shape[1]
    kept = Replay(_fields_of(episodes[0]), action_dim, replace(config, capacity=rows))
    for episode in episodes:
        kept.add(episode)
    return kept


def _fields_of(episode: Episode) -> dict[str, Field]:
    return {
        name: Field(tuple(rows.shape[1:]), rows.dtype)
        for name, rows in episode.observations.items()
    }
