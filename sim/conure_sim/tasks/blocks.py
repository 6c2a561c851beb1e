"""Blocks: lifting one, stacking two, clearing a table of them.

Source of these three, as of carry_box, pour and orders: Zhu et al., Reinforcement and Imitation
Learning for Diverse Visuomotor Skills, RSS 2018.
"""

from dataclasses import dataclass

from conure_sim.experts.motion import Expert
from conure_sim.experts.pick_place import SortExpert
from conure_sim.experts.stack import StackExpert
from conure_sim.objects.primitives import ObjectModel
from conure_sim.scenes.builder import Stage
from conure_sim.scenes.scene import Scene, choose_objects, choose_positions
from conure_sim.scenes.stack import StackScene
from conure_sim.tasks.pick_place import Lift
from conure_sim.tasks.task import Task

BLOCK_SPACING_M = 0.065


def cubes(stage: Stage) -> dict[str, ObjectModel]:
    """The cubes of the episode's split."""
    return {name: model for name, model in stage.blocks().items() if name.startswith("block_")}


@dataclass(frozen=True)
class BlockLift(Lift):
    """A block is to be lifted, blocks of other colours are the distractors."""

    def pool(self, stage: Stage) -> dict[str, ObjectModel]:
        return cubes(stage)


@dataclass(frozen=True)
class BlockStack(Task[StackScene]):
    """The first block is to rest on the second, both free of the fingers."""

    def furnish(self, stage: Stage) -> StackScene:
        models = choose_objects(stage.rng, cubes(stage), 1, stage.target)
        places = choose_positions(stage.rng, [0.0, 0.0], stage.region)
        return StackScene(
            stage.world, [stage.put(*pair) for pair in zip(models, places, strict=True)]
        )

    def success(self, scene: StackScene) -> bool:
        return scene.stacked() and all(scene.put_down(item) for item in scene.objects)

    def expert(self, scene: StackScene) -> Expert:
        return StackExpert(scene)


@dataclass(frozen=True)
class ClearBlocks(Task[Scene]):
    """Every block is to rest in the bin."""

    blocks: int = 3

    def furnish(self, stage: Stage) -> Scene:
        models = choose_objects(stage.rng, cubes(stage), self.blocks - 1, stage.target)
        bin_model = stage.container_model("bin")
        side = stage.rng.integers(2)
        (middle,) = choose_positions(
            stage.rng, [0.0], stage.part((0.2, 0.10 + 0.74 * side), (0.9, 0.16 + 0.74 * side))
        )
        standing = stage.container(bin_model, middle)
        taken = [(middle, bin_model.side_m / 2)]
        places = choose_positions(
            stage.rng, [0.0] * self.blocks, stage.region, BLOCK_SPACING_M, taken
        )
        return Scene(
            stage.world, [stage.put(*pair) for pair in zip(models, places, strict=True)], standing
        )

    def success(self, scene: Scene) -> bool:
        return all(scene.contained(item) and scene.put_down(item) for item in scene.objects)

    def expert(self, scene: Scene) -> Expert:
        return SortExpert(scene, lambda item: scene.container)
