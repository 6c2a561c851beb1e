"""Picking an object and placing it in a container, once or for several objects."""

from collections.abc import Callable

import numpy as np

from conure_core.types import Array
from conure_sim.experts.motion import CLOSED, OPEN, TURN_FIRST_M, Motion
from conure_sim.orientation import flat_axis, yaw_of
from conure_sim.scenes.scene import Container, Scene, SceneObject

CARRY_HEIGHT_M = 0.09
RELEASE_RADIUS_M = 0.02
SPOT_RELEASE_RADIUS_M = 0.01
SPOT_RELEASE_HEIGHT_M = 0.066
BELOW_RELEASE_M = 0.006
SPOT_SPREAD = 0.21
CORNERS = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])


class PickPlaceExpert:
    """Moves over the target, down a funnel around it, closes, lifts; then carries it to the
    container and opens.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.motion = Motion(scene)

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        scene = self.scene
        motion = self.motion
        target = scene.target
        held = scene.is_held(target)
        if scene.is_contained(target) and not held:
            return motion.rise(OPEN)
        if not held:
            return pick(motion, target)
        if scene.container is None:
            return motion.rise(CLOSED)
        place = scene.container.position[:2]
        return motion.carry(place, _carry_height_m(scene.container), RELEASE_RADIUS_M)


class SortExpert:
    """Brings every object to its right container, one after the other."""

    def __init__(
        self, scene: Scene, right_place: Callable[[SceneObject], Container | None]
    ) -> None:
        self.scene = scene
        self.motion = Motion(scene)
        self.right_place = right_place

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        scene = self.scene
        motion = self.motion
        held = [item for item in scene.objects if scene.is_held(item)]
        for item in held:
            container = self.right_place(item)
            if container is not None and not self._is_inside(item):
                return self._bring(container)

        if held or any(self._is_inside(item) and scene.is_touched(item) for item in scene.objects):
            return motion.rise(OPEN)
        waiting = [item for item in scene.objects if not self._is_inside(item)]
        return pick(motion, waiting[0], cube=True) if waiting else motion.rise(OPEN)

    def _bring(self, container: Container) -> Array:
        """Carry the held object over the others to a free spot, and open above the walls."""
        motion = self.motion
        spot = self._free_spot(container)
        release = motion.above_table(SPOT_RELEASE_HEIGHT_M)
        if motion.distance_to(spot) > SPOT_RELEASE_RADIUS_M:
            return motion.carry_over(spot, CARRY_HEIGHT_M)
        if motion.position[2] > release:
            return motion.move_over(spot, release - BELOW_RELEASE_M, CLOSED)
        return motion.stay(OPEN)

    def _is_inside(self, item: SceneObject) -> bool:
        container = self.right_place(item)
        return container is not None and container.contains(self.scene.position_of(item))

    def _free_spot(self, container: Container) -> Array:
        """The one of four spots in the container, (2,) m, that is furthest from the objects in it;
        without objects, from the arm.
        """
        spread_m = SPOT_SPREAD * container.model.side_m
        spots = container.position[:2] + spread_m * CORNERS

        positions = [self.scene.position_of(item) for item in self.scene.objects]
        inside = [position[:2] for position in positions if container.contains(position)]
        others = np.array(inside) if inside else np.zeros((1, 2))
        distances_m = np.linalg.norm(spots[:, None] - others[None], axis=2)
        gaps_m = distances_m.min(axis=1)
        return np.asarray(spots[int(gaps_m.argmax())])


def pick(
    motion: Motion,
    item: SceneObject,
    cube: bool = False,
) -> Array:
    """Grasp an object from above, across its narrow side.

    Args:
        motion: Of the scene's arm.
        item: The object.
        cube: Whether to grasp across whichever side takes less turning, and to turn before the
            fingers are down, so that they never close on the edges.

    Returns:
        The action, (7,) in [-1, 1].
    """
    position, orientation = motion.world.pose(item.body)
    point = position + [0, 0, 0.5 * item.model.height_m]
    lowest = motion.above_table(motion.world.simulation.grasp_lowest_m)
    point[2] = max(lowest, point[2])
    axis = flat_axis(yaw_of(orientation) + item.model.grasp_yaw_rad)
    if not cube:
        return motion.grasp(point, axis)

    other = np.array([-axis[1], axis[0], 0.0])
    fingers = motion.pose[:3, 1]
    nearest = max((axis, other), key=lambda side: abs(side @ fingers))
    return motion.grasp(point, nearest, TURN_FIRST_M)


def _carry_height_m(container: Container) -> float:
    """The height above the table at which an object is carried into a container."""
    return CARRY_HEIGHT_M if container.model.wall_m > 0.02 else CARRY_HEIGHT_M - 0.02
