"""Range of what an arm may measure of itself: joints near or inside their limits."""

import math
from collections.abc import Iterator

import numpy as np

from conure_core.robot.arm import Arm
from conure_core.robot.description import RobotConfig
from conure_core.types import Array

GRIPPER_STROKES = 0.5
READABLE = 1e6
"""Larger values are said by their exponent."""


def measured_range(arm: Arm) -> tuple[Array, Array]:
    """Compute the range of positions (n + 1,), rad and m for the gripper, that may be measured.

    The arm's joints: the URDF's limits and `measurement_margin_rad` beyond them. The gripper: from
    closed to open, and half its stroke beyond both.
    """
    config = arm.config
    lower_rad, upper_rad = urdf_limits(arm)
    closed_m, open_m = _gripper_ends(config)
    slack_m = GRIPPER_STROKES * (open_m - closed_m)
    lower = np.append(lower_rad - config.measurement_margin_rad, closed_m - slack_m)
    upper = np.append(upper_rad + config.measurement_margin_rad, open_m + slack_m)
    return lower, upper


def urdf_limits(arm: Arm) -> tuple[Array, Array]:
    """Lowest and highest angle (n,) rad of the joints, as the URDF says: without
    `position_margin_rad`.
    """
    margin_rad = arm.config.position_margin_rad
    return arm.lower_rad - margin_rad, arm.upper_rad + margin_rad


def implausible(
    arm: Arm,
    joint_rad: Array,
    gripper_m: float,
) -> list[str]:
    """List what cannot be true of a measured pose: "'elbow' reads +3.130 rad, expected -2.164 to
    +1.764".

    An arm that reads so has lost a turn or its zero, or another arm is measured: no command may
    start from there.

    Args:
        arm: The arm, with its URDF's limits.
        joint_rad: Measured angles, shape (n,).
        gripper_m: The gripper joint's measured position.

    Returns:
        One text for each joint that is beyond its limits by more than the margin, or not finite;
        empty: none is.
    """
    angles = np.asarray(joint_rad, dtype=np.float64)
    found = np.append(angles, gripper_m)
    lower, upper = measured_range(arm)
    return list(_outside(arm.config, found, lower, upper))


def _outside(
    config: RobotConfig,
    found: Array,
    lower: Array,
    upper: Array,
) -> Iterator[str]:
    units = ["rad"] * len(config.joint_names) + ["m"]
    rows = zip(config.command_names, found, lower, upper, units, strict=True)
    for name, value, low, high, unit in rows:
        if not (math.isfinite(value) and low <= value <= high):
            read = f"{value:+.3f}" if abs(value) < READABLE else f"{value:+.3g}"
            yield f"'{name}' reads {read} {unit}, expected {low:+.3f} to {high:+.3f}"


def _gripper_ends(config: RobotConfig) -> tuple[float, float]:
    closed_m, open_m = sorted((config.gripper_closed_m, config.gripper_open_m))
    return closed_m, open_m
