"""A drawer: opening it, and putting an object away in it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from conure_sim.experts.drawer import DrawerOpenExpert, PlaceInDrawerExpert
from conure_sim.experts.motion import Expert
from conure_sim.objects.fixtures import DRAWERS
from conure_sim.objects.primitives import ObjectModel
from conure_sim.physics.slider import Slider
from conure_sim.scenes.builder import SceneBuilder
from conure_sim.scenes.drawer import Drawer, DrawerScene
from conure_sim.scenes.scene import choose_objects, choose_positions
from conure_sim.tasks.task import Task

FRICTION_N = 0.6
DRAWER_MASS_KG = 0.06
OPEN_SHARE = 0.8
CLOSED_M = 0.012
MAX_LENGTH_M = 0.042
MAX_HEIGHT_M = 0.034
SPACING_M = 0.055


@dataclass(frozen=True)
class DrawerOpen(Task[DrawerScene]):
    """Pull the drawer out by most of its travel."""

    fixture_state_size: ClassVar[int] = 6
    fixture_velocity_size: ClassVar[int] = 1

    def build_scene(self, builder: SceneBuilder) -> DrawerScene:
        builder.require_target(DRAWERS[builder.containers].name)
        return _build_drawer_scene(builder, builder.choose_distractors(), about_drawer=True)

    def success(self, scene: DrawerScene) -> bool:
        return scene.drawer.opening_m > OPEN_SHARE * scene.drawer.model.travel_m

    def expert(self, scene: DrawerScene) -> Expert:
        return DrawerOpenExpert(scene)


@dataclass(frozen=True)
class PlaceInDrawer(Task[DrawerScene]):
    """Put the target into the drawer and close the drawer."""

    fixture_state_size: ClassVar[int] = 6
    fixture_velocity_size: ClassVar[int] = 1

    def build_scene(self, builder: SceneBuilder) -> DrawerScene:
        pool = builder.small_objects(MAX_LENGTH_M, MAX_HEIGHT_M)
        models = choose_objects(builder.rng, pool, 0, builder.target)
        return _build_drawer_scene(builder, models, about_drawer=False)

    def success(self, scene: DrawerScene) -> bool:
        return scene.drawer.opening_m < CLOSED_M and scene.is_put_away()

    def expert(self, scene: DrawerScene) -> Expert:
        return PlaceInDrawerExpert(scene)


def _build_drawer_scene(
    builder: SceneBuilder, models: list[ObjectModel], about_drawer: bool
) -> DrawerScene:
    """A cabinet on one side of the region, opening to the other, where the objects are."""
    rng = builder.rng
    side = 1.0 if rng.random() < 0.5 else -1.0
    drawer = _add_drawer(builder, side)

    low, high = (0.0, 0.17) if side > 0 else (0.83, 1.0)
    region = builder.subregion((0.0, low), (1.0, high))
    places = choose_positions(rng, [0.0] * len(models), region, SPACING_M)
    objects = builder.place_objects(models, places)
    return DrawerScene(builder.world, objects, drawer, about_drawer)


def _add_drawer(builder: SceneBuilder, side: float) -> Drawer:
    """A cabinet on the left (side 1) or right (-1) of the region, opening to the other side."""
    world = builder.world
    model = DRAWERS[builder.containers]
    depth = 0.5 + 0.37 * side
    region = builder.subregion((0.3, depth - 0.02), (0.75, depth + 0.02))
    (centre,) = choose_positions(builder.rng, [0.0], region)
    yaw_rad = -side * np.pi / 2 + builder.rng.uniform(-0.12, 0.12)

    slider = Slider(
        parts=model.drawer_boxes(),
        position=np.zeros(3),
        axis=(1.0, 0.0, 0.0),
        travel_m=model.travel_m,
        colour=model.drawer_colour,
        mass_kg=DRAWER_MASS_KG,
        force_n=FRICTION_N,
    )
    position = builder.on_table(centre)
    body = world.add_sliding(model.cabinet_boxes(), position, yaw_rad, model.cabinet_colour, slider)
    return Drawer(world, model, body)
