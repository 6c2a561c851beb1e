"""A policy in the latent space of a prior, and the prior itself."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from conure_core.contract.spec import Contract
from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.policies.graph import PolicyGraph
from conure_training.policies.policy import Observation, as_batch
from conure_training.prior.model import Prior


@dataclass(frozen=True)
class LatentPolicy:
    """z = mean + std * noise, a = f(z; features). It acts by the very graph that is exported."""

    prior: Prior
    """Encoder and flow."""

    policy: GaussianPolicy | None = None
    """Mean and standard deviation of z; None: 0 and 1, the prior itself."""

    @property
    def contract(self) -> Contract:
        """The prior's contract."""
        return self.prior.contract

    @property
    def noise_dim(self) -> int:
        """As many values as an action has."""
        return self.prior.action_dim

    def begin(self) -> None:
        """Do nothing: no step depends on an earlier one."""

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
        action, _, _ = self.graph(image, proprio, torch.from_numpy(noise)[None])
        return np.asarray(action[0].numpy())

    @cached_property
    def graph(self) -> PolicyGraph:
        """Encoder, policy and flow in one, in float64."""
        return PolicyGraph(self.prior.encoder, self.prior.flow, self.policy)
