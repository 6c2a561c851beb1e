"""The interface of every policy: a prior, a policy in z, a policy from scratch, a bundle."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conure_core.contract.spec import Contract
from conure_core.errors import ConfigError
from conure_sim.envs.rollout import Driver
from conure_training.data.environments import require_images

Observation = dict[str, NDArray[Any]]
"""One observation of the environment: `image` (h, w, 3) uint8, `proprio` (p,) float32, ..."""


class Policy(Protocol):
    """Chooses an action for one observation of an environment."""

    @property
    def contract(self) -> Contract:
        """The robot, observation and action that it was trained for."""
        ...

    @property
    def noise_dim(self) -> int:
        """Values of the noise: as many as an action has, or a chunk of actions."""
        ...

    def begin(self) -> None:
        """Start an episode: forget everything before it."""
        ...

    def act(self, observation: Observation, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Choose an action.

        Args:
            observation: Of the environment, which `contract` describes.
            noise: Shape (noise_dim,): standard normal to sample, zeros for the policy's mean.

        Returns:
            Shape (7,), in [-1, 1].
        """
        ...


class PrivilegedPolicy:
    """Base class of policies on the simulator's privileged state, which no robot measures."""

    task: str
    """What it was trained for: the state of another task has other values."""


def read_contract(data: Mapping[str, Any]) -> Contract:
    """Read the contract in the file of a privileged policy. Raises: ConfigError for a policy of a
    game, which has none.
    """
    if data["contract"] is None:
        raise ConfigError(
            f"the policy plays {data['task']}, which only conure rl evaluates: give evaluate_every="
        )
    return Contract.from_dict(data["contract"])


def as_batch(observation: Observation) -> tuple[Tensor, Tensor]:
    """Take image (1, h, w, 3) and proprioception (1, p) from one observation. Raises: ConfigError
    if it has no image.
    """
    require_images(observation)
    image = torch.from_numpy(observation["image"])
    proprio = torch.from_numpy(observation["proprio"])
    return image[None], proprio[None]


def as_driver(policy: Policy, noise_scale: float, rng: np.random.Generator) -> Driver:
    """Let a policy act in an environment, see `conure_sim.envs.rollout`.

    Args:
        policy: Any policy.
        noise_scale: Scale of its noise: 1 samples it, 0 takes its mean.
        rng: Draws the noise.

    Returns:
        A driver, which begins an episode whenever it is called.
    """

    def act(observation: Observation) -> NDArray[np.float32]:
        noise = noise_scale * rng.standard_normal(policy.noise_dim)
        return policy.act(observation, noise.astype(np.float32))

    def driver(_: Any) -> Any:
        policy.begin()
        return act

    return driver
