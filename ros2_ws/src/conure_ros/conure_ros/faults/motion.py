"""Whether the arm stayed within its limits, judged from the recorded messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conure_core.robot.arm import Arm
from conure_core.robot.description import RobotConfig
from conure_core.types import Array
from conure_ros.comms.messages import joint_command, joint_sample, to_ns
from conure_ros.faults.table import Outcome

TRACKING_M = 0.005
"""How far a tool may be beyond its box if its commands stay inside: a command is reached within
3 mm.
"""
ROUNDING = 1e-6
RECENT_S = 0.5
"""How old a measurement may be from which control anchored, s."""


@dataclass(frozen=True)
class Motion:
    """Commands and measurements of the joints (rows, n), rad, rad/s; times in s.

    `true_s`, `true_rad`: the motion that is judged. Servos answer one after the other, some only
    after a retry, so one measurement may mix joints of different times; then their true positions
    count.
    """

    command_s: Array
    commands_rad: Array
    measured_s: Array
    measured_rad: Array
    measured_rad_s: Array
    true_s: Array
    true_rad: Array


def collect_motion(
    robot: RobotConfig,
    trajectories: Sequence[Any],
    joints: Sequence[Any],
    true: tuple[Array, Array] | None = None,
) -> Motion:
    """Collect commands and measurements from messages.

    Args:
        robot: Names and order of the joints.
        trajectories: Commands, JointTrajectory.
        joints: Measurements, JointState.
        true: True motion: times (rows,), s, by the arm's own clock, and joints (rows, n), rad;
            None: the measurements.

    Raises:
        RobotError: A message lacks a joint.
        UnsafeCommand: A message has a value that is not finite.
    """
    trajectories, joints = list(trajectories), list(joints)  # they grow meanwhile
    arm = len(robot.joint_names)
    names = [list(joints[0].name).index(name) for name in robot.joint_names] if joints else []
    measured_s = np.array([to_ns(message.header.stamp) for message in joints]) / 1e9
    measured_rad = np.array([joint_sample(message, robot).joint_rad for message in joints]).reshape(
        -1, arm
    )
    return Motion(
        np.array([to_ns(message.header.stamp) for message in trajectories]) / 1e9,
        np.array([joint_command(message, robot).joint_rad for message in trajectories]).reshape(
            -1, arm
        ),
        measured_s,
        measured_rad,
        np.array([np.array(message.velocity)[names] for message in joints]).reshape(-1, arm),
        *(true or (measured_s, measured_rad)),
    )


def judge_motion(arm: Arm, moved: Motion) -> Outcome:
    """Judge commands by the robot's limits, the true motion by the URDF's, and the tool by the box.

    Speed is that of a whole command, as the gate limits it, so joint speeds are taken over
    `settle_s` too. The peak at an instant, where a simulated motor overshoots for a few
    milliseconds, is reported only.

    Args:
        arm: Kinematics and limits.
        moved: The recorded motion.
    """
    config = arm.config
    command_rad = _beyond(moved.commands_rad, arm.lower_rad, arm.upper_rad)
    true_rad = _beyond(
        moved.true_rad,
        arm.lower_rad - config.position_margin_rad,
        arm.upper_rad + config.position_margin_rad,
    )
    command_speed = float(
        (_command_speed(config, moved) - np.array(config.max_speed_rad_s)).max(initial=-np.inf)
    )
    true_speed = float((_true_speed(config, moved) - arm.velocity_limit_rad_s).max(initial=-np.inf))
    peak = float(np.abs(moved.measured_rad_s).max(initial=0.0))
    tool_m = _outside_m(arm, moved.true_rad)
    figures = {
        "commands": float(len(moved.commands_rad)),
        "measurements": float(len(moved.measured_rad)),
        "command beyond position limit, rad": command_rad,
        "command beyond speed limit, rad/s": command_speed,
        "measured beyond position limit, rad": true_rad,
        "measured beyond speed limit, rad/s": true_speed,
        "measured at an instant, at most, rad/s": peak,
        "tool outside the workspace, m": tool_m,
    }
    worst = max(command_rad, command_speed, true_rad, true_speed)
    seen = bool(len(moved.measured_rad) and len(moved.true_rad))
    return Outcome(seen and worst <= ROUNDING and tool_m <= TRACKING_M, figures)


def _beyond(values: Array, lower: Array, upper: Array) -> float:
    return float(np.maximum(lower - values, values - upper).max(initial=-np.inf))


def _command_speed(config: RobotConfig, moved: Motion) -> Array:
    """Speed of each command (rows, n), from the one before or from a recent measurement: a new
    start begins there.
    """
    speeds = []
    for row, (command_s, command_rad) in enumerate(
        zip(moved.command_s, moved.commands_rad, strict=True)
    ):
        recent = (moved.measured_s <= command_s) & (moved.measured_s > command_s - RECENT_S)
        starts = np.vstack([moved.measured_rad[recent], moved.commands_rad[max(0, row - 1) : row]])
        if len(starts):
            ways = np.abs(command_rad - starts)
            speeds.append(ways[ways.max(axis=1).argmin()] / config.settle_s)
    return np.array(speeds).reshape(-1, len(config.joint_names))


def _true_speed(config: RobotConfig, moved: Motion) -> Array:
    """Mean speed (rows, n) from each time to the first one at least `settle_s` later."""
    later = np.searchsorted(moved.true_s, moved.true_s + config.settle_s)
    rows = np.flatnonzero(later < len(moved.true_s))
    seconds = moved.true_s[later[rows]] - moved.true_s[rows]
    return np.abs(moved.true_rad[later[rows]] - moved.true_rad[rows]) / seconds[:, None]


def _outside_m(arm: Arm, joint_rad: Array) -> float:
    """The largest distance of the tool outside its box, m; negative inside."""
    tools = np.array([arm.forward(row)[:3, 3] for row in joint_rad[::2]]).reshape(-1, 3)
    return _beyond(tools, *arm.workspace_m)
