"""Pressing a button."""

from conure_core.types import Array
from conure_sim.experts.motion import CLOSED, Motion
from conure_sim.scenes.button import ButtonScene

OVER_RADIUS_M = 0.008
HOVER_M = 0.05


class PressExpert:
    """Moves over the cap with closed fingers and presses."""

    def __init__(self, scene: ButtonScene) -> None:
        self.scene = scene
        self.motion = Motion(scene)

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        cap = self.scene.cap_position()
        over = self.motion.distance_to(cap[:2]) < OVER_RADIUS_M
        z = cap[2] - HOVER_M if over else cap[2] + HOVER_M
        return self.motion.move_over(cap[:2], z, CLOSED)
