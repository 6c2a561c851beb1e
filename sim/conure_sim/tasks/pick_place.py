"""The tasks of the behavioral prior: lift one object among distractors, or put it into a
container.
"""

from dataclasses import dataclass
from typing import ClassVar

from conure_sim.experts.motion import Expert
from conure_sim.experts.pick_place import PickPlaceExpert
from conure_sim.objects.primitives import ObjectModel
from conure_sim.scenes.builder import Stage
from conure_sim.scenes.scene import Scene, choose_objects, choose_positions, extra_radius_m
from conure_sim.tasks.task import Task


@dataclass(frozen=True)
class Lift(Task[Scene]):
    """The target is to be lifted."""

    any_object: ClassVar[bool] = True

    def pool(self, stage: Stage) -> dict[str, ObjectModel]:
        """The objects to choose from."""
        return stage.pool

    def furnish(self, stage: Stage) -> Scene:
        models = choose_objects(stage.rng, self.pool(stage), stage.distractors, stage.target)
        places = choose_positions(
            stage.rng, [extra_radius_m(model) for model in models], stage.region
        )
        return Scene(stage.world, [stage.put(*pair) for pair in zip(models, places, strict=True)])

    def success(self, scene: Scene) -> bool:
        return scene.lifted(scene.target)

    def expert(self, scene: Scene) -> Expert:
        return PickPlaceExpert(scene)


@dataclass(frozen=True)
class Place(Task[Scene]):
    """The target is to rest in (or on) a container, and no finger is to touch it."""

    container: str

    any_object: ClassVar[bool] = True

    def furnish(self, stage: Stage) -> Scene:
        models = choose_objects(stage.rng, stage.pool, stage.distractors, stage.target)
        container = stage.container_model(self.container)
        radii = [container.side_m / 2, *(extra_radius_m(model) for model in models)]
        middle, *places = choose_positions(stage.rng, radii, stage.region)
        standing = stage.container(container, middle)
        return Scene(
            stage.world, [stage.put(*pair) for pair in zip(models, places, strict=True)], standing
        )

    def success(self, scene: Scene) -> bool:
        return scene.contained(scene.target) and scene.put_down(scene.target)

    def expert(self, scene: Scene) -> Expert:
        return PickPlaceExpert(scene)
