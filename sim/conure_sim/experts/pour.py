"""Pouring from a mug that is grasped by its handle."""

import numpy as np
import pinocchio as pin

from conure_core.types import Array
from conure_sim.experts.motion import (
    CLOSED,
    TURN_FIRST_M,
    Motion,
    align_direction,
    downward_rotation,
)
from conure_sim.orientation import flat_axis, yaw_of
from conure_sim.scenes.pour import PourScene

GRASP_HEIGHT_M = 0.030
LIFTED_M = 0.015
LIP_M = 0.018
SHORT_DROP_M = 0.09
DRIFT_PER_DROP = 0.1
THERE_M = 0.012
POURING_RAD = 0.15
POUR_RAD = 2.1
SLOWLY_FROM_RAD = 1.45
SLOWLY_RAD = 0.030


class PourExpert:
    """Grasps the mug by its handle, carries it upright beside the cup, and tilts it about the line
    handle - mug.

    The tilt is sideways to the handle, so that neither palm nor fingers are in the spheres' way.
    """

    def __init__(self, scene: PourScene) -> None:
        self.scene = scene
        self.motion = Motion(scene)

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        motion = self.motion
        mug = self.scene.mug
        position, orientation = motion.world.pose(mug.body)
        lifted = position[2] > motion.above_table(LIFTED_M)
        if lifted or motion.holding(mug.body):
            return self._with_mug()

        yaw_rad = yaw_of(orientation)
        offset = self._handle_m() * flat_axis(yaw_rad)
        handle = position + offset + [0, 0, GRASP_HEIGHT_M]
        across = flat_axis(yaw_rad + np.pi / 2)
        return motion.grasp(handle, across, TURN_FIRST_M)

    def _handle_m(self) -> float:
        """Position of the handle along the mug's x axis; 0 without a handle."""
        grip = self.scene.mug.model.grip
        return grip.centre[0] if grip else 0.0

    def _with_mug(self) -> Array:
        """Carry the mug beside the cup, then tilt it there."""
        motion = self.motion
        height_m = motion.world.simulation.tilt_height_m
        tool = motion.position
        heading = self._heading()
        aside = self._aside(tool, heading)
        place = self._pouring_place(heading, aside, height_m)

        cosine = np.clip(-motion.pose[2, 0], -1.0, 1.0)
        tilt_rad = float(np.arccos(cosine))
        low = tool[2] < motion.above_table(height_m - 0.01)
        away = low or motion.distance_to(place) > THERE_M
        if tilt_rad < POURING_RAD and away:
            return motion.carry_over(place, height_m)

        x, y = place
        goal = np.array([x, y, motion.above_table(height_m)])
        return motion.move_towards_pose(goal, CLOSED, self._tilted_rotation(aside, tilt_rad))

    def _aside(self, tool: Array, heading: Array) -> Array:
        """The horizontal direction (2,) across the heading, from the mug towards the cup."""
        mug = tool[:2] + abs(self._handle_m()) * heading[:2]
        aside = np.array([-heading[1], heading[0]])
        to_cup = self.scene.cup.position[:2] - mug
        return aside * (np.sign(to_cup @ aside) or 1.0)

    def _pouring_place(
        self,
        heading: Array,
        aside: Array,
        height_m: float,
    ) -> Array:
        """The place from which the tool pours, (2,) m: spheres that fall further drift further."""
        cup = self.scene.cup
        offset_m = abs(self._handle_m())
        drop_m = max(0.0, height_m - cup.model.wall_m - SHORT_DROP_M)
        beside = (LIP_M + DRIFT_PER_DROP * drop_m) * aside
        return np.asarray(cup.position[:2] - offset_m * heading[:2] - beside)

    def _tilted_rotation(self, aside: Array, tilt_rad: float) -> Array:
        """base_from_tool, (3, 3), at the next tilt: slow at the end, so that the spheres roll out
        one by one.
        """
        slowly = tilt_rad > SLOWLY_FROM_RAD
        angle_rad = min(POUR_RAD, tilt_rad + SLOWLY_RAD) if slowly else POUR_RAD
        x, y = aside
        axis = np.array([x, y, 0.0])
        tilt = pin.exp3(np.cross([0.0, 0.0, 1.0], axis) * angle_rad)
        rotations = [tilt @ downward_rotation(sign * axis) for sign in (1.0, -1.0)]
        present = self.motion.pose[:3, :3]
        return max(rotations, key=lambda rotation: np.trace(rotation @ present.T))

    def _heading(self) -> Array:
        """The horizontal direction (3,) from the handle to the mug: the tool's z or its opposite,
        kept by the tilt.

        Not the mug's own, which may turn a little between the fingers: following it would turn both
        for ever.
        """
        pose = self.motion.pose
        flat = np.array([*pose[:2, 2], 0.0])
        mug, _ = self.motion.world.pose(self.scene.mug.body)
        unit = flat / max(float(np.linalg.norm(flat)), 1e-6)
        return align_direction(unit, mug - pose[:3, 3])
