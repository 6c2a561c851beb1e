"""A bundle as a policy."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conure_core.contract.bundle import load_bundle
from conure_core.contract.spec import Contract
from conure_training.policies.policy import Observation


class BundleAgent:
    """What the robot runs, in simulation."""

    def __init__(self, path: Path) -> None:
        self.bundle = load_bundle(path)

    @property
    def contract(self) -> Contract:
        """The bundle's contract."""
        return self.bundle.spec.contract

    @property
    def noise_dim(self) -> int:
        """An action's."""
        return self.contract.action.values.shape[0]

    def begin(self) -> None:
        """Nothing is remembered."""

    def act(self, observation: Observation, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Agent."""
        return np.asarray(self.bundle.act(observation, noise).action, dtype=np.float32)
