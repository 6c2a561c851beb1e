"""`method=scratch`: soft actor-critic on images, without demonstrations or prior, which it is
compared with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conure_core.config.values import COUNT
from conure_core.contract.spec import Contract
from conure_training.nn.gaussian_policy import GaussianPolicy, tanh_normal_log_prob
from conure_training.nn.image_encoder import SmallImageEncoder
from conure_training.nn.normalizer import Normalizer
from conure_training.nn.weights import seeded
from conure_training.policies.module import ModulePolicy, PolicyModule
from conure_training.rl.config import RunConfig
from conure_training.rl.learners.actor_critic import ActorCritic, LearnerConfig, Observation
from conure_training.rl.method import Method
from conure_training.rl.replay import Field, Replay, Source
from conure_training.runtime.torch_files import save_torch


@dataclass(frozen=True)
class ScratchConfig(LearnerConfig):
    """SAC as published, but for the critics on the simulator's state, which only help it."""

    reads = ()
    name: str = "scratch"
    target_entropy_per_dim: float = -1.0
    """Nats that alpha steers the policy's entropy to, an action's dimension."""
    image_features: int = field(default=64, metadata=COUNT)
    """Values that the encoder makes of an image."""


class ImagePolicy(nn.Module):
    """N(mean, diag std^2), unsquashed, from images (B, H, W, 3) uint8 and proprioception (B, P);
    N(0, I) at first.
    """

    def __init__(
        self, image_size: int, proprio_dim: int, action_dim: int, config: ScratchConfig
    ) -> None:
        super().__init__()
        self.encoder = SmallImageEncoder(image_size, image_size, config.image_features)
        self.normalize = Normalizer(proprio_dim)
        self.head = GaussianPolicy(
            config.image_features + proprio_dim, action_dim, config.hidden_dims
        )

    def forward(self, image: Tensor, proprio: Tensor) -> tuple[Tensor, Tensor]:
        """Give the distribution of the unsquashed action.

        Args:
            image: Shape (B, H, W, 3), uint8.
            proprio: Shape (B, P).

        Returns:
            Mean and standard deviation, each (B, A).
        """
        mean_and_std: tuple[Tensor, Tensor] = self.head(
            torch.cat([self.encoder(image), self.normalize(proprio)], dim=-1)
        )
        return mean_and_std


class Sac(ActorCritic):
    """a = tanh(u), u ~ N(mean, std^2) of image and proprioception; the penalty is log p(a).

    Observations: "image" (B, H, W, 3) uint8, "proprio" (B, P), for the actor, whose encoder is
    trained end to end; "state" (B, S) for the critics alone.
    """

    def __init__(
        self,
        image_size: int,
        proprio_dim: int,
        state_dim: int,
        action_dim: int,
        config: ScratchConfig | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        config = config or ScratchConfig()
        with seeded(seed):
            policy = ImagePolicy(image_size, proprio_dim, action_dim, config)
        target_log_prob = -config.target_entropy_per_dim * action_dim
        super().__init__(config, policy, state_dim, action_dim, target_log_prob, seed, device)

    def fit_normalizers(self, source: Source) -> None:
        super().fit_normalizers(source)
        self.policy.normalize.fit(source.rows("proprio"))  # type: ignore[union-attr, operator]

    def _decide(self, observation: Observation, noise: Tensor | None) -> Tensor:
        image, proprio = (observation[name].to(self.device) for name in ("image", "proprio"))
        return OnImages.decide(self.policy, image, proprio, noise)

    def _propose(self, observation: Observation) -> tuple[Tensor, Tensor]:
        mean, std = self.policy(observation["image"], observation["proprio"])
        noise = self._noise(len(mean), self.generator)
        u = mean + std * noise
        return torch.tanh(u), tanh_normal_log_prob(u, noise, std)


class OnImages(PolicyModule):
    """a = tanh(mean + std * noise), of an ImagePolicy."""

    policy: ImagePolicy

    @staticmethod
    def decide(policy: nn.Module, image: Tensor, proprio: Tensor, noise: Tensor | None) -> Tensor:
        """Act, for the learner and the exported module alike.

        Args:
            policy: An ImagePolicy.
            image: Shape (B, H, W, 3), uint8.
            proprio: Shape (B, P).
            noise: Standard normal, shape (B, A); None: the mean action.

        Returns:
            Actions, shape (B, A), in [-1, 1].
        """
        mean, std = policy(image, proprio)
        return torch.tanh(mean if noise is None else mean + std * noise)

    def forward(self, image: Tensor, proprio: Tensor, noise: Tensor) -> Tensor:
        return self.decide(self.policy, image, proprio, noise)


def save_policy(
    path: Path, policy: nn.Module, contract: Contract, config: ScratchConfig, note: dict[str, Any]
) -> None:
    """Write an ImagePolicy, whole or not at all.

    Args:
        path: The file.
        policy: The ImagePolicy.
        contract: What the policy sees and does.
        config: Its sizes are in there.
        note: Kept beside the weights, for people.
    """
    data = {"kind": "scratch", "contract": contract.to_dict(), "note": note}
    save_torch(path, {**data, "sac": config.__dict__, "policy": policy.state_dict()})


def load_policy(data: Mapping[str, Any]) -> ModulePolicy:
    """What `save_policy` wrote."""
    contract = Contract.from_dict(data["contract"])
    image_size = contract.observation.image.shape[0]
    proprio_dim = contract.observation.proprio.shape[0]
    action_dim = contract.action.values.shape[0]
    config = ScratchConfig(**data["sac"])
    policy = ImagePolicy(image_size, proprio_dim, action_dim, config)
    policy.load_state_dict(data["policy"])
    return ModulePolicy(OnImages(policy=policy).eval().requires_grad_(False), contract)


def build(run: RunConfig, config: ScratchConfig, env: Any) -> Method:
    """Build SAC on images, its replay empty.

    The actor sees image and proprioception, its encoder is trained with it. The critics see the
    simulator's state.

    Args:
        run: The run.
        config: Settings of soft actor-critic.
        env: The run's environment.

    Returns:
        The method, its policy untrained.
    """
    shapes = {name: space.shape for name, space in env.observation_space.items()}
    action_dim = env.action_space.shape[0]
    learner = Sac(
        run.image_size, shapes["proprio"][0], shapes["state"][0], action_dim, config, run.seed
    )
    fields = {
        name: Field(shape, torch.uint8 if name == "image" else torch.float32)
        for name, shape in shapes.items()
    }

    def observe(observation: dict[str, NDArray]) -> dict[str, Tensor]:
        return {name: torch.from_numpy(value) for name, value in observation.items()}

    def save(path: Path, note: dict[str, Any]) -> None:
        save_policy(path, learner.averaged_policy, env.contract, config, note)

    return Method(learner, Replay(fields, action_dim, run.replay), observe, save)
