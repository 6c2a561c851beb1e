"""Recorded actions replayed in simulation: how far the arm then is from where it was."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.control.controller import gripper_position_m
from conure_core.errors import DataError
from conure_core.types import Array

Numbers = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ReplayError:
    """How one replayed episode departs from the recorded one, step by step."""

    tool_m: Array
    """Distance of the tools, (T,) m."""
    joint_rad: Array
    """Simulated minus recorded joint angles, (T, n) rad."""

    @property
    def tool_rms_m(self) -> float:
        """Root mean square of the tools' distance."""
        return float(np.sqrt(np.mean(np.square(self.tool_m))))


def replay(env: Any, proprio: Numbers, action: Numbers) -> ReplayError:
    """Begin where an episode began, repeat its actions, and compare the arm's motion.

    The actions go through the same controller and safety gate as on the robot. The table is as the
    environment's seed 0 has it: where objects were is not known of a recording.

    Args:
        env: A TabletopEnv of the recorded arm, its delays and gains as they shall be tried.
        proprio: Proprioception before each action, (T, p), see conure_core.robot.proprioception.
        action: Actions, (T, 7) in [-1, 1].

    Returns:
        The error before each action; its first row is 0 up to rounding.

    Raises:
        DataError: The recording is of another arm.
    """
    robot = env.robot
    joints = len(robot.joint_names)
    if proprio.shape[1] != robot.proprio_size or len(proprio) != len(action):
        raise DataError(
            f"expected proprioception ({len(action)}, {robot.proprio_size}) of '{robot.name}', got"
            f" {proprio.shape}; give the arm that was recorded"
        )
    recorded = np.asarray(proprio, dtype=np.float64)
    env.reset(seed=0)
    opening, *start_rad = recorded[0, -joints - 1 :]
    gripper_m = gripper_position_m(2 * opening - 1, robot)
    env.world.pose_arm(np.array(start_rad), gripper_m)
    env.loop.reset(np.array(start_rad), gripper_m)

    simulated = np.empty_like(recorded)
    for step, command in enumerate(action):
        env.sensors.capture_joints()
        simulated[step] = env.sensors.observation()["proprio"]
        env.step(command)
    away_m = np.linalg.norm(simulated[:, :3] - recorded[:, :3], axis=1)
    return ReplayError(away_m, simulated[:, -joints:] - recorded[:, -joints:])
