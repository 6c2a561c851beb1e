"""The interface of a task. Rewards are sparse: +1 at success, else 0."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from conure_sim.experts.motion import Expert
from conure_sim.scenes.builder import SceneBuilder
from conure_sim.scenes.scene import Scene

SceneType = TypeVar("SceneType", bound=Scene)


@dataclass(frozen=True)
class Task(ABC, Generic[SceneType]):
    """A task: builds its scenes, tells success, and names the expert that solves it."""

    name: str
    """NAME in `conure/NAME-v0`."""
    max_steps: int
    """Control periods until the episode is truncated."""

    fixture_state_size: ClassVar[int] = 0
    """Length of the scene's `fixture_state`."""
    fixture_velocity_size: ClassVar[int] = 0
    """Length of the scene's `fixture_velocities`."""
    any_object: ClassVar[bool] = False
    """Whether every object on the table could be the target as well."""

    @abstractmethod
    def build_scene(self, builder: SceneBuilder) -> SceneType:
        """Put objects and fixtures of an episode on the table, all drawn from `builder.rng`.

        Raises: ConfigError for a target that the task cannot have.
        """

    @abstractmethod
    def success(self, scene: SceneType) -> bool:
        """Whether the task is done in the present physical state."""

    @abstractmethod
    def expert(self, scene: SceneType) -> Expert:
        """The scripted expert, for this scene."""
