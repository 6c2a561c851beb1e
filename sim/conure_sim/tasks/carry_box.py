"""Clearing a table with a box: the object goes into the box, and the box with it up from the
table.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from conure_sim.experts.carry_box import CarryBoxExpert
from conure_sim.experts.motion import Expert
from conure_sim.objects.fixtures import CARRY_BOXES
from conure_sim.physics.bodies import add_carried
from conure_sim.scenes.builder import Stage
from conure_sim.scenes.carry_box import CarryBoxScene
from conure_sim.scenes.scene import LIFTED_M, Container, choose_objects, choose_positions
from conure_sim.tasks.task import Task

MAX_LENGTH_M, MAX_HEIGHT_M = 0.042, 0.036
SPACING_M = 0.055


@dataclass(frozen=True)
class ClearWithBox(Task[CarryBoxScene]):
    """The object is to lie in the box while the box is lifted."""

    fixture_state_size: ClassVar[int] = 4

    def furnish(self, stage: Stage) -> CarryBoxScene:
        pool = stage.small_objects(MAX_LENGTH_M, MAX_HEIGHT_M)
        (model,) = choose_objects(stage.rng, pool, 0, stage.target)
        box_model = CARRY_BOXES[stage.containers]
        side = stage.rng.integers(2)
        (middle,) = choose_positions(
            stage.rng, [0.0], stage.part((0.2, 0.15 + 0.5 * side), (0.8, 0.35 + 0.5 * side))
        )
        yaw = stage.rng.uniform(-0.4, 0.4) + np.pi / 2 * stage.rng.integers(2)
        body = add_carried(
            stage.world,
            box_model.boxes(),
            stage.at(middle),
            yaw,
            box_model.colour,
            box_model.mass_kg,
        )
        taken = [(middle, box_model.side_m * 0.6)]
        (place,) = choose_positions(stage.rng, [0.0], stage.region, SPACING_M, taken)
        return CarryBoxScene(
            stage.world, stage.put(model, place), Container(stage.world, box_model, body)
        )

    def success(self, scene: CarryBoxScene) -> bool:
        return scene.contained(scene.target) and scene.box_height_m() > LIFTED_M

    def expert(self, scene: CarryBoxScene) -> Expert:
        return CarryBoxExpert(scene)
