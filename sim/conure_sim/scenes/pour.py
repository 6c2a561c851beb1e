"""A mug with spheres, and a cup."""

import numpy as np

from conure_core.types import Array
from conure_sim.physics.world import World
from conure_sim.scenes.scene import Container, Scene


class PourScene(Scene):
    """A mug with spheres, by its handle to be taken, and the cup that they belong into."""

    def __init__(self, world: World, mug: Container, cup: Container, spheres: list[int]) -> None:
        super().__init__(world, [], cup)
        self.mug, self.cup, self.spheres = mug, cup, spheres

    @property
    def target_name(self) -> str:
        return self.mug.model.name

    def sphere_positions(self) -> Array:
        """The middles of the spheres, (n, 3)."""
        return np.array([self.world.pose(body)[0] for body in self.spheres])

    def poured(self) -> float:
        """The share of the spheres that lie in the cup."""
        return sum(self.cup.holds(position) for position in self.sphere_positions()) / len(
            self.spheres
        )

    def fixture_state(self) -> Array:
        """Mug: position, quaternion (xyzw), position relative to the tool; share poured; mean of
        the spheres (3,).
        """
        position, orientation = self.world.pose(self.mug.body)
        tool = self.world.arm.forward(self.world.joint_state().joint_rad)[:3, 3]
        mean = self.sphere_positions().mean(axis=0)
        return np.concatenate([position, orientation, position - tool, [self.poured()], mean])
