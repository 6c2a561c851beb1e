"""`method=bc` and `method=bc_sac`: behavior cloning on the prior's frozen features, alone or
followed by SAC.

Cloned are the demonstrations of every task in the data set, as the prior is trained on them; the
replay of BC then SAC holds those of the run's task, as latent SAC's does.
"""

from dataclasses import replace
from typing import Any

from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.rl.behavior_cloning import clone
from conure_training.rl.method import Method, RunConfig
from conure_training.rl.methods.feature_sac import FeatureSac, FeatureSacConfig, saving_features
from conure_training.rl.methods.prior_features import Features
from conure_training.rl.pretraining import PretrainingConfig


def build_clone(
    config: RunConfig, env: Any, sac: FeatureSacConfig, cloning: PretrainingConfig
) -> Method:
    """Behavior cloning: the steps are spent on rollouts alone, and nothing is learned from them."""
    return _cloned(Features(config, env), replace(sac, updates_per_step=0.0), cloning)


def build_clone_then_sac(
    config: RunConfig, env: Any, sac: FeatureSacConfig, cloning: PretrainingConfig
) -> Method:
    """Behavior cloning, then SAC that starts from its policy."""
    return _cloned(Features(config, env), sac, cloning)


def clone_once(
    features: Features, policy: GaussianPolicy, cloning: PretrainingConfig
) -> GaussianPolicy:
    """The policy, cloned from all demonstrations; a resumed run finds it as it was."""

    def train(module: GaussianPolicy) -> None:
        seen, done = features.demonstrated_features, features.demonstrated_actions
        clone(module, seen, done, cloning, features.config.seed)

    return features.trained_once(policy, train)


def _cloned(features: Features, config: FeatureSacConfig, cloning: PretrainingConfig) -> Method:
    policy = clone_once(features, features.policy(config.hidden_dims), cloning).requires_grad_(True)
    learner = FeatureSac(
        policy,
        features.critic_dim,
        features.action_dim,
        config,
        features.config.seed,
        critic_input=features.config.critic,
        pretrained=True,
    )
    save = saving_features(features, learner, config)
    return Method(learner, features.mixed_replay(), features.observe, save)
