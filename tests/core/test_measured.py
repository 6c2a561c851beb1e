"""Measured positions outside limits: what no arm can measure of itself is named."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_core.errors import ConfigError
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_core.robot.measured_range import implausible, measured_range

ARM = Arm(load_robot("wx250s"))
HOME = np.array(ARM.config.home_rad)
JOINTS = len(HOME)


@pytest.mark.parametrize("name", ["wx250s", "panda", "ur5e", "so101"])
def test_every_pose_that_safety_allows_may_be_measured(name):
    arm = Arm(load_robot(name))
    for joint_rad in (arm.lower_rad, arm.upper_rad, np.array(arm.config.home_rad)):
        for gripper_m in (arm.config.gripper_closed_m, arm.config.gripper_open_m):
            assert implausible(arm, joint_rad, gripper_m) == []


@given(st.integers(0, JOINTS), st.sampled_from([-1, 1]), st.floats(0.001, 1e200))
def test_a_joint_beyond_limit_and_margin_is_named_and_only_that(index, side, beyond):
    pose = np.append(HOME, ARM.config.gripper_open_m)
    lower, upper = measured_range(ARM)
    pose[index] = (upper if side > 0 else lower)[index] + side * beyond
    texts = implausible(ARM, pose[:-1], float(pose[-1]))
    assert len(texts) == 1
    assert texts[0].startswith(f"'{ARM.config.command_names[index]}' reads ")


@given(st.integers(0, JOINTS), st.sampled_from([-1, 1]))
def test_as_far_as_the_margin_nothing_is_said(index, side):
    pose = np.append(HOME, ARM.config.gripper_open_m)
    lower, upper = measured_range(ARM)
    pose[index] = (upper if side > 0 else lower)[index] - side * 1e-6
    assert implausible(ARM, pose[:-1], float(pose[-1])) == []


def test_the_margins_are_the_files_for_a_joint_and_half_the_stroke_for_the_gripper():
    arm = Arm(dataclasses.replace(ARM.config, measurement_margin_rad=0.05))
    lower, upper = measured_range(arm)
    margin_rad = arm.config.position_margin_rad + 0.05
    np.testing.assert_allclose(lower[:-1], arm.lower_rad - margin_rad)
    np.testing.assert_allclose(upper[:-1], arm.upper_rad + margin_rad)
    assert (lower[-1], upper[-1]) == pytest.approx((0.015 - 0.011, 0.037 + 0.011))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named(value):
    pose = HOME.copy()
    pose[2] = value
    assert implausible(ARM, pose, 0.03)[0].startswith("'elbow' reads")
    assert implausible(ARM, HOME, value)[0].startswith("'left_finger' reads")


@pytest.mark.parametrize("field", ["measurement_margin_rad", "max_following_error_rad"])
@pytest.mark.parametrize("value", [-0.1, 0.0, 4.0])
def test_a_margin_that_is_none_is_refused_by_key(field, value):
    with pytest.raises(ConfigError, match=field):
        dataclasses.replace(ARM.config, **{field: value})


def test_what_is_absurd_is_said_in_a_line_that_can_be_read():
    pose = HOME.copy()
    pose[0] = 1e308
    assert implausible(ARM, pose, 0.03)[0].startswith("'waist' reads +1e+308 rad")
