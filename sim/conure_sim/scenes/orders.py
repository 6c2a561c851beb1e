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
        self.green, self.red = green, red

    def right_place(self, item: SceneObject) -> Container:
        """The container of the object's kind."""
        return self.green if item.model.name.startswith("block_") else self.red

    def fixture_state(self) -> Array:
        """Where the red tray stands; for each slot whether its object belongs there."""
        belongs = np.zeros(MAX_OBJECTS)
        belongs[: len(self.objects)] = [self.right_place(item) is self.red for item in self.objects]
        return np.concatenate([self.red.position, belongs])
