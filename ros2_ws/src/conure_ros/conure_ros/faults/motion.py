"""Whether the arm stayed within its limits, from what was recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conure_core.arm import Arm, Array
from conure_core.robot import RobotConfig
from conure_ros.faults.table import Outcome
from conure_ros.messages import joint_command, joint_sample, to_ns

TRACKING_M = 0.005
"""How far beyond its box a tool may be measured whose commands stay inside: a command is reached within 3 mm."""
ROUNDING = 1e-6


@dataclass(frozen=True)
class Motion:
    """Commands and measurements of the joints (rows, n), rad, rad/s; times in s."""

    command_s: Array
    commands_rad: Array
    measured_s: Array
    measured_rad: Array
    measured_rad_s: Array


def motion(robot: RobotConfig, trajectories: Sequence[Any], joints: Sequence[Any]) -> Motion:
    """From the messages. Raises: RobotError, UnsafeCommand for a command that lacks a joint or is not finite."""
    arm = len(robot.joint_names)
    names = [list(joints[0].name).index(name) for name in robot.joint_names] if joints else []
    return Motion(
        np.array([to_ns(message.header.stamp) for message in trajectories]) / 1e9,
        np.array([joint_command(message, robot).joint_rad for message in trajectories]).reshape(-1, arm),
        np.array([to_ns(message.header.stamp) for message in joints]) / 1e9,
        np.array([joint_sample(message, robot).joint_rad for message in joints]).reshape(-1, arm),
        np.array([np.array(message.velocity)[names] for message in joints]).reshape(-1, arm),
    )


def judged(arm: Arm, moved: Motion) -> Outcome:
    """Commands by the robot's limits; measured joints by the URDF's; the tool by the box."""
    config = arm.config
    command_rad = _beyond(moved.commands_rad, arm.lower_rad, arm.upper_rad)
    measured_rad = _beyond(
        moved.measured_rad, arm.lower_rad - config.position_margin_rad, arm.upper_rad + config.position_margin_rad
    )
    command_speed = float((_command_speed(config, moved) - np.array(config.max_speed_rad_s)).max(initial=-np.inf))
    measured_speed = float((np.abs(moved.measured_rad_s) - arm.velocity_limit_rad_s).max(initial=-np.inf))
    tool_m = _outside_m(arm, moved.measured_rad)
    figures = {
        "commands": float(len(moved.commands_rad)),
        "measurements": float(len(moved.measured_rad)),
        "command beyond position limit, rad": command_rad,
        "command beyond speed limit, rad/s": command_speed,
        "measured beyond position limit, rad": measured_rad,
        "measured beyond speed limit, rad/s": measured_speed,
        "tool outside the workspace, m": tool_m,
    }
    worst = max(command_rad, command_speed, measured_rad, measured_speed)
    return Outcome(bool(len(moved.measured_rad)) and worst <= ROUNDING and tool_m <= TRACKING_M, figures)


def _beyond(values: Array, lower: Array, upper: Array) -> float:
    return float(np.maximum(lower - values, values - upper).max(initial=-np.inf))


def _command_speed(config: RobotConfig, moved: Motion) -> Array:
    """Of each command (rows, n), from the one before, or from where the arm was measured: a new start begins there."""
    if not len(moved.commands_rad) or not len(moved.measured_rad):
        return np.zeros((0, len(config.joint_names)))
    nearest = np.clip(np.searchsorted(moved.measured_s, moved.command_s) - 1, 0, len(moved.measured_s) - 1)
    from_measured = np.abs(moved.commands_rad - moved.measured_rad[nearest])
    from_last = np.vstack([from_measured[:1], np.abs(np.diff(moved.commands_rad, axis=0))])
    whole = from_last.max(axis=1) <= from_measured.max(axis=1)
    return np.where(whole[:, None], from_last, from_measured) / config.settle_s


def _outside_m(arm: Arm, joint_rad: Array) -> float:
    """The deepest that the tool was outside its box, m; negative inside."""
    tools = np.array([arm.forward(row)[:3, 3] for row in joint_rad[::2]]).reshape(-1, 3)
    return _beyond(tools, np.array(arm.config.workspace_lower_m), np.array(arm.config.workspace_upper_m))
