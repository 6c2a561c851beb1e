"""A drawer in its cabinet, and objects."""

from dataclasses import dataclass

import numpy as np

from conure_core.types import Array
from conure_sim.objects.fixtures import DrawerModel
from conure_sim.orientation import flat_axis, yaw_of
from conure_sim.physics.world import World
from conure_sim.scenes.scene import Scene, SceneObject


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
        """A point (3,) above the drawer's middle line: so far before the cabinet's middle, so high
        over the table.
        """
        return self.world.pose(self.body)[0] + forward_m * self.direction + [0, 0, height_m]

    def grip_position(self, height_m: float) -> Array:
        """The middle of the grip, (3,), at a height above the table."""
        return self.point(
            self.model.depth_m / 2 + self.model.grip.middle[0] + self.opening_m, height_m
        )

    def holds(self, point: Array) -> bool:
        """Whether a point (3,), base frame, lies inside the drawer."""
        offset = self.world.local(self.body, point) - [self.opening_m, 0, 0]
        inside = (np.abs(offset[:2]) < self.model.inside_m + 0.004).all()
        return bool(inside and -0.005 < offset[2] < self.model.wall_m + 0.005)


class DrawerScene(Scene):
    """A drawer and objects."""

    def __init__(
        self, world: World, objects: list[SceneObject], drawer: Drawer, about_drawer: bool
    ) -> None:
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
