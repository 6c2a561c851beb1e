"""Clearing a table with a box: the object goes into the box, and the box with it up from the table."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from conure_sim.experts.carry_box import CarryBoxExpert
from conure_sim.experts.motion import Expert
from conure_sim.objects.fixtures import CARRY_BOXES, Array
from conure_sim.physics.bodies import add_carried
from conure_sim.physics.world import World
from conure_sim.scenes.builder import Stage
from conure_sim.scenes.scene import LIFTED_M, Container, Scene, SceneObject, choose_objects, choose_positions
from conure_sim.tasks.task import Task

MAX_LENGTH_M, MAX_HEIGHT_M = 0.042, 0.036
SPACING_M = 0.055


class CarryBoxScene(Scene):
    """One object, and a box with a grip that can be lifted."""

    def __init__(self, world: World, target: SceneObject, box: Container) -> None:
        super().__init__(world, [target], box)
        self.box = box

    def box_height_m(self) -> float:
        """How far the box stands above the table."""
        return float(self.box.position[2]) - self.world.robot.table_height_m

    def fixture_state(self) -> Array:
        """The box's orientation (xyzw)."""
        return self.world.pose(self.box.body)[1]


@dataclass(frozen=True)
class ClearWithBox(Task[CarryBoxScene]):
    """The object is to lie in the box while the box is lifted."""

    fixture_state_size: ClassVar[int] = 4

    def furnish(self, stage: Stage) -> CarryBoxScene:
        pool = stage.small_objects(MAX_LENGTH_M, MAX_HEIGHT_M)
        (model,) = choose_objects(stage.rng, pool, 0, stage.target)
        box_model = CARRY_BOXES[stage.containers]
        side = stage.rng.integers(2)
        (middle,) = choose_positions(stage.rng, [0.0], stage.part((0.2, 0.15 + 0.5 * side), (0.8, 0.35 + 0.5 * side)))
        yaw = stage.rng.uniform(-0.4, 0.4) + np.pi / 2 * stage.rng.integers(2)
        body = add_carried(stage.world, box_model.boxes(), stage.at(middle), yaw, box_model.colour, box_model.mass_kg)
        taken = [(middle, box_model.side_m * 0.6)]
        (place,) = choose_positions(stage.rng, [0.0], stage.region, SPACING_M, taken)
        return CarryBoxScene(stage.world, stage.put(model, place), Container(stage.world, box_model, body))

    def success(self, scene: CarryBoxScene) -> bool:
        return scene.contained(scene.target) and scene.box_height_m() > LIFTED_M

    def expert(self, scene: CarryBoxScene) -> Expert:
        return CarryBoxExpert(scene)
