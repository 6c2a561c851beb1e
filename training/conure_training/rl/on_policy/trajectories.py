"""Whole episodes, and what a learner makes of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conure_training.rl.on_policy.gae import estimate_advantages
from conure_training.rl.on_policy.networks import ActorCriticNetwork


@dataclass(frozen=True)
class Trajectory:
    """T steps of one episode, in order."""

    observation: NDArray[np.float32]
    """Before every action and after the last, shape (T + 1, F)."""
    action: NDArray[Any]
    """As the policy drew them: (T, A) float32, not clipped, or (T,) int64."""
    reward: NDArray[np.float32]
    """Shape (T,)."""
    terminated: bool
    """True where the last observation has no future, False where the episode was only cut off."""
    burn_in: int = 0
    """First steps that the policy did not choose: they warm its memory and are not trained on."""
    info: dict[str, Any] = field(default_factory=dict)
    """The environment's, of the last step; plain values."""

    def __len__(self) -> int:
        return len(self.reward)


class RewardModel(Protocol):
    """Decides what an episode's actions are worth, for a learner; may learn from the episodes."""

    def relabel(self, trajectories: list[Trajectory]) -> tuple[list[Trajectory], dict[str, float]]:
        """Learn from finished episodes, then give them their rewards; returns copies and metrics.
        Successes are counted from `info`, which stays.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values, for a checkpoint."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` gave."""
        ...


class TaskReward:
    """The environment's own rewards."""

    def relabel(self, trajectories: list[Trajectory]) -> tuple[list[Trajectory], dict[str, float]]:
        return trajectories, {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


@dataclass(frozen=True)
class Batch:
    """n steps of whole episodes, end to end."""

    observation: Tensor
    """Shape (n, F)."""
    action: Tensor
    """Shape (n, A), or (n,) of a discrete policy."""
    log_prob: Tensor
    """Of each action under the policy that acted, (n,), nats."""
    advantage: Tensor
    """Shape (n,)."""
    target: Tensor
    """Of the value function, (n,)."""
    trained: Tensor
    """True for steps to learn from, (n,): not those of a burn-in."""
    lengths: tuple[int, ...]
    """Steps of each episode."""

    def __len__(self) -> int:
        return len(self.advantage)

    def rows(self, index: Tensor, lengths: tuple[int, ...]) -> "Batch":
        """Take some steps.

        Args:
            index: Shape (m,).
            lengths: Of the episodes that these are, where they are whole.

        Returns:
            The steps, m of them.
        """
        return Batch(
            observation=self.observation[index],
            action=self.action[index],
            log_prob=self.log_prob[index],
            advantage=self.advantage[index],
            target=self.target[index],
            trained=self.trained[index],
            lengths=lengths,
        )

    def minibatches(
        self, size: int, generator: torch.Generator, whole_episodes: bool
    ) -> Iterator["Batch"]:
        """Split into random parts, each step in one of them.

        Args:
            size: Steps of a part, roughly where episodes stay whole; the last one may be smaller.
            generator: Shuffles.
            whole_episodes: Whether the steps of an episode stay together, as a memory needs.

        Yields:
            The parts.
        """
        if not whole_episodes:
            steps = torch.nonzero(self.trained)[:, 0]
            order = steps[torch.randperm(len(steps), generator=generator)]
            for part in order.split(size):
                yield self.rows(part, ())
            return
        spans = list(torch.arange(len(self)).split(self.lengths))
        chosen: list[Tensor] = []
        for index in torch.randperm(len(spans), generator=generator).tolist():
            chosen.append(spans[index])
            if sum(map(len, chosen)) >= size:
                yield self.rows(torch.cat(chosen), tuple(map(len, chosen)))
                chosen = []
        if chosen:
            yield self.rows(torch.cat(chosen), tuple(map(len, chosen)))


@torch.no_grad()
def make_batch(
    network: ActorCriticNetwork, trajectories: Sequence[Trajectory], gamma: float, lam: float
) -> Batch:
    """Evaluate episodes by the policy that acted in them.

    Args:
        network: The policy and its value function, as they were in the episodes.
        trajectories: The episodes.
        gamma: Discount of a step.
        lam: See `estimate_advantages`.

    Returns:
        All their steps.
    """
    lengths = tuple(len(item) for item in trajectories)
    seen = torch.from_numpy(np.concatenate([item.observation for item in trajectories]))
    features = network.features(seen, tuple(length + 1 for length in lengths))
    value = network.value(features).numpy()

    before_action = torch.ones(len(seen), dtype=torch.bool)
    before_action[np.cumsum([length + 1 for length in lengths]) - 1] = False
    action = torch.from_numpy(np.concatenate([item.action for item in trajectories]))
    log_prob = network.distribution(features[before_action]).log_prob(action)

    advantages = []
    trained = []
    first = 0
    for item in trajectories:
        values = value[first : first + len(item) + 1]
        advantages.append(estimate_advantages(item.reward, values, item.terminated, gamma, lam))
        trained.append(np.arange(len(item)) >= item.burn_in)
        first += len(item) + 1
    advantage = torch.from_numpy(np.concatenate(advantages).astype(np.float32))
    return Batch(
        observation=seen[before_action],
        action=action,
        log_prob=log_prob,
        advantage=advantage,
        target=advantage + torch.from_numpy(value)[before_action],
        trained=torch.from_numpy(np.concatenate(trained)),
        lengths=lengths,
    )
