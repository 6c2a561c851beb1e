"""Clearing a table with a box: put the object into the box, then lift the box."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from conure_sim.experts.carry_box import CarryBoxExpert
from conure_sim.experts.motion import Expert
from conure_sim.objects.fixtures import CARRY_BOXES
from conure_sim.scenes.builder import SceneBuilder
from conure_sim.scenes.carry_box import CarryBoxScene
from conure_sim.scenes.scene import LIFTED_M, Container, choose_objects, choose_positions
from conure_sim.tasks.task import Task

MAX_LENGTH_M = 0.042
MAX_HEIGHT_M = 0.036
SPACING_M = 0.055


@dataclass(frozen=True)
class ClearWithBox(Task[CarryBoxScene]):
    """Hold the object in the box while the box is lifted."""

    fixture_state_size: ClassVar[int] = 4
    fixture_velocity_size: ClassVar[int] = 6

    def build_scene(self, builder: SceneBuilder) -> CarryBoxScene:
        rng = builder.rng
        pool = builder.small_objects(MAX_LENGTH_M, MAX_HEIGHT_M)
        (model,) = choose_objects(rng, pool, 0, builder.target)
        box_model = CARRY_BOXES[builder.containers]

        side = rng.integers(2)
        lower = (0.2, 0.15 + 0.5 * side)
        upper = (0.8, 0.35 + 0.5 * side)
        (centre,) = choose_positions(rng, [0.0], builder.subregion(lower, upper))
        yaw_rad = rng.uniform(-0.4, 0.4) + np.pi / 2 * rng.integers(2)
        body = builder.world.add_carried(
            box_model.boxes(),
            builder.on_table(centre),
            yaw_rad,
            box_model.colour,
            box_model.mass_kg,
        )
        box = Container(builder.world, box_model, body)

        taken = [(centre, box_model.side_m * 0.6)]
        (place,) = choose_positions(rng, [0.0], builder.region, SPACING_M, taken)
        return CarryBoxScene(builder.world, builder.place_object(model, place), box)

    def success(self, scene: CarryBoxScene) -> bool:
        return scene.is_contained(scene.target) and scene.box_height_m() > LIFTED_M

    def expert(self, scene: CarryBoxScene) -> Expert:
        return CarryBoxExpert(scene)
