"""`method=iql`: implicit Q-learning, which asks its critics about actions of the data alone.

    value:    minimise  |tau - (u < 0)| * u^2,  u = min_i Q'_i(s, a) - V(s)     (tau-expectile)
    critics:  Q_i(s, a)  <-  r + gamma * V(s')
    actor:    maximise  min(exp(beta * u), 100) * log pi(a | s)

V estimates the value of the better actions of the data; no target asks what the actor would do.

Source: Kostrikov, Nair and Levine, arXiv 2110.06169; its code (ikostrikov/implicit_q_learning).
Ours: the policy is the tanh-Gaussian of `method=bc`, whose deviation depends on what is seen, and
no learning rate decays.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from conure_core.config.values import POSITIVE, bounds
from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.nn.mlp import mlp
from conure_training.nn.normalizer import Normalizer
from conure_training.nn.weights import seeded
from conure_training.rl.config import RunConfig
from conure_training.rl.learners.behavior_cloning import negative_log_likelihood
from conure_training.rl.learners.feature_sac import OnPriorFeatures, act_on_features
from conure_training.rl.learners.learner import Metrics, Observation, PolyakAverage
from conure_training.rl.method import Method
from conure_training.rl.offline.data import OfflineData
from conure_training.rl.offline.learner import SEEN, OfflineConfig, OfflineLearner
from conure_training.rl.replay import Batch, Source

MOST_WEIGHT = 100.0
"""Largest weight of a row in the actor's loss."""


@dataclass(frozen=True)
class IqlConfig(OfflineConfig):
    """Of implicit Q-learning."""

    name: str = "iql"
    expectile: float = field(default=0.7, metadata=bounds(above=0.0, high=0.999))
    """Of the values of the data's actions, tau: 0.5 is their mean, towards 1 their best."""
    temperature: float = field(default=3.0, metadata=POSITIVE)
    """What an advantage weighs in the actor's loss, beta; towards 0: behavior cloning."""


class StateValue(nn.Module):
    """V(s), an MLP on scaled features."""

    def __init__(self, feature_dim: int, hidden_dims: tuple[int, ...]) -> None:
        """Make the network.

        Args:
            feature_dim: Values of what is seen, F.
            hidden_dims: Widths of the hidden layers.
        """
        super().__init__()
        self.normalize = Normalizer(feature_dim)
        self.trunk = mlp([feature_dim, *hidden_dims, 1])

    def forward(self, features: Tensor) -> Tensor:
        """V (B,) of features (B, F)."""
        value: Tensor = self.trunk(self.normalize(features))
        return value.squeeze(-1)


class Iql(OfflineLearner):
    """See the module."""

    config: IqlConfig
    policy: GaussianPolicy
    averaged_policy: GaussianPolicy

    def __init__(
        self,
        feature_dim: int,
        action_dim: int,
        config: IqlConfig | None = None,
        seed: int = 0,
        slots: int = 0,
    ) -> None:
        """Make actor, value and critics.

        Args:
            feature_dim: Values of what is seen, F.
            action_dim: Values of an action, A.
            config: Settings; None: the defaults.
            seed: Of weights and `generator`.
            slots: That the actor attends to, see GaussianPolicy.
        """
        config = config or IqlConfig()
        super().__init__(config, feature_dim, action_dim, seed)
        with seeded(seed):
            self.policy = GaussianPolicy(feature_dim, action_dim, config.hidden_dims, slots)
            self.value = StateValue(feature_dim, config.hidden_dims)
        self.averaged_policy = deepcopy(self.policy).requires_grad_(False)
        for name, network in (("policy", self.policy), ("value", self.value)):
            self._optimizers[name] = torch.optim.Adam(
                network.parameters(), config.learning_rate, fused=True
            )
        self._saved += ["policy", "averaged_policy", "value"]
        self._targets.append(PolyakAverage(self.averaged_policy, self.policy))

    def fit_normalizers(self, source: Source) -> None:
        super().fit_normalizers(source)
        self.value.normalize.fit(source.rows(SEEN))

    def _decide(self, observation: Observation, noise: Tensor | None) -> Tensor:
        return act_on_features(self.policy, observation[SEEN], noise)

    def update(self, batch: Batch) -> Metrics:
        """Take one step of the value, then of critics and actor, see Learner."""
        self._check(batch)
        loss = expectile_loss(self._advantage(batch), self.config.expectile)
        self._step("value", loss)
        return {"value_loss": loss.item(), **super().update(batch)}

    @torch.no_grad()
    def _target(self, batch: Batch) -> Tensor:
        following = self.value(batch.next_observation[SEEN])
        target: Tensor = batch.reward + batch.discount * following
        return target

    def _update_actor(self, batch: Batch) -> Metrics:
        advantage = self._advantage(batch).detach()
        nll = negative_log_likelihood(self.policy, batch.observation[SEEN], batch.action)
        weight = advantage_weight(advantage, self.config.temperature)
        loss = (weight * nll).mean()
        self._step("policy", loss)
        self._update_targets()
        return {"actor_loss": loss.item(), "advantage": advantage.mean().item()}

    def _advantage(self, batch: Batch) -> Tensor:
        """min_i Q'_i(s, a) - V(s), differentiable in V, (B,)."""
        features = batch.observation[SEEN]
        q: Tensor = self.target_critics(features, batch.action)
        value: Tensor = self.value(features)
        return q.amin(dim=0) - value


def expectile_loss(difference: Tensor, expectile: float) -> Tensor:
    """Compute the mean of |expectile - (u < 0)| * u^2.

    Args:
        difference: u, target minus estimate, shape (B,).
        expectile: In (0, 1); above 0.5 an estimate that is too low costs more.

    Returns:
        The loss, ().

    Source: Kostrikov et al., arXiv 2110.06169, eq. 5.
    """
    weight = torch.where(difference > 0, expectile, 1.0 - expectile)
    return (weight * difference.square()).mean()


def advantage_weight(advantage: Tensor, temperature: float) -> Tensor:
    """Compute min(exp(temperature * advantage), MOST_WEIGHT).

    Args:
        advantage: Shape (B,).
        temperature: The larger, the more the better actions count.

    Returns:
        Shape (B,), above 0.

    Source: Kostrikov et al., arXiv 2110.06169, eq. 7.
    """
    return torch.exp(temperature * advantage).clamp(max=MOST_WEIGHT)


def build(run: RunConfig, config: IqlConfig, env: Any) -> Method:
    """Build implicit Q-learning on the prior's frozen features of a recorded data set.

    Args:
        run: The run.
        config: Settings.
        env: The run's environment.

    Returns:
        The method, its policy untrained.
    """
    data = OfflineData(run, env)
    features = data.features
    learner = Iql(features.dim, features.action_dim, config, run.seed, features.slots)
    return data.method(learner, OnPriorFeatures, kind="features")
