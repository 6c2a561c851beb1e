"""Pressing a button."""

import numpy as np

from conure_core.types import Array
from conure_sim.experts.motion import CLOSED, Motion
from conure_sim.scenes.button import ButtonScene

OVER_RADIUS_M, HOVER_M = 0.008, 0.05


class PressExpert:
    """Goes over the cap with closed fingers and presses."""

    def __init__(self, scene: ButtonScene) -> None:
        self.scene, self.motion = scene, Motion(scene)

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        cap, tool = self.scene.cap_position(), self.motion.pose[:3, 3]
        if np.linalg.norm(cap[:2] - tool[:2]) < OVER_RADIUS_M:
            return self.motion.towards(np.array([*cap[:2], cap[2] - HOVER_M]), CLOSED)
        return self.motion.towards(np.array([*cap[:2], cap[2] + HOVER_M]), CLOSED)
