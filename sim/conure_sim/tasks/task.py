"""What a task is. Rewards are sparse: +1 at success, else 0."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from conure_sim.experts.motion import Expert
from conure_sim.scenes.builder import Stage
from conure_sim.scenes.scene import Scene

SceneType = TypeVar("SceneType", bound=Scene)


@dataclass(frozen=True)
class Task(ABC, Generic[SceneType]):
    """How the scene is furnished, when an episode has succeeded, and which scripted expert solves
    it.

    `max_steps`: control periods until the episode ends; `fixture_state_size`: length of the scene's
    `fixture_state`; `any_object`: whether every object on the table could as well be the target.
    """

    name: str
    max_steps: int

    fixture_state_size: ClassVar[int] = 0
    any_object: ClassVar[bool] = False

    @abstractmethod
    def furnish(self, stage: Stage) -> SceneType:
        """Put the episode's things on the table. Raises: ConfigError for a target that it cannot
        have.
        """

    @abstractmethod
    def success(self, scene: SceneType) -> bool:
        """Whether the task is done in the present physical state."""

    @abstractmethod
    def expert(self, scene: SceneType) -> Expert:
        """The scripted expert, for this scene."""
