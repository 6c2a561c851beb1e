"""Behavior cloning: the policy of on-policy methods, by regression.

L = mean |mean(s) - a|^2 + L_aux,   std afterwards a constant

with the network's auxiliary loss L_aux, where it has one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from conure_core.config.values import COUNT, COUNT_OR_NONE, POSITIVE, bounds
from conure_training.nn.divergence import lower, require_finite
from conure_training.rl.on_policy.distributions import Gaussian
from conure_training.rl.on_policy.networks import ActorCriticNetwork
from conure_training.rl.on_policy.observations import as_tensors, join, take
from conure_training.rl.on_policy.trajectories import Trajectory


@dataclass(frozen=True)
class CloningConfig:
    """How a policy is cloned."""

    updates: int = field(default=500, metadata=COUNT_OR_NONE)
    """Gradient steps; 0: nothing is cloned."""
    learning_rate: float = field(default=1e-3, metadata=POSITIVE)
    """Adam's."""
    minibatch: int = field(default=256, metadata=COUNT)
    """Demonstrated steps of a gradient."""
    input_noise: float = field(default=0.2, metadata=bounds(0.0))
    """Deviation of what is added to scaled inputs: few demonstrations are learned by heart without
    it."""
    std: float = field(default=0.2, metadata=POSITIVE)
    """Of the actions afterwards."""


def draw_episodes(
    lengths: Sequence[int], steps: int, generator: torch.Generator
) -> tuple[Tensor, tuple[int, ...]]:
    """Draw whole episodes until they have so many steps.

    Args:
        lengths: Of all episodes, which lie end to end.
        steps: At least so many, or all episodes.
        generator: Draws.

    Returns:
        Rows of the chosen episodes, (n,), and the length of each.
    """
    spans = torch.arange(sum(lengths)).split(list(lengths))
    chosen: list[Tensor] = []
    for number in torch.randperm(len(spans), generator=generator).tolist():
        chosen.append(spans[number])
        if sum(map(len, chosen)) >= steps:
            break
    return torch.cat(chosen), tuple(map(len, chosen))


def clone(
    network: ActorCriticNetwork,
    demonstrations: Sequence[Trajectory],
    config: CloningConfig,
    seed: int,
) -> float:
    """Train the policy on demonstrated steps alone.

    Args:
        network: Its policy is trained, of continuous actions, its inputs scaled already.
        demonstrations: Episodes.
        config: How.
        seed: Of the order of the steps.

    Returns:
        The last loss.
    """
    observation = as_tensors(join([take(item.observation, slice(-1)) for item in demonstrations]))
    action = torch.from_numpy(np.concatenate([item.action for item in demonstrations]))
    lengths = [len(item) for item in demonstrations]
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    loss = torch.zeros(())
    remedy = lower("method.cloning.learning_rate", config.learning_rate)
    for _ in range(config.updates):
        if network.memory is None:
            index = torch.randint(len(action), (config.minibatch,), generator=generator)
            whole: tuple[int, ...] = ()
        else:
            index, whole = draw_episodes(lengths, config.minibatch, generator)
        rows = take(observation, index)
        inputs = network.encode(rows)
        noise = config.input_noise * torch.randn(inputs.shape, generator=generator)
        distribution = network.distribution_of(network.remember(inputs + noise, whole))
        if not isinstance(distribution, Gaussian):
            raise TypeError("cloning needs continuous actions")
        loss = (distribution.mean - action[index]).square().mean()
        auxiliary = network.auxiliary_loss(rows, inputs)
        if auxiliary is not None:
            loss = loss + auxiliary
        require_finite(loss, "the cloning loss", remedy)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        network.log_std.fill_(math.log(config.std))
    return loss.item()
