"""A mug with spheres, and a cup."""

import numpy as np

from conure_core.types import Array
from conure_sim.physics.world import World
from conure_sim.scenes.scene import Container, Scene


class PourScene(Scene):
    """A mug with spheres, grasped by its handle, and the cup that the spheres belong into."""

    def __init__(
        self,
        world: World,
        mug: Container,
        cup: Container,
        spheres: list[int],
    ) -> None:
        super().__init__(world, [], cup)
        self.mug = mug
        self.cup = cup
        self.spheres = spheres

    @property
    def target_name(self) -> str:
        return self.mug.model.name

    def sphere_positions(self) -> Array:
        """The centres of the spheres in the base frame, (n, 3) m."""
        return np.array([self.world.pose(body)[0] for body in self.spheres])

    def poured_share(self) -> float:
        """The share of the spheres that lie in the cup, 0 to 1."""
        poured = sum(self.cup.contains(position) for position in self.sphere_positions())
        return poured / len(self.spheres)

    def fixture_state(self) -> Array:
        """Mug: position, quaternion (xyzw), position relative to the tool; share poured; mean of
        the spheres (3,).
        """
        position, orientation = self.world.pose(self.mug.body)
        joint_rad = self.world.joint_state().joint_rad
        tool = self.world.arm.forward(joint_rad)[:3, 3]
        mean = self.sphere_positions().mean(axis=0)
        share = [self.poured_share()]
        return np.concatenate([position, orientation, position - tool, share, mean])

    def fixture_velocities(self) -> Array:
        """Mug: linear and angular velocity; mean linear velocity of the spheres (3,)."""
        spheres = [self.world.velocity(body)[:3] for body in self.spheres]
        return np.concatenate([self.world.velocity(self.mug.body), np.mean(spheres, axis=0)])
