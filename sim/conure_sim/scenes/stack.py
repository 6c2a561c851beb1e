"""Two blocks, one of which belongs onto the other."""

import numpy as np

from conure_sim.scenes.scene import Scene

STACK_HEIGHT_TOLERANCE_M = 0.006


class StackScene(Scene):
    """Two blocks: the first one, the target, belongs onto the second."""

    def is_stacked(self) -> bool:
        """Whether the first block stands on the second, its centre above it."""
        upper, lower = (self.position_of(item) for item in self.objects)
        model = self.objects[1].model
        gap_m = upper[2] - lower[2] - model.height_m
        offset_m = np.linalg.norm(upper[:2] - lower[:2])
        if offset_m >= model.width_m / 2 or abs(gap_m) >= STACK_HEIGHT_TOLERANCE_M:
            return False
        return not self.is_lifted(self.objects[1])
