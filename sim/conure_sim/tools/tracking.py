"""How well a commanded end-effector delta is reached: the measure that an arm's gains, forces and
limits must meet.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conure_core.contract.action import ACTION_SIZE, MOTION, ROTATION, TRANSLATION
from conure_core.robot.arm import moved, pose_error
from conure_core.types import Array
from conure_sim.envs.tabletop import TabletopEnv

EPISODE_STEPS = 25
WANDER_M, WANDER_RAD = 0.05, 0.3


@dataclass(frozen=True)
class Tracking:
    """Of each action: how far, (n,) m and rad, the pose at the end of its step lay from the one
    that it asked for.

    `changed` (n,) tells where the safety gate altered the command, because its speed or
    acceleration was over a limit: there, what was asked for is not what was commanded.
    """

    distance_m: Array
    angle_rad: Array
    changed: NDArray[np.bool_]

    def within(self, distance_m: float, angle_rad: float) -> NDArray[np.bool_]:
        """(n,), whether each was reached as closely as this."""
        return (self.distance_m <= distance_m) & (self.angle_rad <= angle_rad)


def free_space_tracking(env: TabletopEnv, steps: int, seed: int) -> Tracking:
    """`steps` random actions over the whole range, one after the other, in free space around the
    arm's home pose.

    Where the tool has wandered further than WANDER_M or WANDER_RAD along an axis, the action leads
    back, so that contacts and the workspace's faces stay out of the measurement.
    """
    rng, arm, robot = np.random.default_rng(seed), env.world.arm, env.robot
    limits, home = (
        np.array([WANDER_M] * 3 + [WANDER_RAD] * 3),
        arm.forward(np.array(robot.home_rad)).copy(),
    )
    rows = []
    for step in range(steps):
        if step % EPISODE_STEPS == 0:
            env.reset(seed=seed + step)
            commanded = env.loop.hold()
        before, action = arm.forward(commanded.joint_rad).copy(), rng.uniform(-1, 1, ACTION_SIZE)
        offset = pose_error(home, before)
        action[MOTION] = np.where(
            np.abs(offset) > limits, -np.sign(offset) * np.abs(action[MOTION]), action[MOTION]
        )
        wanted = moved(
            before,
            action[TRANSLATION] * robot.max_translation_m,
            action[ROTATION] * robot.max_rotation_rad,
        )
        env.step(action)
        commanded = env.command
        error = pose_error(arm.forward(env.world.joint_state().joint_rad), wanted)
        rows.append((np.linalg.norm(error[:3]), np.linalg.norm(error[3:]), bool(commanded.changes)))
    distance_m, angle_rad, changed = zip(*rows, strict=True)
    return Tracking(np.array(distance_m), np.array(angle_rad), np.array(changed))
