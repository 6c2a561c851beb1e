"""Putting an object into a box and lifting the box by its grip."""

import numpy as np

from conure_core.types import Array
from conure_sim.experts.motion import CLOSED, TURN_FIRST_M, Motion
from conure_sim.experts.pick_place import pick
from conure_sim.orientation import flat_axis, yaw_of
from conure_sim.scenes.carry_box import CarryBoxScene

CARRY_HEIGHT_M = 0.095
RELEASE_RADIUS_M = 0.010
COMPARTMENT_M = 0.033
GRASP_DEPTH_M = 0.012


class CarryBoxExpert:
    """Picks the object, releases it beside the grip, grasps the grip and lifts."""

    def __init__(self, scene: CarryBoxScene) -> None:
        self.scene = scene
        self.motion = Motion(scene)

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        scene = self.scene
        motion = self.motion
        if scene.is_held(scene.target):
            return motion.carry(self._compartment(), CARRY_HEIGHT_M, RELEASE_RADIUS_M)
        if not scene.is_contained(scene.target):
            return pick(motion, scene.target)
        if motion.holding(scene.box.body):
            return motion.rise(CLOSED)
        return self._to_grip()

    def _compartment(self) -> Array:
        """The centre, (2,) m, of the half of the box that is nearer to the tool."""
        box = self.scene.box.position[:2]
        across = self._across()[:2]
        side = np.sign((self.motion.position[:2] - box) @ across) or 1.0
        return np.asarray(box + side * COMPARTMENT_M * across)

    def _to_grip(self) -> Array:
        grip = self.scene.box.model.grip
        height_m = grip.height_m - GRASP_DEPTH_M if grip else 0.0
        point = self.scene.box.position + [0, 0, height_m]
        return self.motion.grasp(point, self._across(), TURN_FIRST_M)

    def _across(self) -> Array:
        """The direction (3,) in which the grip is thin."""
        _, orientation = self.scene.world.pose(self.scene.box.body)
        return flat_axis(yaw_of(orientation) + np.pi / 2)
