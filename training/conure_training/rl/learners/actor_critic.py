"""Shared actor-critic: privileged critics, target critics, temperature, one update step.

A learner says how it proposes actions and the penalty of each (nats of KL or negative entropy);
the rest is here:

    critics:  Q_i(s, a)  <-  r + discount * (min_j Q'_j(s', a') [- alpha * penalty'])
    actor:    minimise      alpha * penalty - min_i Q_i(s, a),  through a
    alpha:    up while penalty > target_penalty, down while below  (a Lagrange multiplier)

alpha is the temperature. Source: Haarnoja et al., Soft Actor-Critic Algorithms and Applications,
arXiv 1812.05905.
"""

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from conure_core.config.values import COUNT, COUNT_OR_NONE, MAY_BE_INFINITE, POSITIVE, bounds
from conure_core.errors import ConfigError, unknown_name
from conure_training.nn.critic_ensemble import CriticEnsemble
from conure_training.nn.weights import frozen, seeded
from conure_training.rl.learners.learner import (
    Learner,
    Metrics,
    Observation,
    OnlineConfig,
    PolyakAverage,
)
from conure_training.rl.replay import Batch, Source

__all__ = ["ActorCritic", "FeatureLearnerConfig", "LearnerConfig", "Metrics", "Observation"]

CRITICS_SEE = ("state", "features")


