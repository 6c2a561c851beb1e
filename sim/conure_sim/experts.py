"""Scripted experts: reactive, from the true state, so that their demonstrations are a function of what can be seen."""

import numpy as np
import pinocchio as pin
from numpy.typing import NDArray

from conure_sim.scene import Scene, SceneObject

Array = NDArray[np.float64]
OPEN, CLOSED = 0.9, -0.9
HOVER_M = 0.07
FUNNEL_SLOPE, FUNNEL_RADIUS_M = 2.5, 0.008
CLOSE_RADIUS_M, CLOSE_HEIGHT_M = 0.009, 0.006
CARRY_HEIGHT_M = 0.09
RELEASE_RADIUS_M = 0.02
DOWN_FORWARD = np.array([0.0, 0.0, -1.0])


class PickPlaceExpert:
    """Moves over the target, down a funnel around it, closes, lifts; then carries to the container and lets go.

    It acts on the state alone, without a clock or phases, so that a disturbed episode goes on sensibly.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.robot = scene.world.robot

    def action(self) -> Array:
        """The noiseless action (7,) in [-1, 1] for the present state."""
        scene, target = self.scene, self.scene.target
        pose = scene.world.arm.forward(scene.world.joint_state().joint_rad)
        if scene.container is not None and scene.contained(target) and not scene.held(target):
            return self._towards(pose, pose[:3, 3] + [0, 0, 0.1], OPEN)
        if scene.held(target):
            return self._with_object(pose)
        return self._to_object(pose, target)

    def _to_object(self, pose: Array, target: SceneObject) -> Array:
        position, orientation = self.scene.world.pose(target.body)
        grasp_z = max(self.scene.world.simulation.grasp_lowest_m, position[2] + 0.5 * target.model.height_m)
        offset = position[:2] - pose[:2, 3]
        distance = float(np.linalg.norm(offset))
        if distance < CLOSE_RADIUS_M and pose[2, 3] < grasp_z + CLOSE_HEIGHT_M:
            return self._towards(pose, pose[:3, 3], CLOSED)
        funnel = float(np.clip(FUNNEL_SLOPE * (distance - FUNNEL_RADIUS_M), 0.0, HOVER_M))
        goal = np.array([position[0], position[1], grasp_z + funnel])
        return self._towards(pose, goal, OPEN, _grasp_axis(pose, orientation, target.model.grasp_yaw_rad))

    def _with_object(self, pose: Array) -> Array:
        container = self.scene.container
        if container is None:
            return self._towards(pose, pose[:3, 3] + [0, 0, 0.1], CLOSED)
        offset = container.position[:2] - pose[:2, 3]
        above = CARRY_HEIGHT_M if container.model.wall_m > 0.02 else CARRY_HEIGHT_M - 0.02
        if np.linalg.norm(offset) < RELEASE_RADIUS_M:
            return self._towards(pose, pose[:3, 3], OPEN)
        climb = above - pose[2, 3]
        sideways = offset if climb < 0.03 else 0.2 * offset
        return self._towards(pose, np.array([*(pose[:2, 3] + sideways), above]), CLOSED)

    def _towards(self, pose: Array, goal: Array, gripper: float, finger_axis: Array | None = None) -> Array:
        """Full steps towards a goal position, kept in direction; the tool pointing down, fingers along an axis."""
        step = (goal - pose[:3, 3]) / self.robot.max_translation_m
        step /= max(1.0, float(np.abs(step).max()))
        axis = pose[:3, 1] if finger_axis is None else finger_axis
        turn = _rotation_to_down(pose, axis) / self.robot.max_rotation_rad
        turn /= max(1.0, float(np.abs(turn).max()))
        return np.concatenate([step, 0.8 * turn, [gripper]])


def _grasp_axis(pose: Array, orientation: Array, grasp_yaw_rad: float) -> Array:
    """The object's narrow direction in the base frame, (3,), flat, signed to turn the fingers least."""
    x, y, z, w = orientation
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)) + grasp_yaw_rad
    axis = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    return axis if axis @ pose[:3, 1] >= 0 else -axis


def _rotation_to_down(pose: Array, finger_axis: Array) -> Array:
    """Rotation vector (3,) in the base frame that makes the tool point down with its fingers along an axis."""
    flat = np.array([finger_axis[0], finger_axis[1], 0.0])
    flat /= max(float(np.linalg.norm(flat)), 1e-6)
    wanted = np.stack([DOWN_FORWARD, flat, np.cross(DOWN_FORWARD, flat)], axis=1)
    return np.asarray(pin.log3(wanted @ pose[:3, :3].T))
