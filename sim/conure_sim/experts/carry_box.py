"""Putting an object into a box and lifting the box by its grip."""

import numpy as np

from conure_core.types import Array
from conure_sim.experts.motion import CLOSED, TURN_FIRST_M, Motion
from conure_sim.experts.pick_place import pick
from conure_sim.orientation import flat_axis, yaw_of
from conure_sim.scenes.carry_box import CarryBoxScene

CARRY_HEIGHT_M, RELEASE_RADIUS_M = 0.095, 0.010
COMPARTMENT_M = 0.033
GRASP_DEPTH_M = 0.012


class CarryBoxExpert:
    """Picks the object, lets go of it beside the grip, takes the grip and lifts."""

    def __init__(self, scene: CarryBoxScene) -> None:
        self.scene, self.motion = scene, Motion(scene)

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        scene, motion = self.scene, self.motion
        if scene.held(scene.target):
            return motion.carry(self._compartment(), CARRY_HEIGHT_M, RELEASE_RADIUS_M)
        if not scene.contained(scene.target):
            return pick(motion, scene.target)
        if motion.holding(scene.box.body):
            return motion.rise(CLOSED)
        return self._to_grip()

    def _compartment(self) -> Array:
        """The middle, (2,), of the half of the box that is nearer to the tool."""
        box = self.scene.box
        across = self._across()[:2]
        side = np.sign((self.motion.pose[:2, 3] - box.position[:2]) @ across) or 1.0
        return np.asarray(box.position[:2] + side * COMPARTMENT_M * across)

    def _to_grip(self) -> Array:
        grip = self.scene.box.model.grip
        height = grip.height_m - GRASP_DEPTH_M if grip else 0.0
        return self.motion.grasp(
            self.scene.box.position + [0, 0, height], self._across(), TURN_FIRST_M
        )

    def _across(self) -> Array:
        """The direction (3,) in which the grip is thin."""
        return flat_axis(yaw_of(self.scene.world.pose(self.scene.box.body)[1]) + np.pi / 2)
