import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_core.control.safety import JointCommand
from conure_core.errors import RobotError, UnsafeCommand
from conure_core.robot.description import load_robot
from conure_ros.cameras.encodings import rgb_pixels
from conure_ros.comms.messages import (
    by_name,
    image_message,
    joint_command,
    joint_sample,
    joint_state_message,
    to_ns,
    to_time,
    trajectory_message,
)

ROBOT = load_robot("wx250s")
NAMES = ROBOT.command_names


@given(st.permutations(range(len(NAMES))))
def test_joints_are_found_by_name_in_whatever_order(order):
    values = [0.1 * index for index in range(len(NAMES))]
    shuffled = by_name([NAMES[i] for i in order], [values[i] for i in order], NAMES, "joint_states")
    assert shuffled.tolist() == values


def test_other_joints_are_passed_over():
    assert by_name(["gear", *NAMES], [9.0] * (len(NAMES) + 1), NAMES, "joint_states").size == len(
        NAMES
    )


def test_a_missing_joint_is_refused_by_name():
    with pytest.raises(RobotError, match="joint_states lacks 'elbow'"):
        by_name(
            [name for name in NAMES if name != "elbow"],
            [0.0] * (len(NAMES) - 1),
            NAMES,
            "joint_states",
        )


def test_a_doubled_joint_is_refused_by_name():
    with pytest.raises(RobotError, match="'waist' more than once"):
        by_name(["waist", *NAMES], [0.0] * (len(NAMES) + 1), NAMES, "joint_states")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_position_that_is_not_finite_is_refused_by_name(bad):
    with pytest.raises(UnsafeCommand, match="'waist' is not finite"):
        by_name(NAMES, [bad, *[0.0] * (len(NAMES) - 1)], NAMES, "joint_states")


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_stamps_are_exact(nanoseconds):
    assert to_ns(to_time(nanoseconds)) == nanoseconds


def test_a_command_survives_the_message():
    command = JointCommand(np.linspace(-1, 1, 6), 0.02, 0.075)
    back = joint_command(trajectory_message(ROBOT, command, 5), ROBOT)
    assert np.array_equal(back.joint_rad, command.joint_rad)
    assert (back.gripper_m, back.duration_s) == (command.gripper_m, command.duration_s)


def test_a_trajectory_of_two_points_is_refused():
    message = trajectory_message(ROBOT, JointCommand(np.zeros(6), 0.02, 0.075), 5)
    message.points = [*message.points, *message.points]
    with pytest.raises(UnsafeCommand, match="one point, got 2"):
        joint_command(message, ROBOT)


def test_joint_state_survives_the_message():
    sample = joint_sample(joint_state_message(ROBOT, np.arange(6.0), np.zeros(6), 0.03, 7), ROBOT)
    assert sample.joint_rad.tolist() == list(range(6))
    assert (sample.gripper_m, sample.stamp_ns) == (0.03, 7)


def test_pixels_survive_the_message():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    assert np.array_equal(rgb_pixels(image_message(pixels, 1, "camera")), pixels)
