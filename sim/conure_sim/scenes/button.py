"""A button that a spring holds up, among objects."""

import numpy as np

from conure_core.types import Array
from conure_sim.objects.fixtures import ButtonModel
from conure_sim.physics.world import World
from conure_sim.scenes.scene import Scene, SceneObject

CAP_RISE_M = 0.002


class ButtonScene(Scene):
    """A button among objects."""

    def __init__(
        self, world: World, objects: list[SceneObject], model: ButtonModel, body: int
    ) -> None:
        super().__init__(world, objects)
        self.model = model
        self.body = body

    @property
    def target_name(self) -> str:
        return self.model.name

    def pressed_m(self) -> float:
        """How far the cap is pressed down."""
        position_m, _ = self.world.slider_state(self.body)
        return -float(position_m)

    def cap_position(self) -> Array:
        """The centre of the cap's top in the base frame, (3,) m."""
        base, _ = self.world.pose(self.body)
        top_m = self.model.height_m + self.model.travel_m + CAP_RISE_M - self.pressed_m()
        return base + [0, 0, top_m]

    def fixture_state(self) -> Array:
        """The centre of the cap's top (3,), and how far it is pressed down."""
        return np.append(self.cap_position(), self.pressed_m())

    def fixture_velocities(self) -> Array:
        """How fast the cap goes down."""
        _, speed_m_s = self.world.slider_state(self.body)
        return np.array([-speed_m_s])
