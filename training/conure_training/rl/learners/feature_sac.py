"""Soft actor-critic in the action space on frozen features, which many methods are made of; and its
policy on a prior's features.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from conure_training.nn.gaussian_policy import GaussianPolicy, tanh_normal_log_prob
from conure_training.policies.module import ModulePolicy, PolicyModule
from conure_training.prior.model import Prior
from conure_training.rl.learners.actor_critic import (
    ActorCritic,
    FeatureLearnerConfig,
    Observation,
)
from conure_training.rl.method import Method
from conure_training.rl.policy_file import loaded_module, untrained_policy, untrained_prior
from conure_training.rl.prior_features import Features
from conure_training.rl.replay import Source


@dataclass(frozen=True)
class FeatureSacConfig(FeatureLearnerConfig):
    """Of soft actor-critic on features."""

    target_entropy_per_dim: float = -1.0
    """Nats that alpha steers the policy's entropy to, an action's dimension."""


class FeatureSac(ActorCritic):
    """a = tanh(u), u ~ N(mean(features), std(features)^2); the cost of an action is its
    log-probability.

    Observations: "features" (B, F) for the actor; "state" (B, S), the simulator's, for the critics,
    or whatever `critic_input` names. Source: Haarnoja et al., Soft Actor-Critic Algorithms and
    Applications, arXiv 1812.05905. With half of each batch demonstrated, an ensemble and many
    updates a step it is RLPD: Ball et al., ICML 2023.
    """

    def __init__(
        self,
        policy: GaussianPolicy,
        state_dim: int,
        action_dim: int,
        config: FeatureSacConfig | None = None,
        seed: int = 0,
        device: str = "cpu",
        critic_input: str = "state",
        pretrained: bool = False,
    ) -> None:
        """`pretrained`: the policy knows its input scales already."""
        config = config or FeatureSacConfig()
        target = -config.target_entropy_per_dim * action_dim
        super().__init__(config, policy, state_dim, action_dim, target, seed, device, critic_input)
        self.pretrained = pretrained

    def fit_normalizers(self, source: Source) -> None:
        super().fit_normalizers(source)
        if not self.pretrained:
            self.policy.fit_normalizers(source.rows("features"))  # type: ignore[operator]

    def _decide(self, observation: Observation, noise: Tensor | None) -> Tensor:
        return squashed(self.policy, observation["features"].to(self.device), noise)

    def _propose(self, observation: Observation) -> tuple[Tensor, Tensor]:
        mean, std = self.policy(observation["features"])
        return squashed_sample(mean, std, self._noise(len(mean), self.generator))


def squashed(policy: nn.Module, features: Tensor, noise: Tensor | None) -> Tensor:
    """How a GaussianPolicy acts: a = tanh(mean + std * noise), (B, A); its mean for None."""
    action: Tensor = torch.tanh(policy.draw(features, noise))  # type: ignore[operator]
    return action


def squashed_sample(mean: Tensor, std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """a = tanh(mean + std * noise), (B, A), and log p(a), nats, (B,)."""
    u = mean + std * noise
    return torch.tanh(u), tanh_normal_log_prob(u, noise, std)


class OnPriorFeatures(PolicyModule):
    """a = tanh(mean + std * noise) on a prior's features."""

    prior: Prior
    policy: GaussianPolicy

    def forward(self, image: Tensor, proprio: Tensor, noise: Tensor) -> Tensor:
        return squashed(self.policy, self.prior.encoder(image, proprio), noise)


def load_policy(data: Mapping[str, Any]) -> ModulePolicy:
    """See policy_file."""
    prior = untrained_prior(data)
    policy = untrained_policy(data, prior.encoder.feature_dim, prior.action_dim)
    return loaded_module(OnPriorFeatures(prior=prior, policy=policy), data)


def method_on_features(features: Features, learner: FeatureSac) -> Method:
    """The method that learns by this learner, the task's demonstrations in its replay."""

    def module() -> PolicyModule:
        return OnPriorFeatures(prior=features.prior, policy=learner.averaged_policy)

    save = features.saving("features", module, learner.config.hidden_dims)
    return Method(learner, features.mixed_replay(), features.observe, save)
