"""A button that a spring holds up, among objects."""

import numpy as np

from conure_core.types import Array
from conure_sim.objects.fixtures import ButtonModel
from conure_sim.physics.world import World
from conure_sim.scenes.scene import Scene, SceneObject


class ButtonScene(Scene):
    """A button among objects."""

    def __init__(
        self, world: World, objects: list[SceneObject], model: ButtonModel, body: int
    ) -> None:
        super().__init__(world, objects)
        self.model, self.body = model, body

    @property
    def target_name(self) -> str:
        return self.model.name

    def pressed_m(self) -> float:
        """How far the cap is down."""
        return -float(self.world.client.getJointState(self.body, 0)[0])

    def cap_position(self) -> Array:
        """The middle of the cap's top, (3,)."""
        top = self.model.height_m + self.model.travel_m + 0.002 - self.pressed_m()
        return self.world.pose(self.body)[0] + [0, 0, top]

    def fixture_state(self) -> Array:
        """The middle of the cap's top (3,), and how far it is down."""
        return np.append(self.cap_position(), self.pressed_m())
