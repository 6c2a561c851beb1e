"""What the methods on the prior's frozen features share: observations, and demonstrations in the replay."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from conure_training.dataset import load_demonstrations
from conure_training.demonstrated import demonstrated, encoding_by
from conure_training.prior import Prior, load_prior
from conure_training.replay import Episode, Field, MixedReplay, Replay
from conure_training.rl_config import RlConfig

WHOLE_EPISODE = 1000


@dataclass(frozen=True)
class Features:
    """A prior's frozen features of what is seen, beside the simulator's state."""

    prior: Prior
    state_dim: int

    @property
    def dim(self) -> int:
        """Length of the features."""
        return self.prior.encoder.feature_dim

    @property
    def fields(self) -> dict[str, Field]:
        """What a replay stores."""
        return {"features": Field((self.dim,)), "state": Field((self.state_dim,))}

    def observe(self, observation: dict[str, NDArray]) -> dict[str, Tensor]:
        """The environment's observation, encoded once."""
        return {"features": self.prior.features(observation)[0], "state": torch.from_numpy(observation["state"])}

    def demonstrated(self, config: RlConfig) -> list[Episode]:
        """The task's demonstrations, told again as failures where `relabel` asks for it."""
        data = load_demonstrations(Path(config.demos))
        relabel_seed = config.seed if config.relabel else None
        return demonstrated(data, config.task, encoding_by(self.prior.encoder), relabel_seed)

    def mixed_replay(self, config: RlConfig) -> MixedReplay:
        """The learner's own episodes, mixed with the demonstrations; theirs are whole-episode returns."""
        online = Replay(self.fields, self.prior.action_dim, config.replay)
        return MixedReplay(online, replay_of(self.demonstrated(config), config), config.demonstration_share)


def load_features(config: RlConfig, env: Any) -> Features:
    """Raises: DataError if the prior cannot be read; SpecMismatch if it is for another arm or image size."""
    return Features(load_prior(Path(config.prior), env.contract), env.observation_space["state"].shape[0])


def replay_of(episodes: list[Episode], config: RlConfig) -> Replay:
    """A buffer that holds exactly these episodes, at least one, with whole-episode returns."""
    first = episodes[0]
    fields = {name: Field(tuple(rows.shape[1:]), rows.dtype) for name, rows in first.observations.items()}
    capacity = sum(len(episode.action) + 1 for episode in episodes)
    size = replace(config.replay, capacity=capacity, n_step=WHOLE_EPISODE)
    replay = Replay(fields, first.action.shape[1], size)
    for episode in episodes:
        replay.add(episode)
    return replay
