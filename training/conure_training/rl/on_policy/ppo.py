"""Proximal policy optimization with clipped ratios.

    L = -E[min(r A, clip(r, 1 - eps, 1 + eps) A)] + c_V E[(V - target)^2] - c_H E[H(pi)],
    r = pi(a | s) / pi_old(a | s),   A standardized over the minibatch

and the network's auxiliary loss, where it has one.

Source: Schulman et al., Proximal Policy Optimization Algorithms, arXiv 1707.06347.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from conure_core.config.values import COUNT, POSITIVE, bounds
from conure_training.nn.divergence import lower, require_finite
from conure_training.rl.on_policy.networks import ActorCriticNetwork
from conure_training.rl.on_policy.observations import take
from conure_training.rl.on_policy.trajectories import Batch

Metrics = dict[str, float]


@dataclass(frozen=True)
class PpoConfig:
    """How PPO updates."""

    learning_rate: float = field(default=3e-4, metadata=POSITIVE)
    """Adam's."""
    clip: float = field(default=0.2, metadata=POSITIVE)
    """eps: a ratio further from 1 than this is not rewarded."""
    epochs: int = field(default=4, metadata=COUNT)
    """Passes over the steps of an update."""
    minibatch: int = field(default=512, metadata=COUNT)
    """Steps of a gradient."""
    entropy_weight: float = field(default=0.01, metadata=bounds(0.0))
    """c_H."""
    value_weight: float = field(default=0.5, metadata=bounds(0.0))
    """c_V."""
    max_gradient_norm: float = field(default=0.5, metadata=POSITIVE)
    """Longer gradients are shortened to it."""


def ppo_loss(
    network: ActorCriticNetwork, batch: Batch, config: PpoConfig
) -> tuple[Tensor, Metrics]:
    """Compute PPO's loss of some steps.

    Args:
        network: Policy and value function.
        batch: Steps; those that are not `trained` only feed the memory.
        config: Its weights.

    Returns:
        The loss, a scalar, and its parts as numbers.
    """
    trained = batch.trained
    features = network.features(batch.observation, batch.lengths)[trained]
    distribution = network.distribution(features)
    advantage = standardized(batch.advantage[trained])

    log_ratio = distribution.log_prob(batch.action[trained]) - batch.log_prob[trained]
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1.0 - config.clip, 1.0 + config.clip)
    surrogate = torch.minimum(ratio * advantage, clipped * advantage).mean()
    value_error = (network.value(features) - batch.target[trained]).square().mean()
    entropy = distribution.entropy().mean()

    loss = -surrogate + config.value_weight * value_error - config.entropy_weight * entropy
    metrics: Metrics = {
        "surrogate": surrogate.item(),
        "value_error": value_error.item(),
        "entropy": entropy.item(),
        "kl": (ratio - 1.0 - log_ratio).mean().item(),
    }
    auxiliary = network.auxiliary_loss(take(batch.observation, trained), features.encoded)
    if auxiliary is not None:
        loss = loss + auxiliary
        metrics["auxiliary"] = auxiliary.item()
    return loss, metrics


def standardized(advantage: Tensor) -> Tensor:
    """Scale to mean 0 and deviation 1; a single one stays as it is."""
    if len(advantage) < 2:
        return advantage
    return (advantage - advantage.mean()) / (advantage.std() + 1e-8)


class Resumable:
    """What PPO and TRPO keep of an interrupted run."""

    network: ActorCriticNetwork
    optimizer: torch.optim.Optimizer
    generator: torch.Generator

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs beside the configuration."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` gave."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])


class Ppo(Resumable):
    """Updates a network by PPO."""

    def __init__(self, network: ActorCriticNetwork, config: PpoConfig, seed: int) -> None:
        """Make the optimizer.

        Args:
            network: Is updated in place.
            config: How.
            seed: Of the order of minibatches.
        """
        self.network = network
        self.config = config
        self.optimizer = torch.optim.Adam(network.parameters(), config.learning_rate, eps=1e-5)
        self.generator = torch.Generator().manual_seed(seed)

    def update(self, batch: Batch) -> Metrics:
        """Learn from the present policy's steps; the metrics are the last minibatch's."""
        config = self.config
        whole_episodes = self.network.memory is not None
        metrics: Metrics = {}
        remedy = lower("method.ppo.learning_rate", config.learning_rate)
        for _ in range(config.epochs):
            for part in batch.minibatches(config.minibatch, self.generator, whole_episodes):
                if not part.trained.any():
                    continue
                loss, metrics = ppo_loss(self.network, part, config)
                require_finite(loss, "PPO's loss", remedy)
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(self.network.parameters(), config.max_gradient_norm)
                self.optimizer.step()
        return metrics


class Unchanged:
    """Leaves a network as it is, where its episodes are rollouts alone."""

    def __init__(self, network: ActorCriticNetwork) -> None:
        self.network = network

    def update(self, batch: Batch) -> Metrics:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
