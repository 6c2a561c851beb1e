"""Measure how closely commanded end-effector deltas are reached: the test of an arm's gains, forces
and limits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conure_core.contract.action import ACTION_SIZE, MOTION, ROTATION, TRANSLATION
from conure_core.robot.arm import moved, pose_error
from conure_core.types import Array
from conure_sim.envs.tabletop import TabletopEnv

EPISODE_STEPS = 25
WANDER_M = 0.05
WANDER_RAD = 0.3


@dataclass(frozen=True)
class Tracking:
    """The error of n actions: the pose at the end of a step against the commanded one."""

    distance_m: Array
    """(n,), m."""
    angle_rad: Array
    """(n,), rad."""
    changed: NDArray[np.bool_]
    """(n,), whether the safety gate altered the command, because its speed or acceleration was over
    a limit: there, the action is not what was commanded."""

    def within(self, distance_m: float, angle_rad: float) -> NDArray[np.bool_]:
        """Compare the errors with bounds.

        Args:
            distance_m: The largest distance, m.
            angle_rad: The largest angle, rad.

        Returns:
            (n,), whether each action is within both.
        """
        return (self.distance_m <= distance_m) & (self.angle_rad <= angle_rad)


def measure_free_space_tracking(
    env: TabletopEnv,
    steps: int,
    seed: int,
) -> Tracking:
    """Send random actions over the whole range, in free space around the arm's home pose.

    Where the tool is further than WANDER_M or WANDER_RAD away along an axis, the action leads back,
    so that contacts and the workspace's faces stay out of the measurement.

    Args:
        env: Of the arm.
        steps: How many actions, a reset after each EPISODE_STEPS.
        seed: Of the actions and the resets.

    Returns:
        The error of each action.
    """
    rng = np.random.default_rng(seed)
    arm = env.world.arm
    robot = env.robot
    limits = np.array([WANDER_M] * 3 + [WANDER_RAD] * 3)
    home = arm.forward(np.array(robot.home_rad)).copy()

    distance_m = np.zeros(steps)
    angle_rad = np.zeros(steps)
    changed = np.zeros(steps, dtype=bool)
    for step in range(steps):
        if step % EPISODE_STEPS == 0:
            env.reset(seed=seed + step)
            commanded = env.loop.hold()
        before = arm.forward(commanded.joint_rad).copy()

        action = rng.uniform(-1, 1, ACTION_SIZE)
        offset = pose_error(home, before)
        back = -np.sign(offset) * np.abs(action[MOTION])
        action[MOTION] = np.where(np.abs(offset) > limits, back, action[MOTION])
        shift_m = action[TRANSLATION] * robot.max_translation_m
        turn_rad = action[ROTATION] * robot.max_rotation_rad
        wanted = moved(before, shift_m, turn_rad)

        env.step(action)
        commanded = env.command
        error = pose_error(arm.forward(env.world.joint_state().joint_rad), wanted)
        distance_m[step] = np.linalg.norm(error[:3])
        angle_rad[step] = np.linalg.norm(error[3:])
        changed[step] = bool(commanded.changes)
    return Tracking(distance_m, angle_rad, changed)
