"""A drawer: opening it, and putting an object away in it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pybullet

from conure_sim.experts.drawer import DrawerOpenExpert, PlaceInDrawerExpert
from conure_sim.experts.motion import Expert
from conure_sim.objects.fixtures import DRAWERS
from conure_sim.objects.primitives import ObjectModel
from conure_sim.physics.bodies import Slider, add_sliding
from conure_sim.scenes.builder import Stage
from conure_sim.scenes.drawer import Drawer, DrawerScene
from conure_sim.scenes.scene import choose_objects, choose_positions
from conure_sim.tasks.task import Task

FRICTION_N, DRAWER_MASS_KG = 0.6, 0.06
OPEN_SHARE, SHUT_M = 0.8, 0.012
MAX_LENGTH_M, MAX_HEIGHT_M = 0.042, 0.034


@dataclass(frozen=True)
class DrawerOpen(Task[DrawerScene]):
    """The drawer is to be pulled out by most of its travel."""

    fixture_state_size: ClassVar[int] = 6

    def furnish(self, stage: Stage) -> DrawerScene:
        stage.require_target(DRAWERS[stage.containers].name)
        return furnished(stage, stage.bystanders(), about_drawer=True)

    def success(self, scene: DrawerScene) -> bool:
        return scene.drawer.opening_m > OPEN_SHARE * scene.drawer.model.travel_m

    def expert(self, scene: DrawerScene) -> Expert:
        return DrawerOpenExpert(scene)


@dataclass(frozen=True)
class PlaceInDrawer(Task[DrawerScene]):
    """The target is to lie in the drawer, and the drawer is to be shut."""

    fixture_state_size: ClassVar[int] = 6

    def furnish(self, stage: Stage) -> DrawerScene:
        models = choose_objects(
            stage.rng, stage.small_objects(MAX_LENGTH_M, MAX_HEIGHT_M), 0, stage.target
        )
        return furnished(stage, models, about_drawer=False)

    def success(self, scene: DrawerScene) -> bool:
        return scene.drawer.opening_m < SHUT_M and scene.put_away()

    def expert(self, scene: DrawerScene) -> Expert:
        return PlaceInDrawerExpert(scene)


def furnished(stage: Stage, models: list[ObjectModel], about_drawer: bool) -> DrawerScene:
    """A cabinet on one side of the region, opening to the other, where the objects are."""
    model, rng = DRAWERS[stage.containers], stage.rng
    side = 1.0 if rng.random() < 0.5 else -1.0
    depth = 0.5 + 0.37 * side
    (middle,) = choose_positions(rng, [0.0], stage.part((0.3, depth - 0.02), (0.75, depth + 0.02)))
    yaw = -side * np.pi / 2 + rng.uniform(-0.12, 0.12)
    drawer = Slider(
        model.drawer_boxes(),
        np.zeros(3),
        (1.0, 0.0, 0.0),
        model.travel_m,
        model.drawer_colour,
        DRAWER_MASS_KG,
    )
    body = add_sliding(
        stage.world, model.cabinet_boxes(), stage.at(middle), yaw, model.cabinet_colour, drawer
    )
    stage.world.client.setJointMotorControl2(
        body, 0, pybullet.VELOCITY_CONTROL, targetVelocity=0.0, force=FRICTION_N
    )
    other = (0.0, 0.17) if side > 0 else (0.83, 1.0)
    places = choose_positions(
        rng, [0.0] * len(models), stage.part((0.0, other[0]), (1.0, other[1])), 0.055
    )
    items = [stage.put(*pair) for pair in zip(models, places, strict=True)]
    return DrawerScene(stage.world, items, Drawer(stage.world, model, body), about_drawer)
