"""Pushing a puck to a goal with closed fingers."""

import numpy as np

from conure_core.types import Array
from conure_sim.experts.motion import CLOSED, Motion, signed
from conure_sim.scenes.push import PushScene

PUSH_HEIGHT_M, TRAVEL_HEIGHT_M = 0.020, 0.065
BEHIND_M = 0.050
LOW_M = 0.035
OVER_RADIUS_M, LATERAL_M = 0.010, 0.014
OVERSHOOT_M = 0.006


class PushExpert:
    """Goes down behind the puck, seen from the goal, and pushes; comes up and round again when off
    the line.

    The fingers stand across the direction of the push: two contacts keep a round puck from slipping
    sideways.
    """

    def __init__(self, scene: PushScene) -> None:
        self.scene, self.motion = scene, Motion(scene)

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        motion, to_goal = self.motion, self.scene.to_goal()
        tool, puck = motion.pose[:3, 3], self.scene.world.pose(self.scene.target.body)[0]
        distance = float(np.linalg.norm(to_goal))
        ahead = to_goal / max(distance, 1e-6)
        across = np.array([-ahead[1], ahead[0]])
        from_puck = tool[:2] - puck[:2]
        axis = signed(np.array([*across, 0.0]), motion.pose[:3, 1])
        behind, aside = float(-from_puck @ ahead), float(from_puck @ across)
        low, travel = motion.above_table(PUSH_HEIGHT_M), motion.above_table(TRAVEL_HEIGHT_M)
        if tool[2] < motion.above_table(LOW_M) and behind > 0 and abs(aside) < LATERAL_M:
            forward = min(distance + OVERSHOOT_M, self.motion.robot.max_translation_m) + max(
                0.0, behind - BEHIND_M
            )
            goal = tool[:2] + forward * ahead - 0.7 * aside * across
            return motion.towards(np.array([*goal, low]), CLOSED, axis)
        start = puck[:2] - (BEHIND_M + 0.006) * ahead
        if np.linalg.norm(start - tool[:2]) < OVER_RADIUS_M:
            return motion.towards(np.array([*start, low]), CLOSED, axis)
        if tool[2] < travel - 0.015:
            return motion.towards(np.array([*(tool[:2] - 0.01 * ahead), travel]), CLOSED, axis)
        return motion.towards(np.array([*start, travel]), CLOSED, axis)
