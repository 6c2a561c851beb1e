"""Proprioception as every policy sees it, from joint angles alone: the same numbers in simulation
and on the robot.
"""

import numpy as np
from numpy.typing import NDArray

from conure_core.robot.arm import Arm
from conure_core.types import Array


def proprioception(arm: Arm, joint_rad: Array, gripper_m: float) -> NDArray[np.float32]:
    """(proprio_size,) float32: tool position (m), two columns of its rotation, gripper opening 0 to
    1, angles (rad).

    Source for the rotation: Zhou et al., On the Continuity of Rotation Representations, CVPR 2019.
    """
    config = arm.config
    pose = arm.forward(joint_rad)
    opening = (gripper_m - config.gripper_closed_m) / (
        config.gripper_open_m - config.gripper_closed_m
    )
    return np.concatenate([pose[:3, 3], pose[:3, 0], pose[:3, 1], [opening], joint_rad]).astype(
        np.float32
    )
