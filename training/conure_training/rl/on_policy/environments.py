"""Environments whose observations are vectors, the privileged state or an Atari game's memory, or
what a robot sees beside that state.
"""

from typing import Any

import gymnasium
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

    def observation(self, observation: dict[str, NDArray[Any]]) -> Any:
        """What is seen of one observation of the environment, or of rows of them."""
        return observation["state"]

    def observe(self) -> Any:
        """The present observation."""
        return self.observation(self.env.observe())  # type: ignore[attr-defined]

    def save_state(self) -> Any:
        """See FastRestore."""
        return self.env.save_state()  # type: ignore[attr-defined]

    def restore_state(self, state: Any) -> None:
        """See FastRestore."""
        self.env.restore_state(state)  # type: ignore[attr-defined]


class SeenAndState(PrivilegedState):
    """What a robot sees, `image` and `proprio`, beside the privileged `state`, by name."""

    NAMES = ("image", "proprio", "state")

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        spaces = {name: env.observation_space[name] for name in self.NAMES}
        self.observation_space = gymnasium.spaces.Dict(spaces)

    def observation(self, observation: dict[str, NDArray[Any]]) -> Any:
        return {name: observation[name] for name in self.NAMES}


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


def make_seen_environment(run: RunConfig) -> SeenAndState:
    """Make the run's environment for a policy that sees images.

    Args:
        run: Its task and the environment's settings.

    Returns:
        The environment, its observations arrays by name.

    Raises:
        ConfigError: A name is unknown.
    """
    return SeenAndState(make_environment(run.task, run, run.target))
