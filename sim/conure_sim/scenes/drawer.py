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
    """A drawer in its cabinet."""

    world: World
    """The world that holds it."""
    model: DrawerModel
    """Its shape."""
    body: int
    """Its id in the physics client; joint 0 is the drawer's."""

    @property
    def opening_m(self) -> float:
        """How far it is open."""
        position_m, _ = self.world.slider_state(self.body)
        return float(position_m)

    @property
    def direction(self) -> Array:
        """The horizontal unit vector, (3,), along which it opens."""
        _, orientation = self.world.pose(self.body)
        return flat_axis(yaw_of(orientation))

    def point(self, forward_m: float, height_m: float) -> Array:
        """A point in the vertical plane through the drawer's axis.

        Args:
            forward_m: Distance in front of the cabinet's centre, m.
            height_m: Height above the table, m.

        Returns:
            The point in the base frame, (3,) m.
        """
        centre, _ = self.world.pose(self.body)
        return centre + forward_m * self.direction + [0, 0, height_m]

    def grip_position(self, height_m: float) -> Array:
        """The centre of the grip in the base frame, (3,) m, at a height above the table, m."""
        forward_m = self.model.depth_m / 2 + self.model.grip.centre[0] + self.opening_m
        return self.point(forward_m, height_m)

    def contains(self, point: Array) -> bool:
        """Whether a point of the base frame, (3,) m, lies inside the drawer."""
        offset = self.world.in_body_frame(self.body, point) - [self.opening_m, 0, 0]
        within_walls = (np.abs(offset[:2]) < self.model.inside_m + 0.004).all()
        return bool(within_walls and -0.005 < offset[2] < self.model.wall_m + 0.005)


class DrawerScene(Scene):
    """A drawer and objects; `about_drawer`: the reward is about the drawer, not an object."""

    def __init__(
        self, world: World, objects: list[SceneObject], drawer: Drawer, about_drawer: bool
    ) -> None:
        super().__init__(world, objects)
        self.drawer = drawer
        self.about_drawer = about_drawer

    @property
    def target_name(self) -> str:
        return self.drawer.model.name if self.about_drawer else self.target.model.name

    def is_put_away(self) -> bool:
        """Whether the target lies in the drawer."""
        return self.drawer.contains(self.position_of(self.target))

    def fixture_state(self) -> Array:
        """The grip's position (3,), the direction of opening (2,), the opening (m)."""
        grip = self.drawer.grip_position(self.drawer.model.grip.height_m)
        return np.concatenate([grip, self.drawer.direction[:2], [self.drawer.opening_m]])

    def fixture_velocities(self) -> Array:
        """How fast the drawer opens."""
        _, speed_m_s = self.world.slider_state(self.drawer.body)
        return np.array([speed_m_s])
