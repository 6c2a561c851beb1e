"""`method=bc`: behavior cloning on the prior's frozen features.

Cloned are the demonstrations of every task in the data set, as the prior is trained on them.
"""

from dataclasses import dataclass, field
from typing import Any

from conure_core.config.values import COUNT
from conure_training.rl.config import MethodConfig, RunConfig
from conure_training.rl.learners.behavior_cloning import clone_once
from conure_training.rl.learners.feature_sac import (
    FeatureSac,
    FeatureSacConfig,
    method_on_features,
)
from conure_training.rl.learners.pretraining import PretrainingConfig
from conure_training.rl.method import Method
from conure_training.rl.prior_features import Features


@dataclass(frozen=True)
class BcConfig(MethodConfig):
    """Of behavior cloning."""

    name: str = "bc"
    hidden_width: int = field(default=256, metadata=COUNT)
    """Width of the policy's hidden layers."""
    hidden_layers: int = field(default=2, metadata=COUNT)
    """How many there are."""
    cloning: PretrainingConfig = field(default_factory=PretrainingConfig)
    """How the policy is cloned."""


def build(run: RunConfig, config: BcConfig, env: Any) -> Method:
    """The steps are spent on rollouts alone, and nothing is learned from them."""
    sac = FeatureSacConfig(
        hidden_width=config.hidden_width,
        hidden_layers=config.hidden_layers,
        updates_per_step=0.0,
    )
    return cloned(Features(run, env), sac, config.cloning)


def cloned(features: Features, sac: FeatureSacConfig, cloning: PretrainingConfig) -> Method:
    """A cloned policy, from which soft actor-critic goes on."""
    policy = clone_once(features, features.policy(sac.hidden_dims), cloning).requires_grad_(True)
    learner = FeatureSac(
        policy,
        features.critic_dim,
        features.action_dim,
        sac,
        features.config.seed,
        critic_input=features.critic,
        pretrained=True,
    )
    return method_on_features(features, learner)
