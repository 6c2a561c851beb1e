"""Rivals that begin with behavior cloning on the prior's frozen features: BC, BC then SAC, IBRL.

All clone the demonstrations of every task in the data set, as the prior is trained on them; the replay of BC then SAC
and of IBRL holds those of the run's task, as latent SAC's does.
"""

from dataclasses import replace
from typing import Any

from conure_training.nn.networks import GaussianPolicy
from conure_training.rl.behavior_cloning import clone
from conure_training.rl.config import RlConfig
from conure_training.rl.loop import Method
from conure_training.rl.methods.feature_sac import FeatureSac, FeatureSacConfig
from conure_training.rl.methods.prior_features import Features
from conure_training.rl.methods.two_actors import Ibrl, two_policies


def build_clone(config: RlConfig, env: Any) -> Method:
    """Behavior cloning: the steps are spent on rollouts alone, and nothing is learned from them."""
    return _cloned(Features(config, env), replace(config.features, updates_per_step=0.0))


def build_clone_then_sac(config: RlConfig, env: Any) -> Method:
    """Behavior cloning, then SAC that starts from its policy."""
    return _cloned(Features(config, env), config.features)


def build_ibrl(config: RlConfig, env: Any) -> Method:
    """IBRL: a cloned policy and SAC propose, the critics choose."""
    features, hidden = Features(config, env), config.features.hidden_dims
    policies = two_policies(features.dim, features.action_dim, hidden, features.slots, float("inf"), config.seed)
    policies.first = _clone(features, policies.first)
    policies.second.fit_normalizers(features.demonstrated_features)
    learner = Ibrl(
        policies,
        features.critic_dim,
        features.action_dim,
        config.features,
        seed=config.seed,
        critic_input=config.critic,
        pretrained=True,
    )
    save = features.saving("ibrl", lambda: learner.averaged_policy, hidden)
    return Method(learner, features.mixed_replay(), features.observe, save)


def _clone(features: Features, policy: GaussianPolicy) -> GaussianPolicy:
    def train(module: GaussianPolicy) -> None:
        seen, done = features.demonstrated_features, features.demonstrated_actions
        clone(module, seen, done, features.config.cloning, features.config.seed)

    return features.trained_once(policy, train)


def _cloned(features: Features, config: FeatureSacConfig) -> Method:
    policy = _clone(features, features.policy(config.hidden_dims)).requires_grad_(True)
    learner = FeatureSac(
        policy,
        features.critic_dim,
        features.action_dim,
        config,
        features.config.seed,
        critic_input=features.config.critic,
        pretrained=True,
    )
    save = features.saving("features", lambda: learner.averaged_policy, config.hidden_dims)
    return Method(learner, features.mixed_replay(), features.observe, save)
