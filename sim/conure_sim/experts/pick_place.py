"""Picking one object up and letting it go in a container; and that for one object after the
other.
"""

from collections.abc import Callable

import numpy as np

from conure_core.types import Array
from conure_sim.experts.motion import CLOSED, OPEN, TURN_FIRST_M, Motion
from conure_sim.orientation import flat_axis, yaw_of
from conure_sim.scenes.scene import Container, Scene, SceneObject

CARRY_HEIGHT_M = 0.09
RELEASE_RADIUS_M = 0.02
SPOT_RELEASE_RADIUS_M = 0.01
SPOT_RELEASE_HEIGHT_M, BELOW_RELEASE_M = 0.066, 0.006
SPOT_SPREAD = 0.21


class PickPlaceExpert:
    """Moves over the target, down a funnel around it, closes, lifts; then carries to the container
    and lets go.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene, self.motion = scene, Motion(scene)

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        scene, target, motion = self.scene, self.scene.target, self.motion
        held = scene.held(target)
        if scene.contained(target) and not held:
            return motion.rise(OPEN)
        if not held:
            return pick(motion, target)
        if scene.container is None:
            return motion.rise(CLOSED)
        return motion.carry(
            scene.container.position[:2], carry_height_m(scene.container), RELEASE_RADIUS_M
        )


class SortExpert:
    """Brings every object to the container that is its right place, one after the other."""

    def __init__(
        self, scene: Scene, right_place: Callable[[SceneObject], Container | None]
    ) -> None:
        self.scene, self.motion, self.right_place = scene, Motion(scene), right_place

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        motion = self.motion
        held = [item for item in self.scene.objects if self.scene.held(item)]
        for item in held:
            container = self.right_place(item)
            if container is not None and not self._inside(item):
                return self._bring(container)
        if held or any(
            self._inside(item) and self.scene.touched(item) for item in self.scene.objects
        ):
            return motion.rise(OPEN)
        waiting = [item for item in self.scene.objects if not self._inside(item)]
        return pick(motion, waiting[0], cube=True) if waiting else motion.rise(OPEN)

    def _bring(self, container: Container) -> Array:
        """With an object over whatever stands there already to a free spot, and let go there from
        above the walls.
        """
        motion, spot = self.motion, self._free_spot(container)
        tool, release = motion.pose[:3, 3], motion.above_table(SPOT_RELEASE_HEIGHT_M)
        if np.linalg.norm(spot - tool[:2]) > SPOT_RELEASE_RADIUS_M:
            return motion.carry_over(spot, CARRY_HEIGHT_M)
        if tool[2] > release:
            return motion.towards(np.array([*spot, release - BELOW_RELEASE_M]), CLOSED)
        return motion.stay(OPEN)

    def _inside(self, item: SceneObject) -> bool:
        container = self.right_place(item)
        return container is not None and container.holds(self.scene.world.pose(item.body)[0])

    def _free_spot(self, container: Container) -> Array:
        """Of four spots in the container, (2,), the one furthest from the objects in it, or from
        the arm.
        """
        spread = SPOT_SPREAD * container.model.side_m
        spots = container.position[:2] + spread * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
        positions = [self.scene.world.pose(item.body)[0] for item in self.scene.objects]
        inside = [position[:2] for position in positions if container.holds(position)]
        others = np.array(inside) if inside else np.zeros((1, 2))
        gaps = np.linalg.norm(spots[:, None] - others[None], axis=2).min(axis=1)
        return np.asarray(spots[int(gaps.argmax())])


def pick(motion: Motion, item: SceneObject, cube: bool = False) -> Array:
    """Towards a grasp of an object from above, across its narrow side.

    `cube`: across whichever side takes less turning, and turned before the fingers are down, never
    by its edges.
    """
    position, orientation = motion.world.pose(item.body)
    point = position + [0, 0, 0.5 * item.model.height_m]
    point[2] = max(motion.above_table(motion.world.simulation.grasp_lowest_m), point[2])
    axis = flat_axis(yaw_of(orientation) + item.model.grasp_yaw_rad)
    if not cube:
        return motion.grasp(point, axis)
    other = np.array([-axis[1], axis[0], 0.0])
    fingers = motion.pose[:3, 1]
    return motion.grasp(
        point, max((axis, other), key=lambda side: abs(side @ fingers)), TURN_FIRST_M
    )


def carry_height_m(container: Container) -> float:
    """How high above the table an object is carried into a container."""
    return CARRY_HEIGHT_M if container.model.wall_m > 0.02 else CARRY_HEIGHT_M - 0.02
