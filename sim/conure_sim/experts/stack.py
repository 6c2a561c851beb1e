"""Stacking one block on another."""

import numpy as np

from conure_core.types import Array
from conure_sim.experts.motion import CLOSED, OPEN, Motion
from conure_sim.experts.pick_place import pick
from conure_sim.orientation import flat_axis, yaw_of
from conure_sim.scenes.stack import StackScene

CLEARANCE_M = 0.02
ALIGNED_M = 0.004
STILL_ALIGNED_M = 0.008
RELEASE_GAP_M = 0.004


class StackExpert:
    """Picks the first block, carries it above the second, lowers it and opens."""

    def __init__(self, scene: StackScene) -> None:
        self.scene = scene
        self.motion = Motion(scene)

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        scene = self.scene
        if scene.is_held(scene.target):
            return self._with_block()
        if scene.is_stacked():
            return self.motion.rise(OPEN)
        return pick(self.motion, scene.target, cube=True)

    def _with_block(self) -> Array:
        """Bring the block over the other one, turn it parallel, lower it, open."""
        motion = self.motion
        pose = motion.pose
        upper_item, lower_item = self.scene.objects
        upper, upper_orientation = motion.world.pose(upper_item.body)
        lower, lower_orientation = motion.world.pose(lower_item.body)

        offset = lower[:2] - upper[:2]
        distance_m = float(np.linalg.norm(offset))
        gap_m = float(upper[2] - lower[2] - lower_item.model.height_m)
        if distance_m < STILL_ALIGNED_M and gap_m < RELEASE_GAP_M:
            return motion.stay(OPEN)

        high = gap_m > CLEARANCE_M / 2
        aligned = distance_m < (ALIGNED_M if high else STILL_ALIGNED_M)
        sideways = offset if high or distance_m < 2 * STILL_ALIGNED_M else 0.0 * offset
        climb_m = 0.0 if aligned else CLEARANCE_M
        lower_m = 0.5 * RELEASE_GAP_M if aligned else 0.0
        z = pose[2, 3] + climb_m - gap_m + lower_m

        turn_rad = yaw_of(lower_orientation) - yaw_of(upper_orientation)
        quarters_rad = np.round(turn_rad / (np.pi / 2)) * np.pi / 2
        twist_rad = turn_rad - quarters_rad
        fingers_rad = np.arctan2(pose[1, 1], pose[0, 1]) + twist_rad
        place = pose[:2, 3] + sideways
        return motion.move_over(place, z, CLOSED, flat_axis(float(fingers_rad)))
