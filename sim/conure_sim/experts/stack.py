"""Stacking one block on another."""

import numpy as np

from conure_core.types import Array
from conure_sim.experts.motion import CLOSED, OPEN, Motion
from conure_sim.experts.pick_place import pick
from conure_sim.orientation import flat_axis, yaw_of
from conure_sim.scenes.stack import StackScene

CLEARANCE_M = 0.02
ALIGNED_M, STILL_ALIGNED_M = 0.004, 0.008
RELEASE_GAP_M = 0.004


class StackExpert:
    """Picks the first block, carries it above the second, lowers it and lets go."""

    def __init__(self, scene: StackScene) -> None:
        self.scene, self.motion = scene, Motion(scene)

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        scene, motion = self.scene, self.motion
        if not scene.held(scene.target):
            return motion.rise(OPEN) if scene.stacked() else pick(motion, scene.target, cube=True)
        return self._with_block()

    def _with_block(self) -> Array:
        motion, lower_model = self.motion, self.scene.objects[1].model
        pose = motion.pose
        (upper, turn), (lower, lower_turn) = (
            motion.world.pose(item.body) for item in self.scene.objects
        )
        offset, gap_m = lower[:2] - upper[:2], float(upper[2] - lower[2] - lower_model.height_m)
        distance = float(np.linalg.norm(offset))
        if distance < STILL_ALIGNED_M and gap_m < RELEASE_GAP_M:
            return motion.stay(OPEN)
        allowed = ALIGNED_M if gap_m > CLEARANCE_M / 2 else STILL_ALIGNED_M
        climb = 0.0 if distance < allowed else CLEARANCE_M
        sideways = (
            offset if gap_m > CLEARANCE_M / 2 or distance < 2 * STILL_ALIGNED_M else 0.0 * offset
        )
        goal = np.array(
            [
                *(pose[:2, 3] + sideways),
                pose[2, 3] + climb - gap_m + 0.5 * RELEASE_GAP_M * (climb == 0.0),
            ]
        )
        quarter = np.round((yaw_of(lower_turn) - yaw_of(turn)) / (np.pi / 2)) * np.pi / 2
        twist = yaw_of(lower_turn) - yaw_of(turn) - quarter
        fingers = np.arctan2(pose[1, 1], pose[0, 1]) + twist
        return motion.towards(goal, CLOSED, flat_axis(float(fingers)))
