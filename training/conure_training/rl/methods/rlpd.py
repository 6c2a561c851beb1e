"""`method=rlpd`: soft actor-critic on frozen features, half of each batch demonstrated, an ensemble
of critics, many updates a step.

Source: Ball et al., Efficient Online Reinforcement Learning with Offline Data, ICML 2023.
"""

from dataclasses import dataclass, field
from typing import Any

from conure_core.config.values import COUNT, COUNT_OR_NONE, bounds
from conure_training.rl.config import RunConfig
from conure_training.rl.learners.feature_sac import (
    FeatureSac,
    FeatureSacConfig,
    method_on_features,
)
from conure_training.rl.method import Method
from conure_training.rl.prior_features import Features


@dataclass(frozen=True)
class RlpdConfig(FeatureSacConfig):
    """Of RLPD: where it differs from the other methods on features."""

    name: str = "rlpd"
    updates_per_step: float = field(default=5.0, metadata=bounds(0.0))
    ensemble_size: int = field(default=5, metadata=COUNT)
    target_subset: int = field(default=2, metadata=COUNT_OR_NONE)
    actor_on_mean: bool = True
    actor_period: int = field(default=5, metadata=COUNT)


def build(run: RunConfig, config: RlpdConfig, env: Any) -> Method:
    """Build RLPD, which sees what latent SAC sees.

    The actor sees features, the critics the simulator's state; the demonstrations are the same.

    Args:
        run: The run.
        config: Settings of soft actor-critic.
        env: The run's environment.

    Returns:
        The method, its policy untrained.
    """
    features = Features(run, env, config.critic)
    learner = FeatureSac(
        features.policy(config.hidden_dims),
        features.critic_dim,
        features.action_dim,
        config,
        run.seed,
        critic_input=config.critic,
    )
    return method_on_features(features, learner)
