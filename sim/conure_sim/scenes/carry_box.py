"""An object, and a box that can be carried."""

from conure_core.types import Array
from conure_sim.physics.world import World
from conure_sim.scenes.scene import Container, Scene, SceneObject


class CarryBoxScene(Scene):
    """One object, and a box with a grip that can be lifted."""

    def __init__(
        self,
        world: World,
        target: SceneObject,
        box: Container,
    ) -> None:
        super().__init__(world, [target], box)
        self.box = box

    def box_height_m(self) -> float:
        """The height of the box above the table."""
        return float(self.box.position[2]) - self.world.robot.table_height_m

    def fixture_state(self) -> Array:
        """The box's orientation, quaternion (xyzw)."""
        _, orientation = self.world.pose(self.box.body)
        return orientation

    def fixture_velocities(self) -> Array:
        """The box's linear and angular velocity."""
        return self.world.velocity(self.box.body)
