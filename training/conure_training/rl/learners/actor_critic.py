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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from conure_core.config.values import COUNT, COUNT_OR_NONE, MAY_BE_INFINITE, POSITIVE, bounds
from conure_core.errors import ConfigError, DataError, SpecMismatch, unknown_name
from conure_training.nn.critic_ensemble import CriticEnsemble
from conure_training.nn.weights import frozen, seeded
from conure_training.rl.config import MethodConfig
from conure_training.rl.replay import Batch, Source

Observation = Mapping[str, Tensor]
Metrics = dict[str, float]
CRITICS_SEE = ("state", "features")


@dataclass(frozen=True)
class LearnerConfig(MethodConfig):
    """The levers that every learner has, as soft actor-critic is published. Return, discount and n
    belong to the replay's config.
    """

    hidden_width: int = field(default=256, metadata=COUNT)
    """Width of the hidden layers of policy and critics."""
    hidden_layers: int = field(default=2, metadata=COUNT)
    """How many there are."""
    ensemble_size: int = field(default=2, metadata=COUNT)
    """Critics."""
    batch_size: int = field(default=256, metadata=COUNT)
    """Transitions of an update."""
    learning_rate: float = field(default=3e-4, metadata=POSITIVE)
    """Adam's, for critics and policy."""
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
    max_gradient_norm: float = field(default=10.0, metadata=POSITIVE)
    """Longer gradients are shortened to it."""
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
    updates_per_step: float = field(default=0.5, metadata=bounds(0.0))
    """Updates for each environment step."""
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

    @property
    def hidden_dims(self) -> tuple[int, ...]:
        return (self.hidden_width,) * self.hidden_layers

    def updates_due(self, steps_before: int, steps_after: int) -> int:
        """Count the updates that go with a stretch of environment steps.

        Fractions carry over: stretches that join add up to the updates of the whole.

        Args:
            steps_before: Environment steps of the run before the stretch.
            steps_after: Environment steps of the run at its end.

        Returns:
            Updates to make, `updates_per_step` for each step.
        """
        updates_before = math.floor(steps_before * self.updates_per_step)
        updates_after = math.floor(steps_after * self.updates_per_step)
        return updates_after - updates_before


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


class PolyakAverage:
    """Polyak (EMA) average of a network's weights: slow <- slow + share * (fast - slow).

    The tensors of both networks are listed once: to walk the modules takes as long as the update.
    """

    def __init__(self, slow: nn.Module, fast: nn.Module) -> None:
        self._slow, self._fast = (
            cast(list[Tensor], list(network.parameters())) for network in (slow, fast)
        )
        self._buffers = list(zip(slow.buffers(), fast.buffers(), strict=True))

    @torch.no_grad()
    def update(self, share: float) -> None:
        """Move the average towards the network by this share; copy the buffers (input scales)."""
        torch._foreach_lerp_(self._slow, self._fast, share)
        for kept, present in self._buffers:
            kept.copy_(present)


