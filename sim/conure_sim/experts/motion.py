"""Motions of the tool that the scripted experts share: a step towards a pose, a grasp, a carry.

Experts are reactive: they act on the present true state, without a clock or phases, so that they
recover from a disturbance and their demonstrations are a function of what can be seen.
"""

from typing import Protocol

import numpy as np
import pinocchio as pin

from conure_core.contract.action import GRIPPER
from conure_core.types import Array
from conure_sim.scenes.scene import Scene

OPEN = 0.9
CLOSED = -0.9
HOVER_M = 0.07
FUNNEL_SLOPE = 2.5
FUNNEL_RADIUS_M = 0.008
CLOSE_RADIUS_M = 0.009
CLOSE_HEIGHT_M = 0.006
TURN_FIRST_M = 0.06
WIDEST_GAP_M = 0.052
ASIDE_M = 0.0015
DOWN_FORWARD = np.array([0.0, 0.0, -1.0])


class Expert(Protocol):
    """Solves one task in one scene."""

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""


class Motion:
    """Actions, (7,) in [-1, 1], that move the tool of one scene's arm. Base frame, lengths m."""

    def __init__(self, scene: Scene) -> None:
        self.world = scene.world
        self.robot = scene.world.robot
        self.widest = self._widest()

    def _widest(self) -> float:
        """The gripper's action at which WIDEST_GAP_M is between the fingers: wider ones come down
        on other objects.
        """
        robot = self.robot
        finger_m = WIDEST_GAP_M / len(self.world.fingers) + self.world.simulation.finger_pad_m
        range_m = robot.gripper_open_m - robot.gripper_closed_m
        share = (finger_m - robot.gripper_closed_m) / range_m
        return float(np.clip(2 * share - 1, -1.0, 1.0))

    @property
    def pose(self) -> Array:
        """The measured pose of the tool, base_from_tool, (4, 4) m."""
        return self.world.arm.forward(self.world.joint_state().joint_rad)

    @property
    def position(self) -> Array:
        """The measured position of the tool, (3,) m."""
        return self.pose[:3, 3]

    def distance_to(self, place: Array) -> float:
        """The horizontal distance, m, from the tool to a place (2,) m."""
        return float(np.linalg.norm(place - self.position[:2]))

    def above_table(self, height_m: float) -> float:
        """z, m, of a height above the table."""
        return self.robot.table_height_m + height_m

    def holding(self, body: int, link: int | None = None) -> bool:
        """Tell whether every finger touches a body.

        Args:
            body: The body's id.
            link: Index of its link, -1: its base; by default any of them.

        Returns:
            Whether each finger has a contact with it.
        """
        return all(self.world.touching(body, finger, link) for finger in self.world.fingers)

    def rise(self, gripper: float) -> Array:
        """Move straight up; `gripper`: its action."""
        return self.move_towards(self.position + [0, 0, 0.1], gripper)

    def stay(self, gripper: float) -> Array:
        """Hold the tool where it is; `gripper`: its action."""
        return self.move_towards(self.position, gripper)

    def grasp(
        self,
        point: Array,
        axis: Array,
        turn_weight_m: float = 0.0,
    ) -> Array:
        """Move over a point with open fingers, down a funnel around it, and close there.

        Args:
            point: Where the fingers close, (3,) m.
            axis: Horizontal direction from finger to finger, either sign, (3,).
            turn_weight_m: Distance from the point that counts as much as a missing turn of 1 rad;
                0: turn while going down.

        Returns:
            The action.
        """
        pose = self.pose
        fingers = pose[:3, 1]
        axis = align_direction(axis, fingers)
        cosine = np.clip(axis @ fingers, -1.0, 1.0)
        missing_rad = float(np.arccos(cosine))
        distance_m = self.distance_to(point[:2]) + turn_weight_m * missing_rad
        if distance_m < CLOSE_RADIUS_M and pose[2, 3] < point[2] + CLOSE_HEIGHT_M:
            return self.stay(CLOSED)

        funnel_m = FUNNEL_SLOPE * (distance_m - FUNNEL_RADIUS_M)
        height_m = float(np.clip(funnel_m, 0.0, HOVER_M))
        return self.move_over(point[:2], point[2] + height_m, OPEN, axis)

    def grasp_fixed(
        self,
        body: int,
        link: int,
        point: Array,
        axis: Array,
    ) -> Array:
        """Grasp a body's link that does not give way.

        Where only one finger touches it, the tool moves towards that finger until both do.

        Args:
            body: The body's id.
            link: Index of the link.
            point: Where the fingers close, (3,) m.
            axis: Horizontal direction from finger to finger, either sign, (3,).

        Returns:
            The action.
        """
        action = self.grasp(point, axis, TURN_FIRST_M)
        fingers = self.world.fingers
        touching = [finger for finger in fingers if self.world.touching(body, finger, link)]
        if action[GRIPPER] != CLOSED or len(touching) != 1:
            return action

        pose = self.pose
        tool = pose[:3, 3]
        finger = self.world.finger_centre(touching[0])
        sideways = align_direction(pose[:3, 1], finger - tool)
        return self.move_towards(tool + ASIDE_M * sideways, CLOSED)

    def carry(
        self,
        place: Array,
        height_m: float,
        release_radius_m: float,
    ) -> Array:
        """Climb, move over a place with closed fingers, and open them there.

        Args:
            place: (2,) m.
            height_m: Height of the tool above the table, m.
            release_radius_m: Horizontal distance at which the fingers open, m.

        Returns:
            The action.
        """
        if self.distance_to(place) < release_radius_m:
            return self.stay(OPEN)
        return self.carry_over(place, height_m)

    def carry_over(self, place: Array, height_m: float) -> Array:
        """Climb, and move over a place, with closed fingers.

        Args:
            place: (2,) m.
            height_m: Height of the tool above the table, m.

        Returns:
            The action.
        """
        tool = self.position
        above = self.above_table(height_m)
        offset = place - tool[:2]
        sideways = offset if above - tool[2] < 0.03 else 0.2 * offset
        return self.move_over(tool[:2] + sideways, above, CLOSED)

    def move_over(
        self, place: Array, z: float, gripper: float, finger_axis: Array | None = None
    ) -> Array:
        """Move straight towards a point over a place at full speed, pointing down.

        Args:
            place: (2,) m.
            z: Of the tool, m, base frame.
            gripper: Its action, -1 closed to 1 open.
            finger_axis: As for `move_towards`.

        Returns:
            The action.
        """
        x, y = place
        return self.move_towards(np.array([x, y, z]), gripper, finger_axis)

    def move_towards(
        self,
        goal: Array,
        gripper: float,
        finger_axis: Array | None = None,
    ) -> Array:
        """Move straight towards a position at full speed, pointing down.

        Args:
            goal: Position of the tool, (3,) m.
            gripper: Its action, -1 closed to 1 open.
            finger_axis: Horizontal direction from finger to finger, (3,); by default the present
                one.

        Returns:
            The action.
        """
        if finger_axis is None:
            finger_axis = self.pose[:3, 1]
        return self.move_towards_pose(goal, gripper, downward_rotation(finger_axis))

    def move_towards_pose(
        self,
        goal: Array,
        gripper: float,
        rotation: Array,
    ) -> Array:
        """Move straight towards a position at full speed, and turn towards a rotation.

        Args:
            goal: Position of the tool, (3,) m.
            gripper: Its action, -1 closed to 1 open.
            rotation: base_from_tool at the goal, (3, 3).

        Returns:
            The action.
        """
        pose = self.pose
        step = (goal - pose[:3, 3]) / self.robot.max_translation_m
        step /= max(1.0, float(np.abs(step).max()))
        turn_rad = np.asarray(pin.log3(rotation @ pose[:3, :3].T))
        turn = turn_rad / self.robot.max_rotation_rad
        turn /= max(1.0, float(np.abs(turn).max()))
        return np.concatenate([step, 0.8 * turn, [min(gripper, self.widest)]])


def downward_rotation(finger_axis: Array) -> Array:
    """The rotation (3, 3) of a tool that points down, its fingers along an axis (3,)."""
    flat = np.array([finger_axis[0], finger_axis[1], 0.0])
    flat /= max(float(np.linalg.norm(flat)), 1e-6)
    return np.stack([DOWN_FORWARD, flat, np.cross(DOWN_FORWARD, flat)], axis=1)


def align_direction(axis: Array, direction: Array) -> Array:
    """Choose the sign of an axis.

    Args:
        axis: Shape (3,).
        direction: Shape (3,).

    Returns:
        The axis or its opposite, whichever is nearer to the direction.
    """
    return axis if axis @ direction >= 0 else -axis
