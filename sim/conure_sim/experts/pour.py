"""Pouring from a mug that is held by its handle."""

import numpy as np
import pinocchio as pin

from conure_core.types import Array
from conure_sim.experts.motion import CLOSED, TURN_FIRST_M, Motion, down, signed
from conure_sim.orientation import flat_axis, yaw_of
from conure_sim.scenes.pour import PourScene

GRASP_HEIGHT_M = 0.030
LIFTED_M = 0.015
LIP_M = 0.018
SHORT_DROP_M, DRIFT_PER_DROP = 0.09, 0.1
THERE_M, POURING_RAD, POUR_RAD = 0.012, 0.15, 2.1
SLOWLY_FROM_RAD, SLOWLY_RAD = 1.45, 0.030


class PourExpert:
    """Takes the mug by its handle, carries it upright beside the cup, and tilts it about the line
    handle - mug.

    The tilt is sideways to the handle, so that neither palm nor fingers are in the spheres' way.
    """

    def __init__(self, scene: PourScene) -> None:
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
        motion, cup, height_m = (
            self.motion,
            self.scene.cup,
            self.scene.world.simulation.tilt_height_m,
        )
        pose = motion.pose
        heading = self._heading()
        offset = abs(self.scene.mug.model.grip.middle[0]) if self.scene.mug.model.grip else 0.0
        mug_middle = pose[:2, 3] + offset * heading[:2]
        aside = np.array([-heading[1], heading[0]])
        aside = aside * (np.sign((cup.position[:2] - mug_middle) @ aside) or 1.0)
        drop_m = max(
            0.0, height_m - cup.model.wall_m - SHORT_DROP_M
        )  # in which what rolls out flies on
        place = cup.position[:2] - offset * heading[:2] - (LIP_M + DRIFT_PER_DROP * drop_m) * aside
        tilt = float(np.arccos(np.clip(-pose[2, 0], -1.0, 1.0)))
        low = pose[2, 3] < motion.above_table(height_m - 0.01)
        if tilt < POURING_RAD and (low or np.linalg.norm(place - pose[:2, 3]) > THERE_M):
            return motion.carry_over(place, height_m)
        slowly = (
            tilt > SLOWLY_FROM_RAD
        )  # so that the spheres roll out one by one, without much speed
        angle_rad = min(POUR_RAD, tilt + SLOWLY_RAD) if slowly else POUR_RAD
        tipped = pin.exp3(np.cross([0.0, 0.0, 1.0], [*aside, 0.0]) * angle_rad)
        either = [tipped @ down(sign * np.array([*aside, 0.0])) for sign in (1.0, -1.0)]
        rotation = max(either, key=lambda wanted: np.trace(wanted @ pose[:3, :3].T))
        goal = np.array([*place, motion.above_table(height_m)])
        return motion.turning(goal, CLOSED, rotation)

    def _heading(self) -> Array:
        """The horizontal direction (3,) from the handle to the mug: the tool's z or its opposite,
        kept by the tilt.

        Not the mug's own, which may turn a little between the fingers: following it would turn both
        for ever.
        """
        pose = self.motion.pose
        flat = np.array([*pose[:2, 2], 0.0])
        to_mug = self.motion.world.pose(self.scene.mug.body)[0] - pose[:3, 3]
        return signed(flat / max(float(np.linalg.norm(flat)), 1e-6), to_mug)
