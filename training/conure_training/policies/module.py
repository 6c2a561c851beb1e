"""Policies that are one torch module each: (image, proprio, noise) -> action."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conure_core.contract.spec import Contract
from conure_training.policies.policy import Observation


class PolicyModule(nn.Module):
    """Base: `parts`, by name, make the module; `forward` acts; `begin` forgets an earlier episode.

    image (1, H, W, 3) uint8, proprio (1, P), noise (1, A) -> actions (1, A), which whoever executes
    them clips.
    """

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def begin(self) -> None:
        """Nothing is remembered."""


@dataclass(frozen=True)
class ModuleAgent:
    """Acts by one such module."""

    module: PolicyModule
    contract: Contract

    @property
    def noise_dim(self) -> int:
        """An action's."""
        return self.contract.action.values.shape[0]

    def begin(self) -> None:
        """A new episode."""
        self.module.begin()

    @torch.inference_mode()
    def act(self, observation: Observation, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Agent."""
        image, proprio = (
            torch.from_numpy(observation[name])[None] for name in ("image", "proprio")
        )
        action: Tensor = self.module(image, proprio, torch.from_numpy(noise)[None])
        return action[0].clamp(-1.0, 1.0).numpy()