class ActorCritic:
    """Base of the learners; see the module. `policy` is what is exported, `generator` (CPU) all its
    randomness.

    A loop, the same for every learner:
        learner.fit_normalizers(replay)
        action = learner.act(observation, generator)
        metrics = learner.update(replay.sample(learner.config.batch_size, learner.generator))
    """

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
        self.config = config
        self.critic_input = critic_input
        self.action_dim = action_dim
        self.device = torch.device(device)
        self.generator = torch.Generator().manual_seed(seed)
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
        self.updates = 0
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

    def _decide(self, observation: Observation, noise: Tensor | None) -> Tensor:
        """Actions (n, A) for standard normal noise (n, A); None: the policy's mean action."""
        raise NotImplementedError

    def _explore(
        self, observation: Observation, action: Tensor, generator: torch.Generator, exploring: bool
    ) -> Tensor:
        """The action (n, A), or what a method does instead of it now and then."""
        return action

    def fit_normalizers(self, source: Source) -> None:
        """Take the networks' input scales from stored observations. Before the first update, or
        never.
        """
        self.critics.normalize.fit(source.rows(self.critic_input))
        self.target_critics.normalize.fit(source.rows(self.critic_input))

    # What a loop calls.

    @property
    def alpha(self) -> float:
        return math.exp(self.log_alpha.item())

    @torch.no_grad()
    def act(
        self,
        observation: Observation,
        generator: torch.Generator,
        deterministic: bool = False,
        noise_scale: float = 1.0,
        exploring: bool = True,
    ) -> Tensor:
        """Choose actions for a batch of observations.

        Args:
            observation: By name, (n, ...), on any device.
            generator: Where the noise is drawn from, on the CPU.
            deterministic: Take the mean action and draw no noise.
            noise_scale: Factor on the policy's own noise: 1 samples the policy, 0 takes its mean.
            exploring: Add whatever else the method explores by.

        Returns:
            Shape (n, A).

        Raises:
            DataError: An action is not finite.
        """
        noise = None
        if not deterministic:
            rows = len(next(iter(observation.values())))
            noise = noise_scale * self._noise(rows, generator)
        decided = self._decide(observation, noise)
        action = self._explore(observation, decided, generator, exploring)
        if not bool(torch.isfinite(action).all()):
            raise DataError(
                "the policy's action is not finite; check the observation"
                f" ({', '.join(observation)})"
            )
        return action

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the averaged policy acts."""
        present, self.policy = self.policy, self.averaged_policy
        try:
            yield
        finally:
            self.policy = present

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
        """Everything that the next update depends on, so that a resumed run repeats an
        uninterrupted one.
        """
        return {
            **{name: getattr(self, name).state_dict() for name in self._saved},
            "log_alpha": self.log_alpha.detach(),
            "optimizers": {
                name: optimizer.state_dict() for name, optimizer in self._optimizers.items()
            },
            "updates": self.updates,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from `state`. Raises: SpecMismatch if it was written by a learner of another
        make.
        """
        state = deepcopy(dict(state))  # optimizers keep the tensors they are given
        try:
            for name in self._saved:
                getattr(self, name).load_state_dict(state[name])
            for name, optimizer in self._optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
            self.log_alpha.data.copy_(state["log_alpha"])
            self.updates = int(state["updates"])
            self.generator.set_state(state["generator"].cpu())
        except (KeyError, RuntimeError, ValueError) as error:
            first_line = str(error).splitlines()[0]
            raise SpecMismatch(
                f"the checkpoint does not fit this {type(self).__name__}: {first_line}"
            ) from error

    # The update.

    def _update_critics(self, batch: Batch) -> Metrics:
        target = self._target(batch)
        q = self.critics(batch.observation[self.critic_input], batch.action)
        loss = (q - target).square().mean(dim=1).sum()
        norm = self._step("critics", loss)
        self._averages["critics"].update(self.config.polyak)
        means = {"critic_loss": loss, "q": q.mean(), "target_q": target.mean()}
        return {name: value.item() for name, value in means.items()} | {
            "critic_gradient_norm": norm
        }

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

    def _weights(self, name: str) -> list[nn.Parameter]:
        """What this optimizer moves."""
        return cast(list[nn.Parameter], self._optimizers[name].param_groups[0]["params"])

    def _step(self, name: str, loss: Tensor) -> float:
        """One step of this optimizer, on its parameters alone; the norm of their gradient before it
        was limited.
        """
        parameters = [part for part in self._weights(name) if part.requires_grad]
        loss.backward(inputs=parameters)
        length = nn.utils.get_total_norm(
            [part.grad for part in parameters if part.grad is not None], foreach=True
        )
        norm = length.item()
        if math.isfinite(norm):
            if norm > self.config.max_gradient_norm:
                nn.utils.clip_grads_with_norm_(
                    parameters, self.config.max_gradient_norm, length, foreach=True
                )
            self._optimizers[name].step()
        self._optimizers[name].zero_grad()
        if not math.isfinite(norm):
            raise DataError(
                f"update {self.updates}: the gradient of the {name} is {norm}; resume from a"
                " checkpoint"
            )
        return norm

    def _check(self, batch: Batch) -> None:
        for name, value in batch.named_tensors().items():
            if value.is_floating_point() and not math.isfinite(
                value.abs().max()
            ):  # NaN is the largest of all
                raise DataError(
                    f"update {self.updates}: {name} in the batch is not finite; nothing was learned"
                    " from it"
                )

    def _noise(self, rows: int, generator: torch.Generator) -> Tensor:
        """Standard normal (rows, A), the same on every device."""
        return torch.randn(rows, self.action_dim, generator=generator).to(self.device)
