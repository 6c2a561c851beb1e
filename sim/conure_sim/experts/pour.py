"""Pouring from a mug that is held by its handle."""

from typing import TYPE_CHECKING

import numpy as np
import pinocchio as pin

from conure_sim.experts.motion import CLOSED, TURN_FIRST_M, Array, Motion, down, flat_axis, yaw_of

if TYPE_CHECKING:
    from conure_sim.tasks.pour import PourScene

GRASP_HEIGHT_M, POUR_HEIGHT_M = 0.030, 0.135
LIFTED_M = 0.015
LIP_M = 0.018
THERE_M, POURING_RAD, POUR_RAD = 0.012, 0.15, 2.1


class PourExpert:
    """Takes the mug by its handle, carries it upright beside the cup, and tilts it about the line handle - mug.

    The tilt is sideways to the handle, so that neither palm nor fingers are in the spheres' way.
    """

    def __init__(self, scene: "PourScene") -> None:
        self.scene, self.motion = scene, Motion(scene)

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        motion, mug = self.motion, self.scene.mug
        position, orientation = motion.world.pose(mug.body)
        lifted = position[2] > motion.above_table(LIFTED_M)
        if lifted or motion.holding(mug.body):
            return self._with_mug()
        yaw = yaw_of(orientation)
        offset = mug.model.grip.middle[0] if mug.model.grip else 0.0
        handle = position + offset * flat_axis(yaw) + [0, 0, GRASP_HEIGHT_M]
        return motion.grasp(handle, flat_axis(yaw + np.pi / 2), TURN_FIRST_M)

    def _with_mug(self) -> Array:
        motion, cup = self.motion, self.scene.cup
        pose = motion.pose
        heading = self._heading()
        offset = abs(self.scene.mug.model.grip.middle[0]) if self.scene.mug.model.grip else 0.0
        mug_middle = pose[:2, 3] + offset * heading[:2]
        aside = np.array([-heading[1], heading[0]])
        aside = aside * (np.sign((cup.position[:2] - mug_middle) @ aside) or 1.0)
        place = cup.position[:2] - offset * heading[:2] - LIP_M * aside
        tilt = float(np.arccos(np.clip(-pose[2, 0], -1.0, 1.0)))
        if tilt < POURING_RAD and (np.linalg.norm(place - pose[:2, 3]) > THERE_M or pose[2, 3] < POUR_HEIGHT_M - 0.01):
            return motion.carry_over(place, POUR_HEIGHT_M)
        tipped = pin.exp3(np.cross([0.0, 0.0, 1.0], [*aside, 0.0]) * POUR_RAD)
        either = [tipped @ down(sign * np.array([*aside, 0.0])) for sign in (1.0, -1.0)]
        rotation = max(either, key=lambda wanted: np.trace(wanted @ pose[:3, :3].T))
        goal = np.array([*place, motion.above_table(POUR_HEIGHT_M)])
        return motion.turning(goal, CLOSED, rotation)

    def _heading(self) -> Array:
        """The horizontal direction (3,) from the handle to the mug, which a tilt about it leaves as it is."""
        orientation = self.motion.world.pose(self.scene.mug.body)[1]
        rotation = np.reshape(self.motion.world.client.getMatrixFromQuaternion(list(orientation)), (3, 3))
        flat = np.array([rotation[0, 0], rotation[1, 0], 0.0])
        return flat / max(float(np.linalg.norm(flat)), 1e-6)
