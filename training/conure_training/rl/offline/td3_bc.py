"""`method=td3_bc`: TD3 that is also held to the actions of the data.

    critics:  Q_i(s, a)  <-  r + gamma * min_j Q'_j(s', clip(pi'(s') + e)),  e clipped noise
    actor:    minimise  -lambda * Q_1(s, pi(s)) + |pi(s) - a|^2 / A,  lambda = alpha / mean |Q_1|

Features are scaled to mean 0 and deviation 1 over the data set.

Source: Fujimoto and Gu, A Minimalist Approach to Offline RL, arXiv 2106.06860; its code
(sfujim/TD3_BC).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from conure_core.config.values import COUNT, bounds
from conure_training.nn.deterministic_policy import DeterministicPolicy
from conure_training.policies.module import ModulePolicy
from conure_training.rl.config import RunConfig
from conure_training.rl.learners.feature_sac import OnPriorFeatures
from conure_training.rl.learners.learner import Metrics
from conure_training.rl.method import Method
from conure_training.rl.offline.data import OfflineData
from conure_training.rl.offline.learner import (
    SEEN,
    DeterministicLearner,
    OfflineConfig,
    make_actor,
)
from conure_training.rl.policy_file import load_module, rebuild_prior
from conure_training.rl.replay import Batch


@dataclass(frozen=True)
class Td3BcConfig(OfflineConfig):
    """Of TD3+BC."""

    name: str = "td3_bc"
    alpha: float = field(default=2.5, metadata=bounds(0.0))
    """What the critic weighs against the data's actions; 0: behavior cloning."""
    target_noise: float = field(default=0.2, metadata=bounds(0.0))
    """Standard deviation of the noise on the target actor's actions."""
    target_noise_limit: float = field(default=0.5, metadata=bounds(0.0))
    """Bound on that noise."""
    actor_period: int = field(default=2, metadata=COUNT)
    """Critic updates for each update of actor and targets."""


class Td3Bc(DeterministicLearner):
    """See the module."""

    config: Td3BcConfig

    def __init__(
        self,
        feature_dim: int,
        action_dim: int,
        config: Td3BcConfig | None = None,
        seed: int = 0,
        slots: int = 0,
    ) -> None:
        """Make actor and critics.

        Args:
            feature_dim: Values of what is seen, F.
            action_dim: Values of an action, A.
            config: Settings; None: the defaults.
            seed: Of weights and `generator`.
            slots: That the actor attends to, see GaussianPolicy.
        """
        config = config or Td3BcConfig()
        super().__init__(config, feature_dim, action_dim, seed)
        actor = make_actor(config, feature_dim, action_dim, seed, slots)
        self._use_actor(actor, config.learning_rate)

    @torch.no_grad()
    def _target(self, batch: Batch) -> Tensor:
        limit = self.config.target_noise_limit
        noise = self.config.target_noise * self._noise(len(batch.reward), self.generator)
        following = batch.next_observation[SEEN]
        action = self.averaged_policy.act(following) + noise.clamp(-limit, limit)
        q = self.target_critics(following, action.clamp(-1.0, 1.0))
        target: Tensor = batch.reward + batch.discount * q.amin(dim=0)
        return target

    def _update_actor(self, batch: Batch) -> Metrics:
        if (self.updates + 1) % self.config.actor_period:
            return {}
        loss = self._actor_loss(batch.observation[SEEN], batch.action)
        self._step("policy", loss)
        self._update_targets()
        return {"actor_loss": loss.item()}

    def _actor_loss(self, features: Tensor, action: Tensor) -> Tensor:
        """-lambda * mean Q_1(s, pi(s)) + the mean squared distance to the data's actions, ()."""
        chosen = self.policy.act(features)
        q = self._first_value(features, chosen)
        weight = self.config.alpha / q.detach().abs().mean()
        return (chosen - action).square().mean() - weight * q.mean()


def load_policy(data: Mapping[str, Any]) -> ModulePolicy:
    """See policy_file."""
    prior = rebuild_prior(data)
    sizes = data["sizes"]
    policy = DeterministicPolicy(
        prior.encoder.feature_dim, prior.action_dim, sizes["hidden"], sizes["slots"]
    )
    return load_module(OnPriorFeatures(prior=prior, policy=policy), data)


def build(run: RunConfig, config: Td3BcConfig, env: Any) -> Method:
    """Build TD3+BC on the prior's frozen features of a recorded data set.

    Args:
        run: The run.
        config: Settings.
        env: The run's environment.

    Returns:
        The method, its policy untrained.
    """
    data = OfflineData(run, env)
    features = data.features
    learner = Td3Bc(features.dim, features.action_dim, config, run.seed, features.slots)
    return data.method(learner, OnPriorFeatures)
