"""Opening a drawer, and putting an object away in it."""

import numpy as np

from conure_core.types import Array
from conure_sim.experts.motion import CLOSED, OPEN, Motion
from conure_sim.experts.pick_place import pick
from conure_sim.orientation import flat_axis, yaw_of
from conure_sim.scenes.drawer import DrawerScene

GRASP_HEIGHT_M, CLEAR_HEIGHT_M, NEAR_GRIP_M = 0.038, 0.075, 0.045
CARRY_HEIGHT_M, RELEASE_HEIGHT_M = 0.095, 0.080
OVER_RADIUS_M = 0.010
WIDE_OPEN, OPEN_ENOUGH = 0.93, 0.80


class DrawerOpenExpert:
    """Takes the grip across the direction of opening, and pulls."""

    def __init__(self, scene: DrawerScene) -> None:
        self.scene, self.motion = scene, Motion(scene)

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        return self.slide(1.0)

    def slide(self, sign: float) -> Array:
        """Take the grip, then pull (1) or push (-1)."""
        drawer, motion = self.scene.drawer, self.motion
        grip = drawer.grip_position(motion.above_table(GRASP_HEIGHT_M))
        across = flat_axis(yaw_of(drawer.world.pose(drawer.body)[1]) + np.pi / 2)
        if not motion.holding(drawer.body, 0):
            return motion.grasp_fixed(drawer.body, 0, grip, across)
        ahead = motion.pose[:3, 3] + 0.02 * sign * drawer.direction
        return motion.towards(np.array([*ahead[:2], motion.above_table(GRASP_HEIGHT_M)]), CLOSED)


class PlaceInDrawerExpert(DrawerOpenExpert):
    """Opens the drawer, puts the target into its open part, and shuts it."""

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        scene, motion, drawer = self.scene, self.motion, self.scene.drawer
        if scene.held(scene.target):
            return self._with_object()
        if scene.put_away():
            return self.slide(-1.0)
        share = drawer.opening_m / drawer.model.travel_m
        if share < OPEN_ENOUGH or (share < WIDE_OPEN and motion.holding(drawer.body, 0)):
            return self.slide(1.0)
        tool, grip = motion.pose[:3, 3], drawer.grip_position(0.0)
        near = np.linalg.norm(tool[:2] - grip[:2]) < NEAR_GRIP_M
        if near and tool[2] < motion.above_table(CLEAR_HEIGHT_M):
            return motion.rise(OPEN)
        return pick(motion, scene.target)

    def _with_object(self) -> Array:
        """Over the open part, then lower, then let go."""
        motion, drawer = self.motion, self.scene.drawer
        spot = drawer.point(drawer.model.depth_m / 2 + drawer.opening_m / 2 - 0.004, 0.0)
        tool = motion.pose[:3, 3]
        over = np.linalg.norm(spot[:2] - tool[:2]) < OVER_RADIUS_M
        if over and tool[2] < motion.above_table(RELEASE_HEIGHT_M):
            return motion.stay(OPEN)
        if over:
            return motion.towards(
                np.array([*spot[:2], motion.above_table(RELEASE_HEIGHT_M - 0.006)]), CLOSED
            )
        return motion.carry_over(spot[:2], CARRY_HEIGHT_M)
