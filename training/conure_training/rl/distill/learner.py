"""Dataset aggregation: the student acts, the teacher says what it would have done.

    pi_i = beta_i teacher + (1 - beta_i) student,  beta_i = decay^i,  i = 0, 1, ...
    minimise  -E[log student(teacher's action | features)]  over the states of all pi_0 ... pi_i

A student that only saw the teacher's states would not know how to return from its own errors, which
grow with the square of an episode's length; here they grow linearly.

Source: Ross, Gordon and Bagnell, A Reduction of Imitation Learning and Structured Prediction to
No-Regret Online Learning, AISTATS 2011, arXiv 1011.0686, algorithm 3.1.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from conure_core.config.values import COUNT, SHARE, bounds
from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.prior.flow import with_noise
from conure_training.rl.distill.teacher import LABEL
from conure_training.rl.learners.behavior_cloning import negative_log_likelihood
from conure_training.rl.learners.feature_sac import act_on_features
from conure_training.rl.learners.learner import (
    Learner,
    Metrics,
    Observation,
    OnlineConfig,
    PolyakAverage,
)
from conure_training.rl.replay import Batch, Source


@dataclass(frozen=True)
class DaggerConfig(OnlineConfig):
    """Of dataset aggregation."""

    updates_per_step: float = field(default=1.0, metadata=bounds(0.0))
    """Gradient steps for each environment step, after the first iteration."""
    learning_rate: float = field(default=1e-3, metadata=bounds(above=0.0))
    """Adam's."""
    iteration_steps: int = field(default=1000, metadata=COUNT)
    """Environment steps of an iteration; in the first one the teacher acts alone."""
    decay: float = field(default=0.0, metadata=SHARE)
    """p: of iteration i the teacher takes a share p^i of the steps. 0: of the first one all, of the
    others none."""
    feature_noise: float = field(default=0.05, metadata=bounds(0.0))
    """Standard deviation of the noise that is added to features against overfitting."""
    policy_average: float = field(default=0.002, metadata=bounds(above=0.0, high=1.0))
    """Share of the new weights that goes into the averaged policy at each update."""

    def updates_due(self, steps_before: int, steps_after: int) -> int:
        """None in the first iteration, whose states say how inputs are scaled."""
        first = self.iteration_steps
        return super().updates_due(max(first, steps_before), max(first, steps_after))


class Dagger(Learner):
    """See the module. Observations: "features" (B, F), and LABEL (B, A), the teacher's action."""

    config: DaggerConfig
    policy: GaussianPolicy
    averaged_policy: GaussianPolicy

    def __init__(
        self,
        policy: GaussianPolicy,
        action_dim: int,
        config: DaggerConfig | None = None,
        seed: int = 0,
    ) -> None:
        """Make the learner of a policy on features.

        Args:
            policy: The student, untrained.
            action_dim: Values of an action, A.
            config: Settings; None: the defaults.
            seed: Of the learner's generator.
        """
        config = config or DaggerConfig()
        super().__init__(config, action_dim, seed)
        self.policy = policy
        self.averaged_policy = deepcopy(policy).requires_grad_(False)
        self.steps = 0
        self._optimizers["policy"] = torch.optim.Adam(
            policy.parameters(), config.learning_rate, fused=True
        )
        self._saved += ["policy", "averaged_policy"]
        self._average = PolyakAverage(self.averaged_policy, self.policy)

    @property
    def teacher_share(self) -> float:
        """beta of the present iteration."""
        return self.config.decay ** (self.steps // self.config.iteration_steps)

    def fit_normalizers(self, source: Source) -> None:
        for policy in (self.policy, self.averaged_policy):
            policy.fit_normalizers(source.rows("features"))

    def update(self, batch: Batch) -> Metrics:
        self._check(batch)
        seen = with_noise(batch.observation["features"], self.config.feature_noise, self.generator)
        loss = negative_log_likelihood(self.policy, seen, batch.observation[LABEL]).mean()
        self._step("policy", loss)
        self._average.update(self.config.policy_average)
        self.updates += 1
        return {"imitation_loss": loss.item(), "teacher_share": self.teacher_share}

    def _decide(self, observation: Observation, noise: Tensor | None) -> Tensor:
        return act_on_features(self.policy, observation["features"], noise)

    def _explore(
        self, observation: Observation, action: Tensor, generator: torch.Generator, exploring: bool
    ) -> Tensor:
        """The teacher's action instead, with probability beta, a step at a time."""
        if not exploring:
            return action
        led = torch.rand(len(action), 1, generator=generator) < self.teacher_share
        self.steps += len(action)
        return torch.where(led, observation[LABEL], action)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "steps": self.steps}

    def _load(self, state: Mapping[str, Any]) -> None:
        super()._load(state)
        self.steps = int(state["steps"])
