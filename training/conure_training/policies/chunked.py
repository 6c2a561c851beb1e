"""A prior over action chunks as it acts: one decision for the next h actions, executed one a tick.

Source: Zhao et al., Learning fine-grained bimanual manipulation with low-cost hardware, RSS 2023.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from conure_core.contract.spec import Contract
from conure_core.errors import ConfigError
from conure_training.policies.graph import PolicyGraph
from conure_training.policies.policy import Agent
from conure_training.prior.model import Prior


class ChunkedAgent:
    """A prior over chunks as one that acts: decides `chunk` actions, executes `execute` of them,
    decides again.

    `execute` = chunk is open loop, 1 decides anew at every tick (receding horizon).

    >>> agent = ChunkedAgent(prior, execute=2)
    >>> agent.begin()  # at the start of every episode
    >>> action = agent.act(observation, rng.standard_normal(agent.noise_dim).astype(np.float32))
    """

    def __init__(self, prior: Prior, execute: int = 0) -> None:
        """`execute` 0: all of the chunk. Raises: ConfigError for more than it has."""
        if not 0 <= execute <= prior.size.chunk:
            raise ConfigError(
                f"execute must lie in 0..{prior.size.chunk}, the prior's chunk, got {execute}"
            )
        self.prior, self.execute = prior, execute or prior.size.chunk
        self.noise_dim = prior.latent_dim
        self.graph = PolicyGraph(prior.encoder, prior.flow, None)
        self._left: list[NDArray[np.float32]] = []

    @property
    def contract(self) -> Contract:
        """The prior's contract: of one tick."""
        return self.prior.contract

    def begin(self) -> None:
        """An episode starts: nothing is left of a chunk."""
        self._left = []

    @torch.inference_mode()
    def act(
        self, observation: dict[str, NDArray], noise: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """One action (a,); the noise (chunk * a,) counts at ticks at which a chunk is decided."""
        if not self._left:
            image, proprio = (
                torch.from_numpy(observation[name])[None] for name in ("image", "proprio")
            )
            chunk = self.graph(image, proprio, torch.from_numpy(noise)[None])[0]
            self._left = list(chunk.view(self.prior.size.chunk, -1).numpy()[: self.execute])
        return self._left.pop(0)


def with_execution_horizon(agent: Agent, execute: int) -> Agent:
    """The agent with another number of actions executed per chunk; 0 leaves it. Raises: ConfigError
    if it has none.
    """
    if execute == 0:
        return agent
    if not isinstance(agent, ChunkedAgent):
        raise ConfigError(
            "execute is for priors over action chunks (conure prior size.chunk=4); leave it at 0"
        )
    return ChunkedAgent(agent.prior, execute)
