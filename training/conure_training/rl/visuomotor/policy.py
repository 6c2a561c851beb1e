"""Visuomotor policies as files."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from conure_core.contract.spec import Contract
from conure_training.rl.on_policy import policy as privileged
from conure_training.rl.on_policy.networks import ActorCriticNetwork
from conure_training.rl.visuomotor.networks import LatentSize, PixelSize
from conure_training.runtime.torch_files import save_torch

KIND = "visuomotor"
SIZES = {"pixels": PixelSize, "latent": LatentSize}


def save_policy(
    path: Path,
    network: ActorCriticNetwork,
    task: str,
    contract: Contract,
    note: dict[str, Any],
) -> None:
    """Write a policy, whole or not at all; one on the privileged state as such.

    Args:
        path: The file.
        network: Policy and value function.
        task: What it was trained for.
        contract: Of the arm.
        note: Kept beside the weights, for people.
    """
    size = network.size
    names = [name for name, kind in SIZES.items() if isinstance(size, kind)]
    if not names:
        privileged.save_policy(path, network, task, contract, note)
        return
    data = {
        "kind": KIND,
        "actor": names[0],
        "task": task,
        "contract": contract.to_dict(),
        "size": asdict(size),
        "weights": network.state_dict(),
        "note": note,
    }
    save_torch(path, data)
