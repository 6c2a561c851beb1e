"""What the offline learners share: critics with target critics, and gradient steps before the first
episode.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from conure_core.config.values import COUNT, POSITIVE, bounds
from conure_training.nn.critic_ensemble import CriticEnsemble
from conure_training.nn.deterministic_policy import DeterministicPolicy
from conure_training.nn.weights import frozen, seeded
from conure_training.rl.learners.learner import (
    Learner,
    Metrics,
    Observation,
    PolyakAverage,
    UpdateConfig,
)
from conure_training.rl.replay import Batch, Source

SEEN = "features"
"""Name of the one observation that policy and critics see."""


@dataclass(frozen=True)
class OfflineConfig(UpdateConfig):
    """Of learning from a fixed data set. Return, discount and n belong to the replay's config."""

    learns_offline: ClassVar[bool] = True
    reads = ("prior", "demos", "data")

    gradient_steps: int = field(default=20_000, metadata=COUNT)
    """Updates, all of them before the first episode."""
    polyak: float = field(default=0.005, metadata=bounds(above=0.0, high=1.0))
    """Share of the new weights that goes into the target networks at each update."""
    max_gradient_norm: float = field(default=1e9, metadata=POSITIVE)
    """Longer gradients are shortened to it; the sources shorten none."""


class OfflineLearner(Learner):
    """Base of the offline learners: critics Q_i(s, a) without LayerNorm, and their targets Q'_i.

    A child says what its critics regress to (`_target`) and how its actor learns
    (`_update_actor`). `averaged_policy` is the target actor.
    """

    config: OfflineConfig
    critic_count = 2

    def __init__(
        self,
        config: OfflineConfig,
        feature_dim: int,
        action_dim: int,
        seed: int = 0,
        critic_rate: float | None = None,
        critic_decay: float = 0.0,
    ) -> None:
        """Make critics and target critics.

        Args:
            config: Settings.
            feature_dim: Values of what is seen, F.
            action_dim: Values of an action, A.
            seed: Of `generator` and of the critics' weights.
            critic_rate: Adam's, for the critics; None: the config's `learning_rate`.
            critic_decay: L2 penalty on the critics' weights.
        """
        super().__init__(config, action_dim, seed)
        self.feature_dim = feature_dim
        with seeded(seed + 1):
            self.critics = CriticEnsemble(
                feature_dim, action_dim, config.hidden_dims, self.critic_count, layer_norm=False
            )
        self.target_critics = deepcopy(self.critics).requires_grad_(False)
        rate = critic_rate or config.learning_rate
        self._optimizers["critics"] = torch.optim.Adam(
            self.critics.parameters(), rate, weight_decay=critic_decay, fused=True
        )
        self._saved += ["critics", "target_critics"]
        self._targets = [PolyakAverage(self.target_critics, self.critics)]

    # What a learner defines.

    def _target(self, batch: Batch) -> Tensor:
        """What the critics regress to, (B,), without gradient."""
        raise NotImplementedError

    def _update_actor(self, batch: Batch) -> Metrics:
        """Take one step of whatever proposes actions."""
        raise NotImplementedError

    # What a loop calls.

    @property
    def offline_updates(self) -> int:
        return self.config.gradient_steps

    def fit_normalizers(self, source: Source) -> None:
        rows = source.rows(SEEN)
        for network in (self.critics, self.target_critics):
            network.normalize.fit(rows)
        for policy in (self.policy, self.averaged_policy):
            policy.fit_normalizers(rows)  # type: ignore[operator]

    def update(self, batch: Batch) -> Metrics:
        self._check(batch)
        q = self.critics(batch.observation[SEEN], batch.action)
        metrics = self._regress_critics(q, self._target(batch))
        metrics |= self._update_actor(batch)
        self.updates += 1
        return metrics

    @torch.no_grad()
    def predict(self, features: Tensor) -> Tensor:
        """Predict the return of the policy's mean actions from features (n, F): Q_1, (n,)."""
        action = self._decide({SEEN: features}, None)
        q: Tensor = self.critics(features, action, [0])
        return q[0]

    # Parts of an update.

    def _first_value(self, features: Tensor, action: Tensor) -> Tensor:
        """Q_1 (B,), through which gradients reach the action and no critic's weights."""
        with frozen(self._weights("critics")):
            q: Tensor = self.critics(features, action, [0])
        return q[0]

    def _update_targets(self) -> None:
        for average in self._targets:
            average.update(self.config.polyak)


class DeterministicLearner(OfflineLearner):
    """An offline learner whose actor is pi(s) = tanh(mean(s)), with a target actor pi'."""

    policy: DeterministicPolicy
    averaged_policy: DeterministicPolicy

    def _use_actor(self, policy: DeterministicPolicy, rate: float) -> None:
        """Take this actor, with a target actor and Adam of this rate."""
        self.policy = policy
        self.averaged_policy = deepcopy(policy).requires_grad_(False)
        self._optimizers["policy"] = torch.optim.Adam(policy.parameters(), rate, fused=True)
        self._saved += ["policy", "averaged_policy"]
        self._targets.append(PolyakAverage(self.averaged_policy, self.policy))

    def _decide(self, observation: Observation, noise: Tensor | None) -> Tensor:
        return self.policy.act(observation[SEEN])


def make_actor(
    config: UpdateConfig, feature_dim: int, action_dim: int, seed: int, slots: int = 0
) -> DeterministicPolicy:
    """Make an untrained deterministic actor.

    Args:
        config: Widths.
        feature_dim: Values of what is seen, F.
        action_dim: Values of an action, A.
        seed: Of its weights.
        slots: See GaussianPolicy.

    Returns:
        The actor.
    """
    with seeded(seed):
        return DeterministicPolicy(feature_dim, action_dim, config.hidden_dims, slots)
