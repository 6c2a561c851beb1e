"""A bundle as a policy."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conure_core.contract.bundle import load_bundle
from conure_core.contract.spec import Contract
from conure_training.policies.policy import Observation


class BundlePolicy:
    """The policy that the robot runs, in simulation."""

    def __init__(self, path: Path) -> None:
        self.bundle = load_bundle(path)
        self.begin()

    @property
    def contract(self) -> Contract:
        """The bundle's contract."""
        return self.bundle.spec.contract

    @property
    def noise_dim(self) -> int:
        """As many values as an action has."""
        return self.contract.action.values.shape[0]

    def begin(self) -> None:
        """Start an episode: the memory, where there is one, is empty."""
        self._memory: NDArray[np.float32] | None = None

    def act(self, observation: Observation, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Choose an action.

        Args:
            observation: One of the environment.
            noise: Shape (noise_dim,), see `Policy.act`.

        Returns:
            Shape (7,), in [-1, 1].
        """
        decision = self.bundle.act(observation, noise, self._memory)
        self._memory = decision.memory
        return np.asarray(decision.action, dtype=np.float32)
