"""Whether the shapes of an arm can be checked as often as the gate needs."""

import math
import time

import numpy as np

from conure_core.control.safety import BISECTIONS
from conure_core.errors import ConfigError
from conure_core.robot.arm import Arm
from conure_core.types import Array

POSES = 40
SHARE_OF_PERIOD = 0.5
"""What the checks of one command may take; the rest is the controller's, and the machine's."""
SPEEDS_TRIED = 1 + BISECTIONS
"""At most, for one command: the wanted one, and those between it and braking."""
BRAKING_POSES = 3
"""At most, of one speed, that are as slow to check as the slowest."""


def require_fast_checks(arm: Arm) -> float:
    """Refuse an arm whose shapes take so long to check that the gate would miss its period.

    Ten links of 50,000 triangles each took up to 6 ms a check, and the gate makes a dozen for a
    command; of boxes, a check takes 0.1 to 0.4 ms.

    Args:
        arm: The arm.

    Returns:
        The longest time of one check, s of this processor.

    Raises:
        ConfigError: Names the URDF, how long a check takes, and how long it may.
    """
    config = arm.config
    home = np.array(config.home_rad)
    drawn = np.random.default_rng(0).uniform(arm.lower_rad, arm.upper_rad, (POSES, len(home)))
    near_home = home + 0.3 * (drawn - home)
    longest_s = max(_check_s(arm, pose) for pose in (*drawn, *near_home))
    brakes = (
        math.ceil(speed / (acceleration * config.control_period_s)) + 1
        for speed, acceleration in zip(
            config.max_speed_rad_s, config.max_acceleration_rad_s2, strict=True
        )
    )
    checks = SPEEDS_TRIED * min(max(brakes), BRAKING_POSES)
    allowed_s = SHARE_OF_PERIOD * config.control_period_s / checks
    if longest_s > allowed_s:
        raise ConfigError(
            f"{config.urdf}: a check of its collision shapes takes {1000 * longest_s:.1f} ms, and"
            f" with {checks} checks a command it may take {1000 * allowed_s:.1f} ms; give the links"
            " convex hulls of few corners, or boxes, cylinders and spheres"
        )
    return longest_s


def _check_s(arm: Arm, joint_rad: Array) -> float:
    """Time of this thread alone, the shorter of two: what else runs here does not count."""
    times = []
    for _ in range(2):
        began_s = time.thread_time()
        arm.clearance_deficits(joint_rad)
        times.append(time.thread_time() - began_s)
    return min(times)
