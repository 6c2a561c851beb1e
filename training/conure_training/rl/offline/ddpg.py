"""DDPG: deterministic policy gradients with one critic, which off-policy learning breaks.

    critic:  Q(s, a)  <-  r + gamma * Q'(s', pi'(s'))
    actor:   maximise  Q(s, pi(s))

Nothing keeps pi'(s') near actions that the data hold. Where it leaves them, Q' extrapolates, the
actor climbs the error, and the target hands it on to every earlier state. An agent that acts for
itself tries the action and finds out; one that learns from a fixed data set never does.

Source: Lillicrap et al., arXiv 1509.02971; sizes, rates and weight decay as in Fujimoto et al.,
arXiv 1812.02900, and its code (sfujim/BCQ).
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from conure_core.config.values import COUNT, POSITIVE, bounds
from conure_training.rl.learners.learner import Metrics
from conure_training.rl.offline.learner import (
    SEEN,
    DeterministicLearner,
    OfflineConfig,
    make_actor,
)
from conure_training.rl.replay import Batch


@dataclass(frozen=True)
class DdpgConfig(OfflineConfig):
    """Of DDPG."""

    batch_size: int = field(default=100, metadata=COUNT)
    learning_rate: float = field(default=1e-4, metadata=POSITIVE)
    """Adam's, for the actor."""
    critic_learning_rate: float = field(default=1e-3, metadata=POSITIVE)
    """Adam's, for the critic."""
    critic_decay: float = field(default=1e-2, metadata=bounds(0.0))
    """L2 penalty on the critic's weights."""


class Ddpg(DeterministicLearner):
    """See the module."""

    config: DdpgConfig
    critic_count = 1

    def __init__(
        self, feature_dim: int, action_dim: int, config: DdpgConfig | None = None, seed: int = 0
    ) -> None:
        """Make actor and critic.

        Args:
            feature_dim: Values of what is seen, F.
            action_dim: Values of an action, A.
            config: Settings; None: the defaults.
            seed: Of weights and `generator`.
        """
        config = config or DdpgConfig()
        super().__init__(
            config, feature_dim, action_dim, seed, config.critic_learning_rate, config.critic_decay
        )
        actor = make_actor(config, feature_dim, action_dim, seed)
        self._use_actor(actor, config.learning_rate)

    @torch.no_grad()
    def _target(self, batch: Batch) -> Tensor:
        following = batch.next_observation[SEEN]
        action = self.averaged_policy.act(following)
        (q,) = self.target_critics(following, action)
        target: Tensor = batch.reward + batch.discount * q
        return target

    def _update_actor(self, batch: Batch) -> Metrics:
        features = batch.observation[SEEN]
        q = self._first_value(features, self.policy.act(features))
        loss = -q.mean()
        self._step("policy", loss)
        self._update_targets()
        return {"actor_loss": loss.item()}
