"""A puck and the mark that it belongs on."""

import numpy as np

from conure_core.types import Array
from conure_sim.physics.world import World
from conure_sim.scenes.scene import Scene, SceneObject


class PushScene(Scene):
    """A puck, the target, and its goal: the centre of the mark in the base frame, (3,) m."""

    def __init__(
        self,
        world: World,
        puck: SceneObject,
        goal: Array,
    ) -> None:
        super().__init__(world, [puck])
        self.goal = goal

    def to_goal(self) -> Array:
        """The horizontal offset from the puck to the goal, (2,) m."""
        puck = self.position_of(self.target)
        return np.asarray(self.goal[:2] - puck[:2])

    def fixture_state(self) -> Array:
        """The goal, (3,)."""
        return self.goal
