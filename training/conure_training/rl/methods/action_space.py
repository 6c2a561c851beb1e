"""Rivals that learn in the action space on the prior's frozen features, with demonstrations in the replay."""

from typing import Any

from conure_training.rl.config import RlConfig
from conure_training.rl.loop import Method
from conure_training.rl.methods.feature_sac import FeatureSac, PriorExploreSac
from conure_training.rl.methods.prior_features import Features


def build_rlpd(config: RlConfig, env: Any) -> Method:
    """RLPD: half of each batch demonstrated, an ensemble of critics with LayerNorm, many updates a step.

    Sees what latent SAC sees: features for the actor, the simulator's state for the critics, the same demonstrations.
    """
    features = Features(config, env)
    policy = features.policy(config.rlpd.hidden_dims)
    learner = FeatureSac(
        policy, features.critic_dim, features.action_dim, config.rlpd, config.seed, critic_input=config.critic
    )
    save = features.saving("features", lambda: learner.averaged_policy, config.rlpd.hidden_dims)
    return Method(learner, features.mixed_replay(), features.observe, save)


def build_prior_explore(config: RlConfig, env: Any) -> Method:
    """SAC that takes an action of the prior's with probability `prior_explore_epsilon`, while it is trained.

    Sees what latent SAC sees; the demonstrations, which the original leaves to the prior, are in its replay too.
    """
    features = Features(config, env)
    learner = PriorExploreSac(
        features.prior.flow,
        config.prior_explore_epsilon,
        features.policy(config.features.hidden_dims),
        features.critic_dim,
        features.action_dim,
        config.features,
        config.seed,
        critic_input=config.critic,
    )
    save = features.saving("features", lambda: learner.averaged_policy, config.features.hidden_dims)
    return Method(learner, features.mixed_replay(), features.observe, save)
