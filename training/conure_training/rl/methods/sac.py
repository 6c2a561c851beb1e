"""Soft actor-critic from scratch, on images: what the behavioral prior is compared with."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from conure_training.nn.networks import GaussianPolicy, Normalizer, SmallImageEncoder, seeded
from conure_training.rl.actor_critic import ActorCritic, LearnerConfig, Observation
from conure_training.rl.replay import Source


@dataclass(frozen=True)
class SacConfig(LearnerConfig):
    """SAC as published, but for the critics on the simulator's state, which only help it."""

    target_entropy_per_dim: float = -1.0  # nats
    image_features: int = 64


class ImagePolicy(nn.Module):
    """N(mean, diag std^2), unsquashed, from images (B, H, W, 3) uint8 and proprioception (B, P); N(0, I) at first."""

    def __init__(self, image_size: int, proprio_dim: int, action_dim: int, config: SacConfig) -> None:
        super().__init__()
        self.encoder = SmallImageEncoder(image_size, image_size, config.image_features)
        self.normalize = Normalizer(proprio_dim)
        self.head = GaussianPolicy(config.image_features + proprio_dim, action_dim, config.hidden_dims)

    def forward(self, image: Tensor, proprio: Tensor) -> tuple[Tensor, Tensor]:
        mean_and_std: tuple[Tensor, Tensor] = self.head(
            torch.cat([self.encoder(image), self.normalize(proprio)], dim=-1)
        )
        return mean_and_std


def tanh_normal_log_prob(u: Tensor, noise: Tensor, std: Tensor) -> Tensor:
    """Log-density of a = tanh(u), nats, (B,), for u = mean + std * noise, each (B, A).

    log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)), which does not underflow.
    Source: Haarnoja et al., arXiv 1812.05905, appendix C.
    """
    normal = -0.5 * noise.square() - std.log() - 0.5 * math.log(2.0 * math.pi)
    squash = 2.0 * (math.log(2.0) - u - nn.functional.softplus(-2.0 * u))
    return (normal - squash).sum(dim=-1)


class Sac(ActorCritic):
    """a = tanh(u), u ~ N(mean, std^2) of image and proprioception; the cost of an action is its log-probability.

    Observations: "image" (B, H, W, 3) uint8, "proprio" (B, P), for the actor, whose encoder is trained end to end;
    "state" (B, S) for the critics alone.
    """

    def __init__(
        self,
        image_size: int,
        proprio_dim: int,
        state_dim: int,
        action_dim: int,
        config: SacConfig | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        config = config or SacConfig()
        with seeded(seed):
            policy = ImagePolicy(image_size, proprio_dim, action_dim, config)
        target_log_prob = -config.target_entropy_per_dim * action_dim
        super().__init__(config, policy, state_dim, action_dim, target_log_prob, seed, device)

    def fit_normalizers(self, source: Source) -> None:
        super().fit_normalizers(source)
        self.policy.normalize.fit(source.rows("proprio"))  # type: ignore[union-attr, operator]

    def _decide(self, observation: Observation, noise: Tensor | None) -> Tensor:
        mean, std = self.policy(observation["image"].to(self.device), observation["proprio"].to(self.device))
        return torch.tanh(mean if noise is None else mean + std * noise)

    def _propose(self, observation: Observation) -> tuple[Tensor, Tensor]:
        mean, std = self.policy(observation["image"], observation["proprio"])
        noise = self._noise(len(mean), self.generator)
        u = mean + std * noise
        return torch.tanh(u), tanh_normal_log_prob(u, noise, std)
