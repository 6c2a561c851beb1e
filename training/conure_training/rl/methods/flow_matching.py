"""A flow-matching policy, trained on demonstrations and steered by its noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from conure_training.nn.networks import Normalizer, mlp
from conure_training.rl.actor_critic import require
from conure_training.rl.pretraining import PretrainingConfig, pretrain


@dataclass(frozen=True)
class FlowMatchingConfig(PretrainingConfig):
    """`integration_steps`: of Euler's method, from noise to action."""

    steps: int = 6000
    integration_steps: int = 8
    hidden_width: int = 256
    hidden_layers: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.integration_steps >= 1, self, "integration_steps", "a whole number from 1")


class FlowMatchingPolicy(nn.Module):
    """dx/dt = v(x, t; features) from x(0) = w ~ N(0, I) to the action x(1), by Euler's method in few steps.

    Training: minimise |v((1 - t) w + t a, t; features) - (a - w)|^2 over t ~ U(0, 1), w ~ N(0, I), demonstrated a.
    Source: Lipman et al., Flow Matching for Generative Modeling, arXiv 2210.02747 (the straight path).
    """

    def __init__(self, feature_dim: int, action_dim: int, hidden_dims: Sequence[int], integration_steps: int) -> None:
        super().__init__()
        self.normalize = Normalizer(feature_dim)
        self.velocity = mlp([feature_dim + action_dim + 1, *hidden_dims, action_dim])
        self.integration_steps = integration_steps

    def decode(self, z: Tensor, context: Tensor) -> Tensor:
        """Actions (B, A) for noise (B, A) and features (B, F)."""
        seen, x = self.normalize(context), z
        for step in range(self.integration_steps):
            time = x.new_full((len(x), 1), step / self.integration_steps)
            x = x + self._velocity(x, time, seen) / self.integration_steps
        return x.clamp(-1.0, 1.0)

    def loss(self, features: Tensor, action: Tensor, generator: torch.Generator) -> Tensor:
        """See the class."""
        noise = torch.randn(action.shape, generator=generator)
        time = torch.rand(len(action), 1, generator=generator)
        found = self._velocity((1.0 - time) * noise + time * action, time, self.normalize(features))
        return (found - (action - noise)).square().sum(dim=-1).mean()

    def _velocity(self, x: Tensor, time: Tensor, seen: Tensor) -> Tensor:
        velocity: Tensor = self.velocity(torch.cat([seen, x, time], dim=-1))
        return velocity


def train_flow_matching(
    policy: FlowMatchingPolicy, features: Tensor, action: Tensor, config: FlowMatchingConfig, seed: int
) -> None:
    """On demonstrated features (n, F) and actions (n, A); leaves it frozen."""
    policy.normalize.fit(features, least_deviation=0.05)

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        seen = features[rows]
        seen = seen + config.feature_noise * torch.randn(seen.shape, generator=generator)
        return policy.loss(seen, action[rows], generator)

    pretrain("flow matching", policy, loss, len(features), config, seed)
