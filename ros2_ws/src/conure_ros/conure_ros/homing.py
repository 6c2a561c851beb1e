"""A slow, straight way in joint space from where the arm is to where it should be. Pure."""

from collections.abc import Iterator

import numpy as np

from conure_core.arm import Array
from conure_core.controller import JointTarget


def ramp(
    start_rad: Array, goal_rad: Array, goal_gripper_m: float, speed_rad_s: float, period_s: float
) -> Iterator[JointTarget]:
    """Targets one control period apart, all joints arriving together, the fastest at `speed_rad_s`; at least one."""
    largest_rad = float(np.abs(goal_rad - start_rad).max())
    steps = max(1, int(np.ceil(largest_rad / (speed_rad_s * period_s))))
    for fraction in np.linspace(0.0, 1.0, steps + 1)[1:]:
        yield JointTarget(start_rad + fraction * (goal_rad - start_rad), goal_gripper_m)
