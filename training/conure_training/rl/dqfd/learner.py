"""Double dueling deep Q-learning on a prioritized replay, with the losses that use demonstrations.

Source: Hester et al., Deep Q-learning from Demonstrations, arXiv 1704.03732, algorithm 1.
"""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from conure_training.nn.weights import seeded
from conure_training.rl.dqfd.config import DqfdConfig
from conure_training.rl.dqfd.losses import (
    cross_entropy_loss,
    double_target,
    importance_weights,
    margin_loss,
    value_of,
)
from conure_training.rl.dqfd.network import DuelingNetwork, QNetworkSize
from conure_training.rl.dqfd.replay import PrioritizedBatch
from conure_training.rl.learners.learner import Learner, Metrics, Observation
from conure_training.rl.replay import Batch, Source

SEEN = "seen"
"""Name of the one observation."""


@dataclass(frozen=True)
class Losses:
    """Of one batch, each weighted and averaged over it, ()."""

    one_step: Tensor
    """J_DQ."""
    n_step: Tensor
    """J_n."""
    margin: Tensor
    """J_E."""
    cross_entropy: Tensor
    """Of supervised imitation."""
    l2: Tensor
    """J_L2: the sum of squared weights."""
    errors: Tensor
    """|one-step error|, (B,), without gradient."""
    q: Tensor
    """Mean of Q(s, a), without gradient."""

    def total(self, config: DqfdConfig) -> Tensor:
        """J, by the config's weights."""
        return (
            config.one_step_weight * self.one_step
            + config.n_step_weight * self.n_step
            + config.margin_weight * self.margin
            + config.cross_entropy_weight * self.cross_entropy
            + config.l2_weight * self.l2
        )


class Dqfd(Learner):
    """Q of vectors or screens, one observation named "seen"; an action is its number, (n, 1).

    The present network acts, with probability epsilon at random, and is what a finished run hands
    out.
    """

    config: DqfdConfig
    policy: DuelingNetwork

    def __init__(self, config: DqfdConfig, size: QNetworkSize, seed: int = 0) -> None:
        """Make the network and its target network.

        Args:
            config: Settings.
            size: Of the networks.
            seed: Of weights and `generator`.
        """
        super().__init__(config, 1, seed)
        with seeded(seed):
            self.policy = DuelingNetwork(size)
        self.target = deepcopy(self.policy).requires_grad_(False)
        self._optimizers["policy"] = torch.optim.Adam(
            self.policy.parameters(), config.learning_rate, fused=True
        )
        self._saved = ["policy", "target"]

    @property
    def averaged_policy(self) -> DuelingNetwork:  # type: ignore[override]
        """The present network."""
        return self.policy

    @property
    def offline_updates(self) -> int:
        return self.config.pretraining_updates

    def fit_normalizers(self, source: Source) -> None:
        for network in (self.policy, self.target):
            network.fit_normalizers(source.rows(SEEN))

    def update(self, batch: Batch) -> Metrics:
        if not isinstance(batch, PrioritizedBatch):
            raise TypeError("DQfD learns from batches of a PrioritizedReplay")
        self._check(batch)
        losses = self.losses(batch)
        norm = self._step("policy", losses.total(self.config))
        batch.report(losses.errors)
        self.updates += 1
        if self.updates % self.config.target_period == 0:
            self.target.load_state_dict(self.policy.state_dict())
        parts = ("one_step", "n_step", "margin", "cross_entropy")
        metrics = {f"{name}_loss": getattr(losses, name).item() for name in parts}
        metrics |= {"q": losses.q.item(), "gradient_norm": norm}
        metrics["demonstrated"] = batch.demonstrated.float().mean().item()
        return metrics

    def losses(self, batch: PrioritizedBatch) -> Losses:
        """Compute the parts of the loss of a batch."""
        config = self.config
        weights = importance_weights(batch.density, config.beta(self.updates))
        action = batch.action[:, 0].long()
        q = self.policy(batch.observation[SEEN])
        q_done = value_of(q, action)
        one_step = q_done - self._target(
            batch.one_step_reward, batch.one_step_discount, batch.one_step_observation
        )
        n_step = q_done - self._target(batch.reward, batch.discount, batch.next_observation)
        margin = margin_loss(q, action, batch.demonstrated, config.margin)
        cross_entropy = cross_entropy_loss(q, action, batch.demonstrated)
        norms = torch._foreach_norm(list(self.policy.parameters()))
        return Losses(
            one_step=(weights * one_step.square()).mean(),
            n_step=(weights * n_step.square()).mean(),
            margin=(weights * margin).mean(),
            cross_entropy=(weights * cross_entropy).mean(),
            l2=torch.stack(norms).square().sum(),
            errors=one_step.detach().abs(),
            q=q_done.detach().mean(),
        )

    @torch.no_grad()
    def _target(self, reward: Tensor, discount: Tensor, following: Observation) -> Tensor:
        seen = following[SEEN]
        return double_target(reward, discount, self.policy(seen), self.target(seen))

    def _decide(self, observation: Observation, noise: Tensor | None) -> Tensor:
        q: Tensor = self.policy(observation[SEEN])
        return q.argmax(dim=1, keepdim=True).float()

    def _explore(
        self, observation: Observation, action: Tensor, generator: torch.Generator, exploring: bool
    ) -> Tensor:
        epsilon = self.config.epsilon if exploring else self.config.evaluation_epsilon
        chance = torch.rand(action.shape, generator=generator) < epsilon
        anything = torch.randint(self.policy.size.actions, action.shape, generator=generator)
        return torch.where(chance, anything.float(), action)
