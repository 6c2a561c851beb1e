"""Order fulfillment: several objects, each to the place of its kind."""

from dataclasses import dataclass
from typing import ClassVar

from conure_sim.experts.motion import Expert
from conure_sim.experts.pick_place import SortExpert
from conure_sim.objects.fixtures import ContainerModel
from conure_sim.objects.primitives import ObjectModel
from conure_sim.scenes.builder import Stage
from conure_sim.scenes.orders import OrderScene
from conure_sim.scenes.scene import MAX_OBJECTS, choose_positions
from conure_sim.tasks.blocks import BLOCK_SPACING_M
from conure_sim.tasks.task import Task

COUNT_RANGE = (2, MAX_OBJECTS)
TRAYS = {
    "train": (
        ContainerModel("green_tray", 0.10, 0.020, (0.20, 0.45, 0.25)),
        ContainerModel("red_tray", 0.10, 0.020, (0.55, 0.20, 0.20)),
    ),
    "test": (
        ContainerModel("green_bin", 0.104, 0.025, (0.35, 0.55, 0.30)),
        ContainerModel("red_bin", 0.104, 0.025, (0.65, 0.30, 0.25)),
    ),
}


@dataclass(frozen=True)
class OrderFulfillment(Task[OrderScene]):
    """Two to four objects, at least one of each kind, are to rest in the trays of their kinds."""

    fixture_state_size: ClassVar[int] = 3 + MAX_OBJECTS

    def furnish(self, stage: Stage) -> OrderScene:
        stage.require_target(*stage.blocks())
        green_model, red_model = TRAYS[stage.containers]
        swap = stage.rng.random() < 0.5
        left, right = (
            choose_positions(stage.rng, [0.0], stage.part((0.98, low), (1.08, low + 0.06)))[0]
            for low in (0.71, 0.23)
        )
        green = stage.container(green_model, right if swap else left)
        red = stage.container(red_model, left if swap else right)
        models = self._ordered(stage)
        places = choose_positions(
            stage.rng, [0.0] * len(models), stage.part((0, 0), (0.38, 1)), BLOCK_SPACING_M
        )
        items = [stage.put(*pair) for pair in zip(models, places, strict=True)]
        return OrderScene(stage.world, items, green, red)

    def success(self, scene: OrderScene) -> bool:
        return all(
            scene.right_place(item).holds(scene.world.pose(item.body)[0]) and scene.put_down(item)
            for item in scene.objects
        )

    def expert(self, scene: OrderScene) -> Expert:
        return SortExpert(scene, scene.right_place)

    def _ordered(self, stage: Stage) -> list[ObjectModel]:
        """The objects, in random order, of both kinds; the target asked for first."""
        kinds: dict[str, list[ObjectModel]] = {"block": [], "can": []}
        for index in stage.rng.permutation(len(stage.blocks())):
            model = list(stage.blocks().values())[index]
            kinds[model.name.split("_")[0]].append(model)
        count = stage.rng.integers(COUNT_RANGE[0], COUNT_RANGE[1] + 1)
        cans = stage.rng.integers(1, count)
        chosen = kinds["can"][:cans] + kinds["block"][: count - cans]
        if stage.target is not None:
            wanted = stage.blocks()[stage.target]
            alike = [
                model for model in chosen if model.name.split("_")[0] == wanted.name.split("_")[0]
            ]
            chosen = [wanted] + [
                model for model in chosen if model.name not in (wanted.name, alike[0].name)
            ]
        else:
            chosen = [chosen[index] for index in stage.rng.permutation(len(chosen))]
        return chosen
