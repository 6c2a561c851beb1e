"""Soft actor-critic in the action space on frozen features, which many methods are made of; and its
policy on a prior's features.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from conure_training.nn.gaussian_policy import GaussianPolicy, tanh_normal_log_prob
from conure_training.policies.module import FeatureModule, ModulePolicy, PolicyModule
from conure_training.rl.learners.actor_critic import (
    ActorCritic,
    FeatureLearnerConfig,
    Observation,
)
from conure_training.rl.method import Method
from conure_training.rl.policy_file import load_module, rebuild_policy, rebuild_prior
from conure_training.rl.prior_features import Features
from conure_training.rl.replay import Source


@dataclass(frozen=True)
class FeatureSacConfig(FeatureLearnerConfig):
    """Of soft actor-critic on features."""

    target_entropy_per_dim: float = -1.0
    """Nats that alpha steers the policy's entropy to, an action's dimension."""


class FeatureSac(ActorCritic):
    """a = tanh(u), u ~ N(mean(features), std(features)^2); the penalty is log p(a).

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
        """Make the learner of a policy on features.

        Args:
            policy: The policy on features (B, F).
            state_dim: Values of what the critics see.
            action_dim: Values of an action, A.
            config: Settings; None: the defaults.
            seed: Of the learner's generator and the critics' weights.
            device: Where networks and batches live.
            critic_input: Name of the observation that the critics see.
            pretrained: The policy knows its input scales already, and they are not fitted again.
        """
        config = config or FeatureSacConfig()
        target = -config.target_entropy_per_dim * action_dim
        super().__init__(config, policy, state_dim, action_dim, target, seed, device, critic_input)
        self.pretrained = pretrained

    def fit_normalizers(self, source: Source) -> None:
        super().fit_normalizers(source)
        if not self.pretrained:
            self.policy.fit_normalizers(source.rows("features"))  # type: ignore[operator]

    def _decide(self, observation: Observation, noise: Tensor | None) -> Tensor:
        return act_on_features(self.policy, observation["features"].to(self.device), noise)

    def _propose(self, observation: Observation) -> tuple[Tensor, Tensor]:
        mean, std = self.policy(observation["features"])
        return sample_squashed(mean, std, self._noise(len(mean), self.generator))


def act_on_features(policy: nn.Module, features: Tensor, noise: Tensor | None) -> Tensor:
    """Act by a GaussianPolicy on features: a = tanh(mean + std * noise).

    Args:
        policy: A GaussianPolicy.
        features: Shape (B, F).
        noise: Standard normal, shape (B, A); None: the mean action.

    Returns:
        Actions, shape (B, A), in [-1, 1].
    """
    action: Tensor = torch.tanh(policy.draw(features, noise))  # type: ignore[operator]
    return action


def sample_squashed(mean: Tensor, std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Sample a = tanh(mean + std * noise), differentiable in mean and std.

    Args:
        mean: Of u = atanh(a), shape (B, A).
        std: Of u, shape (B, A), above 0.
        noise: Standard normal, shape (B, A).

    Returns:
        Actions (B, A), and log p(a) in nats, (B,).

    Source: Haarnoja et al., arXiv 1812.05905, appendix C (enforcing action bounds).
    """
    u = mean + std * noise
    return torch.tanh(u), tanh_normal_log_prob(u, noise, std)


class OnPriorFeatures(FeatureModule):
    """a = tanh(mean + std * noise) on a prior's features."""

    policy: GaussianPolicy

    def decide(self, features: Tensor, noise: Tensor) -> Tensor:
        return act_on_features(self.policy, features, noise)


def load_policy(data: Mapping[str, Any]) -> ModulePolicy:
    """See policy_file."""
    prior = rebuild_prior(data)
    policy = rebuild_policy(data, prior.encoder.feature_dim, prior.action_dim)
    return load_module(OnPriorFeatures(prior=prior, policy=policy), data)


def method_on_features(features: Features, learner: FeatureSac) -> Method:
    """Build the method that learns by this learner, the task's demonstrations in its replay.

    Args:
        features: The run's features and demonstrations.
        learner: The learner, whose averaged policy is saved.

    Returns:
        The method, for the loop.
    """

    def module() -> PolicyModule:
        return OnPriorFeatures(prior=features.prior, policy=learner.averaged_policy)

    save = features.make_saver("features", module, learner.config.hidden_dims)
    return Method(learner, features.mixed_replay(), features.observe, save)
