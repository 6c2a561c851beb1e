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
    """Build behavior cloning: the steps are spent on rollouts, and nothing is learned from them.

    Args:
        run: The run.
        config: The policy's sizes, and how it is cloned.
        env: The run's environment.

    Returns:
        The method, its policy cloned.
    """
    sac = FeatureSacConfig(
        hidden_width=config.hidden_width,
        hidden_layers=config.hidden_layers,
        updates_per_step=0.0,
    )
    return build_cloned_sac(Features(run, env), sac, config.cloning)


def build_cloned_sac(
    features: Features, sac: FeatureSacConfig, cloning: PretrainingConfig
) -> Method:
    """Clone a policy, and build the soft actor-critic that starts from it.

    Args:
        features: The run's features and demonstrations.
        sac: Settings of soft actor-critic.
        cloning: How the policy is cloned.

    Returns:
        The method, its policy cloned.
    """
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
