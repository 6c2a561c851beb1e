"""Environments whose observations are vectors: the privileged state, or an Atari game's memory."""

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from conure_sim.envs.snapshot import FastRestore
from conure_training.data.atari import AtariRam, is_atari
from conure_training.data.environments import make_environment
from conure_training.rl.config import RunConfig


class PrivilegedState(gymnasium.ObservationWrapper[Any, Any, Any]):
    """A tabletop environment seen by its privileged state alone, whose states are snapshots. Each
    is restored into a rebuilt scene: what follows does not depend on earlier episodes.
    """

    def __init__(self, env: Any) -> None:
        super().__init__(FastRestore(env, rebuild=True))
        self.observation_space = env.observation_space["state"]

    def observation(self, observation: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        state: NDArray[np.float32] = observation["state"]
        return state

    def observe(self) -> NDArray[np.float32]:
        """The present observation, (S,)."""
        return self.observation(self.env.observe())  # type: ignore[attr-defined]

    def save_state(self) -> Any:
        """See FastRestore."""
        return self.env.save_state()  # type: ignore[attr-defined]

    def restore_state(self, state: Any) -> None:
        """See FastRestore."""
        self.env.restore_state(state)  # type: ignore[attr-defined]


def make_vector_environment(run: RunConfig, images: bool = False) -> Any:
    """Make the run's environment.

    Args:
        run: Its task and the environment's settings.
        images: Whether the unwrapped environment observes images, for a policy that guides, though
            the method uses none.

    Returns:
        An environment with `save_state`, `restore_state` and `observe`, its observations vectors.

    Raises:
        ConfigError: A name is unknown, or ale-py is missing.
    """
    if is_atari(run.task):
        return AtariRam(run.task)
    images = images or run.method.uses_images
    return PrivilegedState(make_environment(run.task, run, run.target, images))
