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
from conure_training.rl.learners.pretraining import Module, train_once
from conure_training.rl.policy_file import save_module
from conure_training.rl.replay import Episode, Field, MixedReplay, Replay

WHOLE_EPISODE = 1000


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

    def mixed_replay(self, episodes: list[Episode] | None = None) -> MixedReplay:
        """The learner's own episodes, mixed with these, or the task's demonstrations; theirs are
        whole returns.
        """
        return build_mixed_replay(episodes or self.task_demonstrations(), self.config)

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
    first = episodes[0]
    fields = {
        name: Field(tuple(rows.shape[1:]), rows.dtype) for name, rows in first.observations.items()
    }
    action_dim = first.action.shape[1]
    size = replace(config.replay, gamma=config.replay.gamma**steps_an_action)
    rows = sum(len(episode.action) + 1 for episode in episodes)
    kept = Replay(fields, action_dim, replace(size, capacity=rows, n_step=n_step))
    for episode in episodes:
        kept.add(episode)
    return MixedReplay(Replay(fields, action_dim, size), kept, config.demonstration_share)
