"""Cubes and cylinders, and the trays of their kinds."""

import numpy as np

from conure_core.types import Array
from conure_sim.physics.world import World
from conure_sim.scenes.scene import MAX_OBJECTS, Container, Scene, SceneObject


class OrderScene(Scene):
    """Cubes belong into the green tray, `container`; cylinders into the red one."""

    def __init__(
        self, world: World, objects: list[SceneObject], green: Container, red: Container
    ) -> None:
        super().__init__(world, objects, green)
        self.green = green
        self.red = red

    def right_place(self, item: SceneObject) -> Container:
        """The container of the object's kind."""
        return self.green if item.model.name.startswith("block_") else self.red

    def fixture_state(self) -> Array:
        """The red tray's position (3,); for each slot 1 if its object belongs there, else 0."""
        belongs = np.zeros(MAX_OBJECTS)
        for slot, item in enumerate(self.objects):
            belongs[slot] = self.right_place(item) is self.red
        return np.concatenate([self.red.position, belongs])
