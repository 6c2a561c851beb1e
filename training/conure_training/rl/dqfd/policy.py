"""Policies of deep Q-learning as files, and acting by one on the privileged state."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from conure_core.contract.spec import Contract
from conure_training.data.discrete_actions import Table
from conure_training.policies.policy import Observation, PrivilegedPolicy, read_contract
from conure_training.rl.dqfd.network import DuelingNetwork, QNetworkSize
from conure_training.runtime.torch_files import save_torch

KIND = "dqfd"


class PrivilegedQPolicy(PrivilegedPolicy):
    """The table's action of the largest Q(s, .), s the simulator's privileged state, which no robot
    measures.
    """

    def __init__(
        self, network: DuelingNetwork, table: Table, contract: Contract, task: str
    ) -> None:
        """Take a trained network.

        Args:
            network: Acts.
            table: Its actions, (k, 7).
            contract: Of the environment that it was trained in.
            task: What it was trained for.
        """
        self.task = task
        self.network = network.eval().requires_grad_(False)
        self.table = table
        self.contract = contract

    @property
    def noise_dim(self) -> int:
        """As many values as an action has; they are not used."""
        return int(self.table.shape[1])

    def begin(self) -> None:
        """Start an episode: nothing is remembered."""

    @torch.inference_mode()
    def act(self, observation: Observation, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Choose an action.

        Args:
            observation: One of the environment, with `state`.
            noise: Not used.

        Returns:
            Shape (7,), in [-1, 1].
        """
        q = self.network(torch.from_numpy(observation["state"])[None])
        action: NDArray[np.float32] = self.table[int(q.argmax())]
        return action


def save_policy(
    path: Path,
    network: DuelingNetwork,
    table: Table | None,
    task: str,
    contract: Contract | None,
    note: dict[str, Any],
) -> None:
    """Write a policy, whole or not at all.

    Args:
        path: The file.
        network: Its values.
        table: Its actions; None: a game's own.
        task: What it was trained for.
        contract: Of the arm; None: a game.
        note: Kept beside the weights, for people.
    """
    data = {
        "kind": KIND,
        "task": task,
        "contract": contract and contract.to_dict(),
        "size": asdict(network.size),
        "table": None if table is None else torch.from_numpy(table),
        "weights": network.state_dict(),
        "note": note,
    }
    save_torch(path, data)


def load_policy(data: Mapping[str, Any]) -> PrivilegedQPolicy:
    """What `save_policy` wrote. Raises: ConfigError for a policy of a game."""
    contract = read_contract(data)
    size = data["size"]
    network = DuelingNetwork(
        QNetworkSize(tuple(size["observation"]), size["actions"], tuple(size["hidden"]))
    )
    network.load_state_dict(data["weights"])
    return PrivilegedQPolicy(network, data["table"].numpy(), contract, data["task"])
