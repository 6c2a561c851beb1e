"""On-policy policies as files, and acting on the privileged state."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from conure_core.contract.spec import Contract
from conure_training.policies.policy import Observation, PrivilegedPolicy, read_contract
from conure_training.rl.on_policy.distributions import Gaussian
from conure_training.rl.on_policy.networks import ActorCriticNetwork, NetworkSize
from conure_training.runtime.torch_files import save_torch

KIND = "privileged"


class PrivilegedGaussianPolicy(PrivilegedPolicy):
    """a = mean + std * noise of the simulator's privileged state, which no robot measures."""

    def __init__(self, network: ActorCriticNetwork, contract: Contract, task: str) -> None:
        """Take a trained network.

        Args:
            network: Acts.
            contract: Of the environment that it was trained in.
            task: What it was trained for.
        """
        self.task = task
        self.network = network.eval().requires_grad_(False)
        self.contract = contract
        self.begin()

    @property
    def noise_dim(self) -> int:
        """As many values as an action has."""
        return self.network.size.actions

    def begin(self) -> None:
        """Start an episode: the memory is empty."""
        self._memory = self.network.begin(1)

    @torch.inference_mode()
    def act(self, observation: Observation, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Choose an action.

        Args:
            observation: One of the environment, with `state`.
            noise: Shape (noise_dim,), see `Policy.act`.

        Returns:
            Shape (7,), in [-1, 1].
        """
        state = torch.from_numpy(observation["state"])[None]
        distribution, self._memory = self.network.decide(state, self._memory)
        if not isinstance(distribution, Gaussian):
            raise TypeError("a policy of the table has continuous actions")
        action = distribution.mean[0] + distribution.std[0] * torch.from_numpy(noise)
        return action.clamp(-1.0, 1.0).numpy()


def save_policy(
    path: Path,
    network: ActorCriticNetwork,
    task: str,
    contract: Contract | None,
    note: dict[str, Any],
) -> None:
    """Write a policy, whole or not at all.

    Args:
        path: The file.
        network: Policy and value function.
        task: What it was trained for.
        contract: Of the arm; None: a game.
        note: Kept beside the weights, for people.
    """
    data = {
        "kind": KIND,
        "task": task,
        "contract": contract and contract.to_dict(),
        "size": asdict(network.size),
        "weights": network.state_dict(),
        "note": note,
    }
    save_torch(path, data)


def load_policy(data: Mapping[str, Any]) -> PrivilegedGaussianPolicy:
    """What `save_policy` wrote. Raises: ConfigError for a policy of a game."""
    contract = read_contract(data)
    return PrivilegedGaussianPolicy(load_network(data), contract, data["task"])


def load_network(data: Mapping[str, Any]) -> ActorCriticNetwork:
    """The network in a policy's file."""
    values = {**data["size"], "hidden": tuple(data["size"]["hidden"])}
    network = ActorCriticNetwork(NetworkSize(**values))
    network.load_state_dict(data["weights"])
    return network
