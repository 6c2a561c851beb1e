"""Policies that are one torch module each: (image, proprio, noise) -> action."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conure_core.contract.spec import Contract
from conure_training.policies.policy import Observation, as_batch
from conure_training.prior.model import Prior


class PolicyModule(nn.Module):
    """Base class: named `parts` make the module, and a child's `forward` acts.

    image (1, H, W, 3) uint8, proprio (1, P), noise (1, A) -> actions (1, A), not clipped.
    """

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


class PriorModule(PolicyModule):
    """Base class of those that act on a prior's features too; a child says how: `decide_from`."""

    prior: Prior

    def decide_from(
        self, image: Tensor, proprio: Tensor, features: Tensor, noise: Tensor
    ) -> Tensor:
        """Choose actions.

        Args:
            image: Shape (B, H, W, 3), uint8.
            proprio: Shape (B, P).
            features: What the prior's encoder makes of both, shape (B, F).
            noise: Shape (B, A).

        Returns:
            Shape (B, A), not clipped.
        """
        raise NotImplementedError

    def forward(self, image: Tensor, proprio: Tensor, noise: Tensor) -> Tensor:
        return self.decide_from(image, proprio, self.prior.encoder(image, proprio), noise)


class FeatureModule(PriorModule):
    """Base class of those that act on a prior's features alone: a child says how, by `decide`."""

    def decide(self, features: Tensor, noise: Tensor) -> Tensor:
        """Choose actions.

        Args:
            features: Shape (B, F).
            noise: Shape (B, A).

        Returns:
            Shape (B, A), not clipped.
        """
        raise NotImplementedError

    def decide_from(
        self, image: Tensor, proprio: Tensor, features: Tensor, noise: Tensor
    ) -> Tensor:
        return self.decide(features, noise)


@dataclass(frozen=True)
class ModulePolicy:
    """A policy that acts by one such module."""

    module: PolicyModule
    contract: Contract

    @property
    def noise_dim(self) -> int:
        """As many values as an action has."""
        return self.contract.action.values.shape[0]

    def begin(self) -> None:
        """Start an episode: there is nothing to forget."""

    @torch.inference_mode()
    def act(self, observation: Observation, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Choose an action.

        Args:
            observation: One of the environment.
            noise: Shape (noise_dim,), see `Policy.act`.

        Returns:
            Shape (7,), in [-1, 1].
        """
        image, proprio = as_batch(observation)
        action: Tensor = self.module(image, proprio, torch.from_numpy(noise)[None])
        return action[0].clamp(-1.0, 1.0).numpy()
