"""The environment that a configuration asks for; collecting, learning and evaluating name the same
settings.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import gymnasium

import conure_sim  # noqa: F401  (registers the environments)
from conure_sim.tasks import find_task


class EnvironmentSettings(Protocol):
    """What every configuration with an environment has."""

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


def make_environment(task: str, settings: EnvironmentSettings, target: str = "") -> Any:
    """The bare environment `conure/{task}-v0`; `target` empty: any object of the set."""
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
    ).unwrapped
