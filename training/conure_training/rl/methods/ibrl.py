"""`method=ibrl`: a cloned policy and SAC propose, the critics choose."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from conure_training.policies.module import ModulePolicy, PolicyModule
from conure_training.prior.model import Prior
from conure_training.rl.method import Method, RunConfig
from conure_training.rl.methods.cloned import clone_once
from conure_training.rl.methods.feature_sac import FeatureSacConfig
from conure_training.rl.methods.prior_features import Features
from conure_training.rl.methods.two_actors import (
    TwoActors,
    TwoPolicies,
    two_policies,
    untrained_two_policies,
)
from conure_training.rl.policy_file import loaded_module, untrained_prior
from conure_training.rl.pretraining import PretrainingConfig


class Ibrl(TwoActors):
    """The imitation policy proposes its mean, SAC its own action, and the critics choose between
    the two.

    Source: Hu, Mirchandani & Sadigh, IBRL, arXiv 2311.02198. Ours for fairness: its critics may see
    the simulator's state, as all do here, so the choice that acts is distilled to features (see
    Chooser).
    """

    def __init__(
        self,
        policies: TwoPolicies,
        state_dim: int,
        action_dim: int,
        config: FeatureSacConfig,
        **named: Any,
    ) -> None:
        """The policies, the first of them cloned from demonstrations."""
        policies.first.requires_grad_(False)
        target = -config.target_entropy_per_dim * action_dim
        super().__init__(policies, state_dim, action_dim, config, (0.0, target), **named)

    def _first(
        self, policies: TwoPolicies, features: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        action = torch.tanh(policies.first.draw(features, None))
        return action, action.new_zeros(len(action))


class Proposing(PolicyModule):
    """IBRL: the imitation policy's mean or SAC's action."""

    prior: Prior
    policy: TwoPolicies

    def forward(self, image: Tensor, proprio: Tensor, noise: Tensor) -> Tensor:
        features = self.prior.encoder(image, proprio)
        first, second = (
            self.policy.first.draw(features, None),
            self.policy.second.draw(features, noise),
        )
        chosen: Tensor = self.policy.choose(features, torch.tanh(first), torch.tanh(second))
        return chosen


def load_policy(data: Mapping[str, Any]) -> ModulePolicy:
    """See policy_file."""
    prior = untrained_prior(data)
    policy = untrained_two_policies(data, prior.encoder.feature_dim, prior.action_dim)
    return loaded_module(Proposing(prior=prior, policy=policy), data)


def build(config: RunConfig, env: Any, sac: FeatureSacConfig, cloning: PretrainingConfig) -> Method:
    """IBRL: a cloned policy and SAC propose, the critics choose."""
    features, hidden = Features(config, env), sac.hidden_dims
    policies = two_policies(
        features.dim, features.action_dim, hidden, features.slots, float("inf"), config.seed
    )
    policies.first = clone_once(features, policies.first, cloning)
    policies.second.fit_normalizers(features.demonstrated_features)
    learner = Ibrl(
        policies,
        features.critic_dim,
        features.action_dim,
        sac,
        seed=config.seed,
        critic_input=config.critic,
        pretrained=True,
    )

    def module() -> PolicyModule:
        return Proposing(prior=features.prior, policy=learner.averaged_policy)

    save = features.saving("ibrl", module, hidden)
    return Method(learner, features.mixed_replay(), features.observe, save)
