"""Visuomotor policies as files, and as the graph that a robot runs."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conure_core.contract.spec import Contract
from conure_training.nn.float64 import in_float64
from conure_training.policies.recurrent import RecurrentGraph, RecurrentPolicy
from conure_training.rl.on_policy import policy as privileged
from conure_training.rl.on_policy.networks import ActorCriticNetwork
from conure_training.rl.visuomotor.networks import (
    LatentNetwork,
    LatentSize,
    PixelNetwork,
    PixelSize,
)
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


def load_policy(data: Mapping[str, Any]) -> RecurrentPolicy:
    """What `save_policy` wrote, but for policies on the privileged state."""
    values = {**data["size"], "hidden": tuple(data["size"]["hidden"])}
    if data["actor"] == "latent":
        values["prior"] = {**values["prior"], "hidden": tuple(values["prior"]["hidden"])}
    network = SIZES[data["actor"]](**values).make()
    network.load_state_dict(data["weights"])
    graph = PixelGraph(network) if isinstance(network, PixelNetwork) else LatentGraph(network)
    return RecurrentPolicy(graph, Contract.from_dict(data["contract"]))


class PixelGraph(RecurrentGraph):
    """a = mean + std * noise of image and proprioception."""

    std: Tensor

    def __init__(self, network: PixelNetwork) -> None:
        """Copy what acts."""
        super().__init__(network.memory, network.size.actions)
        self.image_encoder = in_float64(network.image_encoder)
        self.normalize = in_float64(network.normalize)
        self.actor = in_float64(network.actor)
        self.register_buffer("std", network.log_std.detach().double().exp())

    def perceive(self, image: Tensor, proprio: Tensor) -> tuple[Tensor, Tensor]:
        encoded = torch.cat([self.image_encoder(image), self.normalize(proprio)], dim=-1)
        return encoded, encoded

    def decide(self, memory: Tensor, seen: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        return (self.actor(memory) + self.std * noise,)


class LatentGraph(RecurrentGraph):
    """z = mean + std * noise of a prior's features, a = f(z; features)."""

    has_prior = True
    std: Tensor

    def __init__(self, network: LatentNetwork) -> None:
        """Copy what acts."""
        super().__init__(network.memory, network.size.actions)
        self.encoder = in_float64(network.prior.encoder)
        self.flow = in_float64(network.prior.flow)
        self.normalize = in_float64(network.normalize)
        self.actor = in_float64(network.actor)
        self.register_buffer("std", network.log_std.detach().double().exp())

    def perceive(self, image: Tensor, proprio: Tensor) -> tuple[Tensor, Tensor]:
        features = self.encoder(image, proprio)
        return self.normalize(features), features

    def decide(self, memory: Tensor, seen: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        z = self.actor(memory) + self.std * noise
        action, log_likelihood = self.flow.decode_with_log_prob(z, seen)
        return action, z, log_likelihood
