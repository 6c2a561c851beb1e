"""Two blocks, one of which belongs onto the other."""

import numpy as np

from conure_sim.scenes.scene import Scene

STACK_HEIGHT_TOLERANCE_M = 0.006


class StackScene(Scene):
    """Two blocks: the first one, the target, belongs onto the second."""

    def stacked(self) -> bool:
        """Whether the first block stands on the second, its middle above it."""
        upper, lower = (self.world.pose(item.body)[0] for item in self.objects)
        model = self.objects[1].model
        rise_m = upper[2] - lower[2] - model.height_m
        above = np.linalg.norm(upper[:2] - lower[:2]) < model.width_m / 2
        return bool(
            above and abs(rise_m) < STACK_HEIGHT_TOLERANCE_M and not self.lifted(self.objects[1])
        )
