"""What scripted experts share: one step towards a pose, a grasp from above, a carry.

Experts are reactive: they act on the present true state, without a clock or phases, so that a
disturbed episode goes on sensibly and their demonstrations are a function of what can be seen.
"""

from typing import Protocol

import numpy as np
import pinocchio as pin

from conure_core.contract.action import GRIPPER
from conure_core.types import Array
from conure_sim.scenes.scene import Scene

OPEN, CLOSED = 0.9, -0.9
HOVER_M = 0.07
FUNNEL_SLOPE, FUNNEL_RADIUS_M = 2.5, 0.008
CLOSE_RADIUS_M, CLOSE_HEIGHT_M = 0.009, 0.006
TURN_FIRST_M = 0.06
WIDEST_GAP_M = 0.052
ASIDE_M = 0.0015
DOWN_FORWARD = np.array([0.0, 0.0, -1.0])


class Expert(Protocol):
    """Solves one task in one scene."""

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""


class Motion:
    """Steps of the tool of one scene's arm. `pose`: the tool's, (4, 4), m, base frame, as measured
    now.
    """

    def __init__(self, scene: Scene) -> None:
        self.world, self.robot = scene.world, scene.world.robot
        self.widest = self._widest()

    def _widest(self) -> float:
        """The gripper's action at which WIDEST_GAP_M is between the fingers: wider ones come down
        on what is beside.
        """
        robot, pad_m = self.robot, self.world.simulation.finger_pad_m
        share = (WIDEST_GAP_M / len(self.world.fingers) + pad_m - robot.gripper_closed_m) / (
            robot.gripper_open_m - robot.gripper_closed_m
        )
        return float(np.clip(2 * share - 1, -1.0, 1.0))

    @property
    def pose(self) -> Array:
        """The measured pose of the tool, (4, 4)."""
        return self.world.arm.forward(self.world.joint_state().joint_rad)

    def above_table(self, height_m: float) -> float:
        """z, m, of a height above the table."""
        return self.robot.table_height_m + height_m

    def holding(self, body: int, link: int | None = None) -> bool:
        """Whether every finger touches a body (one link of it)."""
        return all(self.world.touching(body, finger, link) for finger in self.world.fingers)

    def rise(self, gripper: float) -> Array:
        """Straight up."""
        return self.towards(self.pose[:3, 3] + [0, 0, 0.1], gripper)

    def stay(self, gripper: float) -> Array:
        """Hold the tool where it is."""
        return self.towards(self.pose[:3, 3], gripper)

    def grasp(self, point: Array, axis: Array, turn_weight_m: float = 0.0) -> Array:
        """Over a point (3,), down a funnel around it with open fingers along an axis (3,), and
        close there.

        `turn_weight_m`: how far from the point a missing turn of 1 rad counts; 0: turn while going
        down.
        """
        pose, axis = self.pose, signed(axis, self.pose[:3, 1])
        offset = point[:2] - pose[:2, 3]
        missing_rad = float(np.arccos(np.clip(axis @ pose[:3, 1], -1.0, 1.0)))
        distance = float(np.linalg.norm(offset)) + turn_weight_m * missing_rad
        if distance < CLOSE_RADIUS_M and pose[2, 3] < point[2] + CLOSE_HEIGHT_M:
            return self.stay(CLOSED)
        funnel = float(np.clip(FUNNEL_SLOPE * (distance - FUNNEL_RADIUS_M), 0.0, HOVER_M))
        return self.towards(np.array([point[0], point[1], point[2] + funnel]), OPEN, axis)

    def grasp_fixed(self, body: int, link: int, point: Array, axis: Array) -> Array:
        """A grasp of a body's link that does not give way: where one finger alone touches it, the
        tool goes its way.
        """
        action, touching = self.grasp(point, axis, TURN_FIRST_M), []
        for finger in self.world.fingers:
            if self.world.touching(body, finger, link):
                touching.append(
                    np.array(self.world.client.getLinkState(self.world.body, finger)[0])
                )
        if action[GRIPPER] != CLOSED or len(touching) != 1:
            return action
        pose = self.pose
        return self.towards(
            pose[:3, 3] + ASIDE_M * signed(pose[:3, 1], touching[0] - pose[:3, 3]), CLOSED
        )

    def carry(self, place: Array, height_m: float, release_radius_m: float) -> Array:
        """Climb to a height, m, go over a place (2,), and let go there."""
        pose = self.pose
        offset = place - pose[:2, 3]
        if np.linalg.norm(offset) < release_radius_m:
            return self.stay(OPEN)
        return self.carry_over(place, height_m)

    def carry_over(self, place: Array, height_m: float) -> Array:
        """Climb to a height above the table, m, and go over a place (2,), fingers closed."""
        pose, above = self.pose, self.above_table(height_m)
        offset = place - pose[:2, 3]
        sideways = offset if above - pose[2, 3] < 0.03 else 0.2 * offset
        return self.towards(np.array([*(pose[:2, 3] + sideways), above]), CLOSED)

    def towards(self, goal: Array, gripper: float, finger_axis: Array | None = None) -> Array:
        """Full steps towards a goal position, kept in direction; the tool pointing down, fingers
        along an axis.
        """
        pose = self.pose
        return self.turning(
            goal, gripper, down(pose[:3, 1] if finger_axis is None else finger_axis)
        )

    def turning(self, goal: Array, gripper: float, rotation: Array) -> Array:
        """Full steps towards a goal position and a tool rotation (3, 3)."""
        pose = self.pose
        step = (goal - pose[:3, 3]) / self.robot.max_translation_m
        step /= max(1.0, float(np.abs(step).max()))
        turn = np.asarray(pin.log3(rotation @ pose[:3, :3].T)) / self.robot.max_rotation_rad
        turn /= max(1.0, float(np.abs(turn).max()))
        return np.concatenate([step, 0.8 * turn, [min(gripper, self.widest)]])


def down(finger_axis: Array) -> Array:
    """The rotation (3, 3) of a tool that points down, its fingers along an axis (3,)."""
    flat = np.array([finger_axis[0], finger_axis[1], 0.0])
    flat /= max(float(np.linalg.norm(flat)), 1e-6)
    return np.stack([DOWN_FORWARD, flat, np.cross(DOWN_FORWARD, flat)], axis=1)


def signed(axis: Array, towards: Array) -> Array:
    """An axis (3,) or its opposite, whichever is nearer to a direction (3,)."""
    return axis if axis @ towards >= 0 else -axis
