"""A prior over action chunks as a policy: one decision for the next h actions, executed one a tick.

Source: Zhao et al., Learning fine-grained bimanual manipulation with low-cost hardware, RSS 2023.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from conure_core.contract.spec import Contract
from conure_core.errors import ConfigError
from conure_training.policies.graph import PolicyGraph
from conure_training.policies.policy import Observation, Policy, as_batch
from conure_training.prior.model import Prior


class ChunkedPolicy:
    """Decides a chunk of actions, executes the first `execute` of them, decides again.

    `execute` = chunk is open loop; `execute` = 1 decides at every tick (receding horizon).

    >>> policy = ChunkedPolicy(prior, execute=2)
    >>> policy.begin()  # at the start of every episode
    >>> action = policy.act(observation, rng.standard_normal(policy.noise_dim).astype(np.float32))
    """

    def __init__(self, prior: Prior, execute: int = 0) -> None:
        """Wrap a prior.

        Args:
            prior: Over chunks of h actions.
            execute: Actions executed of a chunk, in 1..h; 0: all.

        Raises:
            ConfigError: More than the chunk has.
        """
        if not 0 <= execute <= prior.size.chunk:
            raise ConfigError(
                f"execute must lie in 0..{prior.size.chunk}, the prior's chunk, got {execute}"
            )
        self.prior = prior
        self.execute = execute or prior.size.chunk
        self.noise_dim = prior.latent_dim
        self.graph = PolicyGraph(prior.encoder, prior.flow, None)
        self._left: list[NDArray[np.float32]] = []

    @property
    def contract(self) -> Contract:
        """The prior's contract: of one tick."""
        return self.prior.contract

    def begin(self) -> None:
        """Start an episode: drop the rest of a chunk."""
        self._left = []

    @torch.inference_mode()
    def act(self, observation: Observation, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Choose an action.

        Args:
            observation: One of the environment.
            noise: Shape (h * 7,); used only at ticks at which a chunk is decided.

        Returns:
            Shape (7,), in [-1, 1].
        """
        if not self._left:
            image, proprio = as_batch(observation)
            decided, _, _ = self.graph(image, proprio, torch.from_numpy(noise)[None])
            chunk = decided.view(self.prior.size.chunk, -1).numpy()
            self._left = list(chunk[: self.execute])
        return self._left.pop(0)


def with_execution_horizon(policy: Policy, execute: int) -> Policy:
    """Change how many actions of a chunk a policy executes.

    Args:
        policy: Any policy.
        execute: The new number; 0 leaves the policy as it is.

    Returns:
        The changed policy.

    Raises:
        ConfigError: The policy has no chunks, or shorter ones.
    """
    if execute == 0:
        return policy
    if not isinstance(policy, ChunkedPolicy):
        raise ConfigError(
            "execute is for priors over action chunks (conure prior size.chunk=4); leave it at 0"
        )
    return ChunkedPolicy(policy.prior, execute)
