"""A drawer: opening it, and putting an object away in it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pybullet

from conure_sim.experts.drawer import DrawerOpenExpert, PlaceInDrawerExpert
from conure_sim.experts.motion import Expert, flat_axis, yaw_of
from conure_sim.objects.fixtures import DRAWERS, Array, DrawerModel
from conure_sim.objects.primitives import ObjectModel
from conure_sim.physics.bodies import Slider, add_sliding
from conure_sim.physics.world import World
from conure_sim.scenes.builder import Stage
from conure_sim.scenes.scene import Scene, SceneObject, choose_objects, choose_positions
from conure_sim.tasks.task import Task

FRICTION_N, DRAWER_MASS_KG = 0.6, 0.06
OPEN_SHARE, SHUT_M = 0.8, 0.012
MAX_LENGTH_M, MAX_HEIGHT_M = 0.042, 0.034


@dataclass(frozen=True)
class Drawer:
    """A drawer in its cabinet. `direction`, (3,), is where it opens to."""

    world: World
    model: DrawerModel
    body: int

    @property
    def opening_m(self) -> float:
        """How far it is open."""
        return float(self.world.client.getJointState(self.body, 0)[0])

    @property
    def direction(self) -> Array:
        """The horizontal unit vector, (3,), along which it opens."""
        return flat_axis(yaw_of(self.world.pose(self.body)[1]))

    def point(self, forward_m: float, height_m: float) -> Array:
        """A point (3,) above the drawer's middle line: so far before the cabinet's middle, so high over the table."""
        return self.world.pose(self.body)[0] + forward_m * self.direction + [0, 0, height_m]

    def grip_position(self, height_m: float) -> Array:
        """The middle of the grip, (3,), at a height above the table."""
        return self.point(self.model.depth_m / 2 + self.model.grip.middle[0] + self.opening_m, height_m)

    def holds(self, point: Array) -> bool:
        """Whether a point (3,), base frame, lies inside the drawer."""
        offset = self.world.local(self.body, point) - [self.opening_m, 0, 0]
        inside = (np.abs(offset[:2]) < self.model.inside_m + 0.004).all()
        return bool(inside and -0.005 < offset[2] < self.model.wall_m + 0.005)


class DrawerScene(Scene):
    """A drawer and objects."""

    def __init__(self, world: World, objects: list[SceneObject], drawer: Drawer, about_drawer: bool) -> None:
        super().__init__(world, objects)
        self.drawer, self.about_drawer = drawer, about_drawer

    @property
    def target_name(self) -> str:
        return self.drawer.model.name if self.about_drawer else self.target.model.name

    def put_away(self) -> bool:
        """Whether the target lies in the drawer."""
        return self.drawer.holds(self.world.pose(self.target.body)[0])

    def fixture_state(self) -> Array:
        """The grip's position (3,), the direction of opening (2,), the opening (m)."""
        grip = self.drawer.grip_position(self.drawer.model.grip.height_m)
        return np.concatenate([grip, self.drawer.direction[:2], [self.drawer.opening_m]])


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
        models = choose_objects(stage.rng, stage.small_objects(MAX_LENGTH_M, MAX_HEIGHT_M), 0, stage.target)
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
        model.drawer_boxes(), np.zeros(3), (1.0, 0.0, 0.0), model.travel_m, model.drawer_colour, DRAWER_MASS_KG
    )
    body = add_sliding(stage.world, model.cabinet_boxes(), stage.at(middle), yaw, model.cabinet_colour, drawer)
    stage.world.client.setJointMotorControl2(body, 0, pybullet.VELOCITY_CONTROL, targetVelocity=0.0, force=FRICTION_N)
    other = (0.0, 0.17) if side > 0 else (0.83, 1.0)
    places = choose_positions(rng, [0.0] * len(models), stage.part((0.0, other[0]), (1.0, other[1])), 0.055)
    items = [stage.put(*pair) for pair in zip(models, places, strict=True)]
    return DrawerScene(stage.world, items, Drawer(stage.world, model, body), about_drawer)
