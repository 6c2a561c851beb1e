"""Whatever chooses actions, behind one small interface: a prior, a policy in z, a policy from
scratch, a bundle.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from conure_core.contract.spec import Contract

Observation = dict[str, NDArray[Any]]


class Agent(Protocol):
    """Chooses an action (7,) in [-1, 1] for one observation of an environment."""

    @property
    def contract(self) -> Contract: ...

    @property
    def noise_dim(self) -> int:
        """How many values the noise has: an action's, or a chunk's."""
        ...

    def begin(self) -> None:
        """An episode starts: a policy that remembers forgets what was before."""
        ...

    def act(self, observation: Observation, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """`noise` (noise_dim,): standard normal to sample, zeros for the mean of the policy."""
        ...
