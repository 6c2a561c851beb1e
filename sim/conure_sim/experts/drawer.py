"""Opening a drawer, and putting an object away in it."""

import numpy as np

from conure_core.types import Array
from conure_sim.experts.motion import CLOSED, OPEN, Motion
from conure_sim.experts.pick_place import pick
from conure_sim.orientation import flat_axis, yaw_of
from conure_sim.scenes.drawer import DrawerScene

GRASP_HEIGHT_M = 0.038
CLEAR_HEIGHT_M = 0.075
NEAR_GRIP_M = 0.045
CARRY_HEIGHT_M = 0.095
RELEASE_HEIGHT_M = 0.080
OVER_RADIUS_M = 0.010
WIDE_OPEN = 0.93
OPEN_ENOUGH = 0.80


class DrawerOpenExpert:
    """Grasps the grip across the direction of opening, and pulls."""

    def __init__(self, scene: DrawerScene) -> None:
        self.scene = scene
        self.motion = Motion(scene)

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        return self.slide(1.0)

    def slide(self, sign: float) -> Array:
        """Grasp the grip, then pull (1) or push (-1)."""
        drawer = self.scene.drawer
        motion = self.motion
        height = motion.above_table(GRASP_HEIGHT_M)
        if not motion.holding(drawer.body, 0):
            _, orientation = drawer.world.pose(drawer.body)
            across = flat_axis(yaw_of(orientation) + np.pi / 2)
            return motion.grasp_fixed(drawer.body, 0, drawer.grip_position(height), across)

        ahead = motion.position + 0.02 * sign * drawer.direction
        return motion.move_over(ahead[:2], height, CLOSED)


class PlaceInDrawerExpert(DrawerOpenExpert):
    """Opens the drawer, puts the target into its open part, and closes it."""

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        scene = self.scene
        motion = self.motion
        drawer = scene.drawer
        if scene.is_held(scene.target):
            return self._with_object()
        if scene.is_put_away():
            return self.slide(-1.0)

        share = drawer.opening_m / drawer.model.travel_m
        if share < OPEN_ENOUGH or (share < WIDE_OPEN and motion.holding(drawer.body, 0)):
            return self.slide(1.0)

        grip = drawer.grip_position(0.0)
        near = motion.distance_to(grip[:2]) < NEAR_GRIP_M
        if near and motion.position[2] < motion.above_table(CLEAR_HEIGHT_M):
            return motion.rise(OPEN)
        return pick(motion, scene.target)

    def _with_object(self) -> Array:
        """Move over the open part, then lower, then open the fingers."""
        motion = self.motion
        drawer = self.scene.drawer
        forward_m = drawer.model.depth_m / 2 + drawer.opening_m / 2 - 0.004
        spot = drawer.point(forward_m, 0.0)[:2]
        if motion.distance_to(spot) >= OVER_RADIUS_M:
            return motion.carry_over(spot, CARRY_HEIGHT_M)
        if motion.position[2] < motion.above_table(RELEASE_HEIGHT_M):
            return motion.stay(OPEN)
        z = motion.above_table(RELEASE_HEIGHT_M - 0.006)
        return motion.move_over(spot, z, CLOSED)