@dataclass(frozen=True)
class LearnerConfig(OnlineConfig):
    """The levers that every actor-critic has, as soft actor-critic is published. Return, discount
    and n belong to the replay's config.
    """

    ensemble_size: int = field(default=2, metadata=COUNT)
    """Critics."""
    alpha_learning_rate: float = field(default=3e-3, metadata=POSITIVE)
    """Adam's, for the temperature alpha. Runs are short: at 3e-4, 3,000 updates move alpha by a
    factor of 2.5 at most.
    """
    initial_alpha: float = field(default=0.1, metadata=POSITIVE)
    """Temperature at first: what a nat of KL or entropy penalty weighs."""
    polyak: float = field(default=0.005, metadata=bounds(above=0.0, high=1.0))
    """Share of the new weights that goes into the target critics at each update."""
    policy_average: float = field(default=0.002, metadata=POSITIVE)
    """The same for the averaged policy, which is what a finished run hands out."""
    target_min: float = field(default=-math.inf, metadata=MAY_BE_INFINITE)
    """Lower bound on the critics' targets, where the return has a known one."""
    target_max: float = field(default=math.inf, metadata=MAY_BE_INFINITE)
    """Upper bound on them."""
    cost_in_target: bool = True
    """alpha * penalty counts as a negative reward of the next state."""
    actor_on_demonstrations: bool = True
    """The actor, too, learns on the demonstrated rows of a batch."""
    actor_period: int = field(default=1, metadata=COUNT)
    """Critic updates for each update of the actor."""
    target_subset: int = field(default=0, metadata=COUNT_OR_NONE)
    """Targets take the minimum of this many critics, drawn anew each time; 0: of all."""
    actor_on_mean: bool = False
    """The actor climbs the critics' mean instead of their minimum."""
    critic_pretraining_updates: int = field(default=800, metadata=COUNT_OR_NONE)
    """Of the critics alone, on demonstrations, before the first action."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target_min >= self.target_max:
            raise ConfigError(
                f"method.target_min must be less than target_max, {self.target_max}, got"
                f" {self.target_min}"
            )
        if self.target_subset > self.ensemble_size:
            raise ConfigError(
                f"method.target_subset must be at most ensemble_size, {self.ensemble_size}, got"
                f" {self.target_subset}"
            )


@dataclass(frozen=True)
class FeatureLearnerConfig(LearnerConfig):
    """Of learners whose actor sees features, and for short sparse episodes: +1 at success, which
    ends them, so that every return lies in [0, 1].
    """

    initial_alpha: float = field(default=0.03, metadata=POSITIVE)
    target_min: float = field(default=0.0, metadata=MAY_BE_INFINITE)
    target_max: float = field(default=1.0, metadata=MAY_BE_INFINITE)
    cost_in_target: bool = False
    actor_on_demonstrations: bool = False
    """They were after other objects, which the critics' state tells and no image."""
    updates_per_step: float = field(default=1.3, metadata=bounds(0.0))
    critic: str = "state"
    """What the critics see: the simulator's `state`, or the `features` that the actor sees."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.critic not in CRITICS_SEE:
            raise unknown_name("method.critic", self.critic, CRITICS_SEE)


class ActorCritic(Learner):
    """Base of the actor-critics; see the module. `policy` is what is exported.

    A loop, the same for every learner:
        learner.fit_normalizers(replay)
        action = learner.act(observation, generator)
        metrics = learner.update(replay.sample(learner.config.batch_size, learner.generator))
    """

    config: LearnerConfig

    LOG_ALPHA_RANGE = (math.log(1e-4), math.log(10.0))

    def __init__(
        self,
        config: LearnerConfig,
        policy: nn.Module,
        state_dim: int,
        action_dim: int,
        target_penalty: float,
        seed: int,
        device: str,
        critic_input: str = "state",
    ) -> None:
        """Make critics, target critics and optimizers around the policy.

        Args:
            config: Widths, rates and the rest of the learner's settings.
            policy: What acts and is exported; moved to `device`.
            state_dim: Values of what the critics see, the observation named `critic_input`.
            action_dim: Values of an action, A.
            target_penalty: Nats that alpha steers the mean penalty of the policy to.
            seed: Of `generator` and of the critics' weights.
            device: Where networks and batches live.
            critic_input: Name of the observation that the critics see.
        """
        super().__init__(config, action_dim, seed, device)
        self.critic_input = critic_input
        self.policy = policy.to(self.device)
        self.averaged_policy = deepcopy(self.policy).requires_grad_(False)
        with seeded(seed + 1):
            critics = CriticEnsemble(
                state_dim, action_dim, config.hidden_dims, config.ensemble_size
            )
        self.critics = critics.to(self.device)
        self.target_critics = deepcopy(self.critics).requires_grad_(False)
        self.target_penalty = target_penalty
        self.log_alpha = torch.full(
            (), math.log(config.initial_alpha), device=self.device, requires_grad=True
        )
        self._saved = ["policy", "averaged_policy", "critics", "target_critics"]
        self._optimizers = {
            "critics": torch.optim.Adam(
                self.critics.parameters(), config.learning_rate, fused=True
            ),
            "policy": torch.optim.Adam(self._trainable(), config.learning_rate, fused=True),
            "alpha": torch.optim.Adam([self.log_alpha], config.alpha_learning_rate, fused=True),
        }
        self._averages = {
            "critics": PolyakAverage(self.target_critics, self.critics),
            "policy": PolyakAverage(self.averaged_policy, self.policy),
        }

    def _trainable(self) -> list[nn.Parameter]:
        """The policy's parameters that the actor's loss moves."""
        return [parameter for parameter in self.policy.parameters() if parameter.requires_grad]

    # What a learner defines.

    def _propose(self, observation: Observation) -> tuple[Tensor, Tensor]:
        """Sampled actions (B, A), differentiable, and the penalty of each in nats, (B,)."""
        raise NotImplementedError

    def fit_normalizers(self, source: Source) -> None:
        self.critics.normalize.fit(source.rows(self.critic_input))
        self.target_critics.normalize.fit(source.rows(self.critic_input))

    # What a loop calls.

    @property
    def alpha(self) -> float:
        return math.exp(self.log_alpha.item())

    def update(self, batch: Batch, critic_only: bool = False) -> Metrics:
        """Take one gradient step on critics, actor and alpha.

        Args:
            batch: B transitions, see Batch.
            critic_only: Leave actor and alpha as they are.

        Returns:
            Metrics by name: "critic_loss", "q", "target_q" and gradient norms. With the actor,
            which learns every `actor_period` updates, also "actor_loss", "cost_nats" (the mean
            penalty) and "alpha".

        Raises:
            DataError: The batch or a gradient is not finite; no weight has taken it in.
        """
        self._check(batch)
        metrics = self._update_critics(batch)
        if not critic_only and self.updates % self.config.actor_period == 0:
            metrics |= self._update_actor(batch)
        self.updates += 1
        return metrics

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "log_alpha": self.log_alpha.detach()}

    def _load(self, state: Mapping[str, Any]) -> None:
        super()._load(state)
        self.log_alpha.data.copy_(state["log_alpha"])

    # The update.

    def _update_critics(self, batch: Batch) -> Metrics:
        target = self._target(batch)
        q = self.critics(batch.observation[self.critic_input], batch.action)
        metrics = self._regress_critics(q, target)
        self._averages["critics"].update(self.config.polyak)
        return metrics

    @torch.no_grad()
    def _target(self, batch: Batch) -> Tensor:
        """What the critics regress to, (B,)."""
        target = batch.reward + batch.discount * self._next_value(batch.next_observation)
        return target.clamp(self.config.target_min, self.config.target_max)

    def _next_value(self, observation: Observation) -> Tensor:
        """What the target critics expect from these observations on, (B,)."""
        action, penalty = self._propose(observation)
        value = self._min_target_q(observation, action)
        if not self.config.cost_in_target:
            return value
        return value - self.log_alpha.exp() * penalty

    def _min_target_q(self, observation: Observation, action: Tensor) -> Tensor:
        """Minimum target-critic Q over the ensemble, or over a random subset of it, (B,)."""
        subset_size = self.config.target_subset
        ensemble_size = self.config.ensemble_size
        chosen: Sequence[int] = range(ensemble_size)
        if subset_size:
            shuffled = torch.randperm(ensemble_size, generator=self.generator)
            chosen = shuffled[:subset_size].tolist()
        q: Tensor = self.target_critics(observation[self.critic_input], action, chosen)
        return q.amin(dim=0)

    def _value(self, observation: Observation, action: Tensor) -> Tensor:
        """What the actor climbs, (B,)."""
        with frozen(self._weights("critics")):
            q = self.critics(observation[self.critic_input], action)
        return q.mean(dim=0) if self.config.actor_on_mean else q.amin(dim=0)

    def _actor_loss(self, observation: Observation) -> tuple[Tensor, Tensor, Tensor]:
        """The loss, (), and of the proposed actions penalty and value, each (B,)."""
        action, penalty = self._propose(observation)
        q = self._value(observation, action)
        return (self.log_alpha.detach().exp() * penalty - q).mean(), penalty, q

    def _update_actor(self, batch: Batch) -> Metrics:
        observation = (
            batch.observation if self.config.actor_on_demonstrations else batch.own_observation()
        )
        loss, penalty, q = self._actor_loss(observation)
        norm = self._step("policy", loss)
        self._averages["policy"].update(self.config.policy_average)
        mean_penalty = penalty.detach().mean()
        self._update_alpha(mean_penalty)
        return {
            "actor_loss": loss.item(),
            "actor_q": q.mean().item(),
            "actor_gradient_norm": norm,
            "cost_nats": mean_penalty.item(),
            "alpha": self.alpha,
        }

    def _update_alpha(self, mean_penalty: Tensor) -> None:
        self._step("alpha", self.log_alpha * (self.target_penalty - mean_penalty))
        # Without limits a penalty that stays below its target would drive alpha out of reach.
        with torch.no_grad():
            self.log_alpha.clamp_(*self.LOG_ALPHA_RANGE)
