"""Pushing a puck to a goal with closed fingers."""

import numpy as np

from conure_core.types import Array
from conure_sim.experts.motion import CLOSED, Motion, align_direction
from conure_sim.scenes.push import PushScene

PUSH_HEIGHT_M = 0.020
TRAVEL_HEIGHT_M = 0.065
BEHIND_M = 0.050
LOW_M = 0.035
OVER_RADIUS_M = 0.010
LATERAL_M = 0.014
OVERSHOOT_M = 0.006


class PushExpert:
    """Goes down behind the puck, seen from the goal, and pushes; rises and goes round when off
    the line.

    The fingers stand across the direction of the push: two contacts keep a round puck from slipping
    sideways.
    """

    def __init__(self, scene: PushScene) -> None:
        self.scene = scene
        self.motion = Motion(scene)

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        motion = self.motion
        to_goal = self.scene.to_goal()
        pose = motion.pose
        tool = pose[:3, 3]
        puck = self.scene.position_of(self.scene.target)

        distance_m = float(np.linalg.norm(to_goal))
        ahead = to_goal / max(distance_m, 1e-6)
        across = np.array([-ahead[1], ahead[0]])
        from_puck = tool[:2] - puck[:2]
        behind_m = float(-from_puck @ ahead)
        aside_m = float(from_puck @ across)

        line = np.array([across[0], across[1], 0.0])
        axis = align_direction(line, pose[:3, 1])
        low = motion.above_table(PUSH_HEIGHT_M)
        travel = motion.above_table(TRAVEL_HEIGHT_M)
        start = puck[:2] - (BEHIND_M + 0.006) * ahead

        down = tool[2] < motion.above_table(LOW_M)
        if down and behind_m > 0 and abs(aside_m) < LATERAL_M:
            push_m = min(distance_m + OVERSHOOT_M, motion.robot.max_translation_m)
            forward_m = push_m + max(0.0, behind_m - BEHIND_M)
            forward = forward_m * ahead
            place = tool[:2] + forward - 0.7 * aside_m * across
            height = low
        elif motion.distance_to(start) < OVER_RADIUS_M:
            place = start
            height = low
        elif tool[2] < travel - 0.015:
            place = tool[:2] - 0.01 * ahead
            height = travel
        else:
            place = start
            height = travel
        return motion.move_over(place, height, CLOSED, axis)
