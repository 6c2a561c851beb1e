"""A policy in the latent space of a prior, and the prior itself."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from conure_core.contract.spec import Contract
from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.policies.graph import PolicyGraph
from conure_training.policies.policy import Observation
from conure_training.prior.model import Prior


@dataclass(frozen=True)
class LatentAgent:
    """z = mean + std * noise, a = f(z; features). Without a policy it is the prior itself: mean 0,
    std 1.

    It acts by the very graph that is exported.
    """

    prior: Prior
    policy: GaussianPolicy | None = None

    @property
    def contract(self) -> Contract:
        """The prior's contract."""
        return self.prior.contract

    @property
    def noise_dim(self) -> int:
        """An action's."""
        return self.prior.action_dim

    def begin(self) -> None:
        """Nothing is remembered."""

    @torch.inference_mode()
    def act(self, observation: Observation, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Agent."""
        image, proprio = (
            torch.from_numpy(observation[name])[None] for name in ("image", "proprio")
        )
        action, _, _ = self.graph(image, proprio, torch.from_numpy(noise)[None])
        return np.asarray(action[0].numpy())

    @cached_property
    def graph(self) -> PolicyGraph:
        """Encoder, policy and flow in one, in float64."""
        return PolicyGraph(self.prior.encoder, self.prior.flow, self.policy)
