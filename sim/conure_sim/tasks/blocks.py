"""Blocks: lifting one, stacking two, clearing a table of them.

Source of these three, and of carry_box, pour and orders: Zhu et al., Reinforcement and Imitation
Learning for Diverse Visuomotor Skills, RSS 2018.
"""

from dataclasses import dataclass

from conure_sim.experts.motion import Expert
from conure_sim.experts.pick_place import SortExpert
from conure_sim.experts.stack import StackExpert
from conure_sim.objects.primitives import ObjectModel
from conure_sim.scenes.builder import SceneBuilder
from conure_sim.scenes.scene import Scene, choose_objects, choose_positions
from conure_sim.scenes.stack import StackScene
from conure_sim.tasks.pick_place import Lift
from conure_sim.tasks.task import Task

BLOCK_SPACING_M = 0.065


def cubes(builder: SceneBuilder) -> dict[str, ObjectModel]:
    """The cubes of the episode's split."""
    return {name: model for name, model in builder.blocks().items() if name.startswith("block_")}


@dataclass(frozen=True)
class BlockLift(Lift):
    """Lift a block; blocks of other colours are the distractors."""

    def pool(self, builder: SceneBuilder) -> dict[str, ObjectModel]:
        return cubes(builder)


@dataclass(frozen=True)
class BlockStack(Task[StackScene]):
    """Rest the first block on the second, both free of the fingers."""

    def build_scene(self, builder: SceneBuilder) -> StackScene:
        models = choose_objects(builder.rng, cubes(builder), 1, builder.target)
        places = choose_positions(builder.rng, [0.0, 0.0], builder.region)
        return StackScene(builder.world, builder.place_objects(models, places))

    def success(self, scene: StackScene) -> bool:
        return scene.is_stacked() and all(scene.is_put_down(item) for item in scene.objects)

    def expert(self, scene: StackScene) -> Expert:
        return StackExpert(scene)


@dataclass(frozen=True)
class ClearBlocks(Task[Scene]):
    """Rest every block in the bin."""

    blocks: int = 3
    """Number of blocks on the table."""

    def build_scene(self, builder: SceneBuilder) -> Scene:
        rng = builder.rng
        models = choose_objects(rng, cubes(builder), self.blocks - 1, builder.target)
        bin_model = builder.choose_container("bin")

        side = rng.integers(2)
        lower = (0.2, 0.10 + 0.74 * side)
        upper = (0.9, 0.16 + 0.74 * side)
        (centre,) = choose_positions(rng, [0.0], builder.subregion(lower, upper))
        container = builder.place_container(bin_model, centre)

        radii_m = [0.0] * self.blocks
        taken = [(centre, bin_model.side_m / 2)]
        places = choose_positions(rng, radii_m, builder.region, BLOCK_SPACING_M, taken)
        return Scene(builder.world, builder.place_objects(models, places), container)

    def success(self, scene: Scene) -> bool:
        return all(scene.is_contained(item) and scene.is_put_down(item) for item in scene.objects)

    def expert(self, scene: Scene) -> Expert:
        return SortExpert(scene, lambda item: scene.container)
