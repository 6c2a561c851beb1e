"""Order fulfillment: bring several objects to the trays of their kinds."""

from dataclasses import dataclass
from typing import ClassVar

from conure_core.types import Array
from conure_sim.experts.motion import Expert
from conure_sim.experts.pick_place import SortExpert
from conure_sim.objects.fixtures import ContainerModel
from conure_sim.objects.primitives import ObjectModel
from conure_sim.scenes.builder import SceneBuilder
from conure_sim.scenes.orders import OrderScene
from conure_sim.scenes.scene import MAX_OBJECTS, choose_positions
from conure_sim.tasks.blocks import BLOCK_SPACING_M
from conure_sim.tasks.task import Task

COUNT_RANGE = (2, MAX_OBJECTS)
TRAYS = {
    "train": (
        ContainerModel(
            name="green_tray",
            side_m=0.10,
            wall_m=0.020,
            colour=(0.20, 0.45, 0.25),
        ),
        ContainerModel(
            name="red_tray",
            side_m=0.10,
            wall_m=0.020,
            colour=(0.55, 0.20, 0.20),
        ),
    ),
    "test": (
        ContainerModel(
            name="green_bin",
            side_m=0.104,
            wall_m=0.025,
            colour=(0.35, 0.55, 0.30),
        ),
        ContainerModel(
            name="red_bin",
            side_m=0.104,
            wall_m=0.025,
            colour=(0.65, 0.30, 0.25),
        ),
    ),
}


@dataclass(frozen=True)
class OrderFulfillment(Task[OrderScene]):
    """Rest two to four objects, at least one of each kind, in the trays of their kinds."""

    fixture_state_size: ClassVar[int] = 3 + MAX_OBJECTS

    def build_scene(self, builder: SceneBuilder) -> OrderScene:
        builder.require_target(*builder.blocks())
        green_model, red_model = TRAYS[builder.containers]
        swap = builder.rng.random() < 0.5
        left = self._tray_place(builder, 0.71)
        right = self._tray_place(builder, 0.23)
        green = builder.place_container(green_model, right if swap else left)
        red = builder.place_container(red_model, left if swap else right)

        models = self._choose_objects(builder)
        radii_m = [0.0] * len(models)
        region = builder.subregion((0, 0), (0.38, 1))
        places = choose_positions(builder.rng, radii_m, region, BLOCK_SPACING_M)
        return OrderScene(builder.world, builder.place_objects(models, places), green, red)

    def success(self, scene: OrderScene) -> bool:
        return all(
            scene.right_place(item).contains(scene.position_of(item)) and scene.is_put_down(item)
            for item in scene.objects
        )

    def expert(self, scene: OrderScene) -> Expert:
        return SortExpert(scene, scene.right_place)

    def _tray_place(self, builder: SceneBuilder, low: float) -> Array:
        """A place (2,) m for a tray at the far edge; `low`: its least y, a share of the region."""
        region = builder.subregion((0.98, low), (1.08, low + 0.06))
        (place,) = choose_positions(builder.rng, [0.0], region)
        return place

    def _choose_objects(self, builder: SceneBuilder) -> list[ObjectModel]:
        """Objects of both kinds, in random order; a fixed target comes first."""
        rng = builder.rng
        kinds: dict[str, list[ObjectModel]] = {"block": [], "can": []}
        for index in rng.permutation(len(builder.blocks())):
            model = list(builder.blocks().values())[index]
            kinds[_kind(model)].append(model)

        count = rng.integers(COUNT_RANGE[0], COUNT_RANGE[1] + 1)
        cans = rng.integers(1, count)
        chosen = kinds["can"][:cans] + kinds["block"][: count - cans]
        if builder.target is None:
            return [chosen[index] for index in rng.permutation(len(chosen))]

        target = builder.blocks()[builder.target]
        replaced = next(model for model in chosen if _kind(model) == _kind(target))
        dropped = (target.name, replaced.name)
        return [target] + [model for model in chosen if model.name not in dropped]


def _kind(model: ObjectModel) -> str:
    """'block' or 'can'."""
    return model.name.split("_")[0]
