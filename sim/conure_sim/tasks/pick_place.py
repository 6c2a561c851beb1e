"""The tasks of the behavioral prior: lift an object, or place it in a container."""

from dataclasses import dataclass
from typing import ClassVar

from conure_sim.experts.motion import Expert
from conure_sim.experts.pick_place import PickPlaceExpert
from conure_sim.objects.primitives import ObjectModel
from conure_sim.scenes.builder import SceneBuilder
from conure_sim.scenes.scene import Scene, choose_objects, choose_positions, extra_radius_m
from conure_sim.tasks.task import Task


@dataclass(frozen=True)
class Lift(Task[Scene]):
    """Lift the target."""

    any_object: ClassVar[bool] = True

    def pool(self, builder: SceneBuilder) -> dict[str, ObjectModel]:
        """The objects to choose from, by name."""
        return builder.pool

    def build_scene(self, builder: SceneBuilder) -> Scene:
        pool = self.pool(builder)
        models = choose_objects(builder.rng, pool, builder.distractors, builder.target)
        radii_m = [extra_radius_m(model) for model in models]
        places = choose_positions(builder.rng, radii_m, builder.region)
        return Scene(builder.world, builder.place_objects(models, places))

    def success(self, scene: Scene) -> bool:
        return scene.is_lifted(scene.target)

    def expert(self, scene: Scene) -> Expert:
        return PickPlaceExpert(scene)


@dataclass(frozen=True)
class Place(Task[Scene]):
    """Rest the target in (or on) a container, free of the fingers."""

    container: str
    """The kind of container, a key of CONTAINERS of a split."""

    any_object: ClassVar[bool] = True

    def build_scene(self, builder: SceneBuilder) -> Scene:
        pool = builder.pool
        models = choose_objects(builder.rng, pool, builder.distractors, builder.target)
        model = builder.choose_container(self.container)
        radii_m = [model.side_m / 2, *(extra_radius_m(model) for model in models)]
        centre, *places = choose_positions(builder.rng, radii_m, builder.region)
        container = builder.place_container(model, centre)
        return Scene(builder.world, builder.place_objects(models, places), container)

    def success(self, scene: Scene) -> bool:
        return scene.is_contained(scene.target) and scene.is_put_down(scene.target)

    def expert(self, scene: Scene) -> Expert:
        return PickPlaceExpert(scene)
