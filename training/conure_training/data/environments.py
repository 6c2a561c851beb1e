"""The environment of a configuration: collecting, learning and evaluating share its settings."""

from collections.abc import Mapping
from typing import Any, Protocol

import gymnasium

import conure_sim  # noqa: F401  (registers the environments)
from conure_core.errors import ConfigError
from conure_sim.physics.engines import PYBULLET
from conure_sim.tasks import find_task


class EnvironmentSettings(Protocol):
    """The fields of every configuration that has an environment."""

    @property
    def arm(self) -> str: ...
    @property
    def image_size(self) -> int: ...
    @property
    def objects(self) -> str: ...
    @property
    def containers(self) -> str: ...
    @property
    def distractors(self) -> int: ...
    @property
    def randomization(self) -> Mapping[str, Any]: ...


def require_images(observation: Mapping[str, Any]) -> None:
    """Raises: ConfigError if an observation, which a policy on images gets, has none."""
    if "image" not in observation:
        raise ConfigError(
            f"the policy sees images, but the observation has only {sorted(observation)}; make the"
            " environment with images=True"
        )


def make_environment(
    task: str,
    settings: EnvironmentSettings,
    target: str = "",
    images: bool = True,
    physics: str = PYBULLET,
) -> Any:
    """Make the environment `conure/{task}-v0`, without Gymnasium's wrappers.

    Args:
        task: Name of a task, such as "Lift".
        settings: A configuration with the environment's fields.
        target: Name of the object to act on; empty: any of the set.
        images: Whether observations hold images.
        physics: One of ENGINES.

    Returns:
        A `TabletopEnv`.

    Raises:
        ConfigError: A name is unknown.
    """
    find_task(task)
    return gymnasium.make(
        f"conure/{task}-v0",
        arm=settings.arm,
        image_size=settings.image_size,
        objects=settings.objects,
        containers=settings.containers,
        distractors=settings.distractors,
        randomization=settings.randomization,
        target=target or None,
        images=images,
        physics=physics,
    ).unwrapped
