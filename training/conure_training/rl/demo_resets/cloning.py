"""What a policy takes from its demonstration before the first episode: input scales, and actions if
it is asked to.
"""

import numpy as np
import torch

from conure_core.errors import ConfigError
from conure_training.rl.demo_resets.demonstration import Demonstration
from conure_training.rl.on_policy.networks import ActorCriticNetwork

LEARNING_RATE = 1e-3


def prepare(network: ActorCriticNetwork, demonstration: Demonstration, steps: int) -> None:
    """Scale a network's inputs by the demonstration, and clone its actions.

    Cloned is the mean: minimise -log pi(a | s) over the demonstration's steps, the deviation as it
    is.

    Args:
        network: Policy and value function, in place.
        demonstration: Its observations and actions.
        steps: Gradient steps of cloning; 0: none.

    Raises:
        ConfigError: Cloning is asked for, and the demonstration is of a game.

    Source: Rajeswaran et al., Learning Complex Dexterous Manipulation with Deep Reinforcement
    Learning and Demonstrations, arXiv 1709.10087, section IV-B.
    """
    observation = torch.from_numpy(demonstration.observations)
    network.normalize.update(observation)
    if not steps:
        return
    if network.size.discrete:
        raise ConfigError(
            "method.cloning_steps clones continuous actions, and a game has discrete ones; give"
            " method.cloning_steps=0"
        )
    seen = observation[:-1]
    action = torch.from_numpy(np.stack(demonstration.actions).astype(np.float32))
    weights = [weight for weight in network.policy_parameters() if weight is not network.log_std]
    optimizer = torch.optim.Adam(weights, LEARNING_RATE, fused=True)
    for _ in range(steps):
        distribution = network.distribution(network.features(seen, (len(seen),)))
        loss = -distribution.log_prob(action).mean()
        loss.backward(inputs=weights)
        optimizer.step()
        optimizer.zero_grad()
