"""Many transforms at once are those that Pinocchio computes one by one."""

import numpy as np
import pinocchio as pin
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_calibration.poses import (
    Chain,
    adjoint,
    difference,
    inverse,
    pose,
    rotation,
    rotation_vector,
)
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot

VECTORS = st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3).map(np.array)


@pytest.mark.parametrize("name", ["wx250s", "panda", "ur5e", "so101"])
def test_a_chain_stands_where_the_arm_stands(name):
    arm = Arm(load_robot(name))
    angles = np.random.default_rng(0).uniform(arm.lower_rad, arm.upper_rad, (5, len(arm.lower_rad)))
    expected = [arm.forward(joint_rad) for joint_rad in angles]
    np.testing.assert_allclose(Chain.of(arm).forward(angles), expected, atol=1e-12)


def test_gauge_joints_are_motions_of_base_and_tool():
    arm = Arm(load_robot("wx250s"))
    chain = Chain.of(arm)
    angles = np.array(arm.config.home_rad)
    first, last = np.eye(6)[0] * 0.1, np.eye(6)[5] * 0.1
    np.testing.assert_allclose(
        chain.forward(angles + first), chain.turns(0, 0.1) @ chain.forward(angles), atol=1e-12
    )
    np.testing.assert_allclose(
        chain.forward(angles + last), chain.forward(angles) @ chain.tool_turns(0.1), atol=1e-12
    )


@given(VECTORS)
def test_rotations_are_pinocchios(vector):
    matrix = rotation(vector)
    np.testing.assert_allclose(matrix, pin.exp3(vector), atol=1e-9)
    back = rotation_vector(matrix)
    np.testing.assert_allclose(rotation(back), matrix, atol=1e-7)


@pytest.mark.parametrize("axis", [[1, 0, 0], [0, -1, 0], [0.6, 0.0, 0.8]])
def test_half_a_turn_has_its_vector(axis):
    matrix = rotation(np.pi * np.array(axis, dtype=float))
    found = rotation_vector(matrix)
    assert np.linalg.norm(found) == pytest.approx(np.pi)
    np.testing.assert_allclose(rotation(found), matrix, atol=1e-9)


@given(VECTORS, VECTORS)
def test_a_difference_leads_from_one_pose_to_the_other(first, second):
    a, b = pose(np.concatenate([first, second])), pose(np.concatenate([second, first]))
    np.testing.assert_allclose(a @ pose(difference(a, b)), b, atol=1e-7)
    np.testing.assert_allclose(a @ inverse(a), np.eye(4), atol=1e-12)


def test_the_adjoint_carries_small_motions():
    a_from_b = pose(np.array([0.3, -0.2, 0.5, 0.4, 0.1, -0.7]))
    twist = 1e-6 * np.array([1.0, 2.0, -1.0, 0.5, -1.0, 2.0])
    moved = a_from_b @ pose(twist) @ inverse(a_from_b)
    np.testing.assert_allclose(difference(np.eye(4), moved), adjoint(a_from_b) @ twist, atol=1e-11)
