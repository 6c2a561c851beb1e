"""Pouring small spheres from a mug into a cup."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from conure_core.types import Array
from conure_sim.experts.motion import Expert
from conure_sim.experts.pour import PourExpert
from conure_sim.objects.fixtures import CUPS, MUGS
from conure_sim.scenes.builder import SceneBuilder
from conure_sim.scenes.pour import PourScene
from conure_sim.scenes.scene import Container, choose_positions
from conure_sim.tasks.task import Task

SPHERES = 8
SPHERE_RADIUS_M = 0.005
SPHERE_MASS_KG = 0.002
SPHERE_COLOUR = (0.20, 0.55, 0.90)
ENOUGH_SHARE = 0.75
RING = 4
RING_RADIUS_M = 0.009


@dataclass(frozen=True)
class Pour(Task[PourScene]):
    """Pour six of the eight spheres into the cup."""

    fixture_state_size: ClassVar[int] = 14
    fixture_velocity_size: ClassVar[int] = 9

    def build_scene(self, builder: SceneBuilder) -> PourScene:
        world = builder.world
        rng = builder.rng
        mug_model = MUGS[builder.containers]
        cup_model = CUPS[builder.containers]
        builder.require_target(mug_model.name)

        left = builder.subregion((0.35, 0.66), (0.80, 0.80))
        right = builder.subregion((0.35, 0.18), (0.80, 0.32))
        mug_region, cup_region = (left, right) if rng.random() < 0.5 else (right, left)
        (mug_place,) = choose_positions(rng, [0.0], mug_region)
        (cup_place,) = choose_positions(rng, [0.0], cup_region)

        cup = builder.place_container(cup_model, cup_place)
        position = builder.on_table(mug_place)
        body = world.add_carried(
            mug_model.boxes(),
            position,
            rng.uniform(-0.3, 0.3),
            mug_model.colour,
            mug_model.mass_kg,
        )
        spheres = [
            world.add_sphere(SPHERE_RADIUS_M, position + offset, SPHERE_COLOUR, SPHERE_MASS_KG)
            for offset in _sphere_offsets()
        ]
        return PourScene(world, Container(world, mug_model, body), cup, spheres)

    def success(self, scene: PourScene) -> bool:
        return scene.poured_share() >= ENOUGH_SHARE

    def expert(self, scene: PourScene) -> Expert:
        return PourExpert(scene)


def _sphere_offsets() -> Array:
    """Start positions of the spheres in the mug, (SPHERES, 3) m: rings of RING in layers."""
    layer, index = np.divmod(np.arange(SPHERES), RING)
    angle = 2 * np.pi / RING * (index + layer / 2)
    x = RING_RADIUS_M * np.cos(angle)
    y = RING_RADIUS_M * np.sin(angle)
    z = 0.0062 + SPHERE_RADIUS_M * (1 + 2 * layer)
    return np.stack([x, y, z], axis=1)
