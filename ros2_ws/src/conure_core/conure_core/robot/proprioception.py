"""Proprioception as every policy sees it, from joint angles alone: the same numbers in simulation
and on the robot.
"""

import numpy as np
from numpy.typing import NDArray

from conure_core.robot.arm import Arm
from conure_core.robot.description import RobotConfig
from conure_core.types import Array


def proprioception(
    arm: Arm,
    joint_rad: Array,
    gripper_m: float,
) -> NDArray[np.float32]:
    """Compute what a policy sees of the arm itself.

    Args:
        arm: The arm, for its kinematics and the gripper's stroke.
        joint_rad: Joint angles, shape (n,), rad.
        gripper_m: Position of the gripper joint, m.

    Returns:
        float32, shape (proprio_size,): tool position in the base frame (m), the x and y columns of
        the tool's rotation, gripper opening (0 closed, 1 open), joint angles (rad).

    Source for the rotation: Zhou et al., On the Continuity of Rotation Representations, CVPR 2019.
    """
    config = arm.config
    pose = arm.forward(joint_rad)
    stroke_m = config.gripper_open_m - config.gripper_closed_m
    opening = (gripper_m - config.gripper_closed_m) / stroke_m
    position_m = pose[:3, 3]
    x_axis = pose[:3, 0]
    y_axis = pose[:3, 1]
    observed = np.concatenate([position_m, x_axis, y_axis, [opening], joint_rad])
    return observed.astype(np.float32)


def proprioception_names(config: RobotConfig) -> tuple[str, ...]:
    """A name for each number of `proprioception`, in its order."""
    tool = tuple(f"tool_{axis}_m" for axis in "xyz")
    axes = tuple(f"tool_{column}_axis_{row}" for column in "xy" for row in "xyz")
    joints = tuple(f"{name}_rad" for name in config.joint_names)
    return (*tool, *axes, "gripper_opening", *joints)
