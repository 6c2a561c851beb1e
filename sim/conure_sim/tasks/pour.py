"""Pouring small spheres from a mug into a cup."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from conure_core.types import Array
from conure_sim.experts.motion import Expert
from conure_sim.experts.pour import PourExpert
from conure_sim.objects.fixtures import CUPS, MUGS
from conure_sim.physics.bodies import add_carried, add_sphere
from conure_sim.scenes.builder import Stage
from conure_sim.scenes.pour import PourScene
from conure_sim.scenes.scene import Container, choose_positions
from conure_sim.tasks.task import Task

SPHERES, SPHERE_RADIUS_M, SPHERE_MASS_KG = 8, 0.005, 0.002
SPHERE_COLOUR = (0.20, 0.55, 0.90)
ENOUGH = 0.75
RING = 4
RING_RADIUS_M = 0.009


@dataclass(frozen=True)
class Pour(Task[PourScene]):
    """Six of the eight spheres are to be in the cup."""

    fixture_state_size: ClassVar[int] = 14

    def furnish(self, stage: Stage) -> PourScene:
        world, rng, mug_model, cup_model = (
            stage.world,
            stage.rng,
            MUGS[stage.containers],
            CUPS[stage.containers],
        )
        stage.require_target(mug_model.name)
        left, right = stage.part((0.35, 0.66), (0.80, 0.80)), stage.part((0.35, 0.18), (0.80, 0.32))
        mug_part, cup_part = (left, right) if rng.random() < 0.5 else (right, left)
        mug_place, cup_place = (
            choose_positions(rng, [0.0], part)[0] for part in (mug_part, cup_part)
        )
        cup = stage.container(cup_model, cup_place)
        body = add_carried(
            world,
            mug_model.boxes(),
            stage.at(mug_place),
            rng.uniform(-0.3, 0.3),
            mug_model.colour,
            mug_model.mass_kg,
        )
        spheres = [
            add_sphere(
                world, SPHERE_RADIUS_M, stage.at(mug_place) + spot, SPHERE_COLOUR, SPHERE_MASS_KG
            )
            for spot in _spots()
        ]
        return PourScene(world, Container(world, mug_model, body), cup, spheres)

    def success(self, scene: PourScene) -> bool:
        return scene.poured() >= ENOUGH

    def expert(self, scene: PourScene) -> Expert:
        return PourExpert(scene)


def _spots() -> Array:
    """Where in the mug the spheres lie at first, (SPHERES, 3) m: rings of RING, one above the
    other.
    """
    layer, angle = np.divmod(np.arange(SPHERES), RING)
    turn = 2 * np.pi / RING * (angle + layer / 2)
    z = 0.0062 + SPHERE_RADIUS_M * (1 + 2 * layer)
    return np.stack([RING_RADIUS_M * np.cos(turn), RING_RADIUS_M * np.sin(turn), z], axis=1)
