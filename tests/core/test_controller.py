"""The controller's promises: how far an action leads, from where, and how far ahead of the arm its
target may run.

Positions are PyBullet's; steps, box and gripper are those of the robot's file, read here.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conure_core.control.controller import CartesianController, checked_action, gripper_position_m
from conure_core.errors import UnsafeCommand
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot

from .witness import Witness

WITNESS = Witness("wx250s")
ARM = Arm(load_robot("wx250s"))
HOME = WITNESS.home_rad
STEP_M, TURN_RAD = WITNESS.file["max_translation_m"], WITNESS.file["max_rotation_rad"]
OPEN_M, CLOSED_M = WITNESS.file["gripper_open_m"], WITNESS.file["gripper_closed_m"]
SOLVED_M = 2e-5
"""How near inverse kinematics comes in one step, and PyBullet's rounding."""


def controller_at(joint_rad: np.ndarray, arm: Arm = ARM) -> CartesianController:
    controller = CartesianController(arm)
    controller.reset(joint_rad)
    return controller


def action(index: int, value: float) -> np.ndarray:
    return value * np.eye(7)[index]


def turned_rad(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The rotation vector between two poses, (3,), in the base frame, small enough for its sine."""
    turn = after[:3, :3] @ before[:3, :3].T
    axis = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2
    sine = np.linalg.norm(axis)
    return axis if sine == 0.0 else axis / sine * math.asin(min(1.0, float(sine)))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(
    ("value", "steps"), [(1.0, 1.0), (-1.0, -1.0), (0.5, 0.5), (-7.0, -1.0), (1e9, 1.0)]
)
def test_a_translation_leads_so_many_of_the_largest_steps_along_its_axis_of_the_base(
    axis: int, value: float, steps: float
) -> None:
    target = controller_at(HOME).target(action(axis, value), HOME)
    moved_m = WITNESS.tool_m(target.joint_rad) - WITNESS.tool_m(HOME)
    np.testing.assert_allclose(moved_m, steps * STEP_M * np.eye(3)[axis], atol=SOLVED_M)
    np.testing.assert_allclose(
        turned_rad(ARM.forward(HOME).copy(), ARM.forward(target.joint_rad)), 0.0, atol=1e-4
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("value", "turns"), [(1.0, 1.0), (-0.5, -0.5), (3.0, 1.0)])
def test_a_rotation_turns_about_the_tool_by_so_many_of_the_largest_turns(
    axis: int, value: float, turns: float
) -> None:
    target = controller_at(HOME).target(action(3 + axis, value), HOME)
    np.testing.assert_allclose(
        WITNESS.tool_m(target.joint_rad), WITNESS.tool_m(HOME), atol=SOLVED_M
    )
    turn = turned_rad(ARM.forward(HOME).copy(), ARM.forward(target.joint_rad))
    np.testing.assert_allclose(turn, turns * TURN_RAD * np.eye(3)[axis], atol=2e-4)


def test_the_next_step_starts_at_the_last_target_so_that_droop_does_not_add_up() -> None:
    controller = controller_at(HOME)
    drooping = HOME + np.array([0.0, 0.01, 0.01, 0.0, 0.0, 0.0])
    assert 0.002 < np.linalg.norm(WITNESS.tool_m(drooping) - WITNESS.tool_m(HOME)) < STEP_M
    for _ in range(20):
        target = controller.target(np.zeros(7), drooping)
    np.testing.assert_allclose(WITNESS.tool_m(target.joint_rad), WITNESS.tool_m(HOME), atol=1e-4)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_target_runs_no_further_ahead_of_a_blocked_arm_than_two_largest_steps(
    axis: int, sign: float
) -> None:
    """One that the reference may be ahead, and the step from there."""
    controller = controller_at(HOME)
    for _ in range(15):
        target = controller.target(action(axis, sign), HOME)
    ahead_m = WITNESS.tool_m(target.joint_rad) - WITNESS.tool_m(HOME)
    np.testing.assert_allclose(ahead_m, 2.0 * sign * STEP_M * np.eye(3)[axis], atol=1e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_target_turns_no_further_ahead_of_a_blocked_arm_than_two_largest_turns(
    axis: int, sign: float
) -> None:
    controller = controller_at(HOME)
    for _ in range(15):
        target = controller.target(action(3 + axis, sign), HOME)
    ahead_rad = turned_rad(ARM.forward(HOME).copy(), ARM.forward(target.joint_rad))
    np.testing.assert_allclose(ahead_rad, 2.0 * sign * TURN_RAD * np.eye(3)[axis], atol=0.02)


def test_an_arm_that_follows_its_turns_is_on_no_leash() -> None:
    controller, measured_rad = controller_at(HOME), HOME
    for _ in range(4):
        measured_rad = controller.target(action(5, 1.0), measured_rad).joint_rad
    ahead_rad = turned_rad(ARM.forward(HOME).copy(), ARM.forward(measured_rad))
    np.testing.assert_allclose(ahead_rad, [0.0, 0.0, 4.0 * TURN_RAD], atol=0.02)


def test_a_target_beyond_the_box_is_at_its_wall() -> None:
    box = {"workspace_lower_m": (0.2, -0.03, 0.1), "workspace_upper_m": (0.29, 0.03, 0.2)}
    arm = Arm(replace(ARM.config, **box))  # type: ignore[arg-type]
    for axis, sign in ((0, 1.0), (1, 1.0), (1, -1.0)):
        controller, at = controller_at(HOME, arm), HOME
        for _ in range(10):
            at = controller.target(action(axis, sign), at).joint_rad
        wall_m = box["workspace_upper_m" if sign > 0 else "workspace_lower_m"][axis]
        assert WITNESS.tool_m(at)[axis] == pytest.approx(wall_m, abs=SOLVED_M)


@settings(max_examples=30)
@given(st.floats(-1, 1))
def test_the_grippers_position_is_as_far_between_closed_and_open_as_the_opening_says(
    opening: float,
) -> None:
    share = (1.0 + opening) / 2.0
    expected = pytest.approx(CLOSED_M * (1.0 - share) + OPEN_M * share)
    assert gripper_position_m(opening, ARM.config) == expected
    assert controller_at(HOME).target(action(6, opening), HOME).gripper_m == expected


def test_an_action_is_clipped_to_one_and_may_be_any_list_of_seven_numbers() -> None:
    given_action = [0, 1, -1, 2, -2, 0.25, 1e300]
    checked = checked_action(given_action)  # type: ignore[arg-type]
    assert checked.tolist() == [0.0, 1.0, -1.0, 1.0, -1.0, 0.25, 1.0]
    assert checked.dtype == np.float64


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("index", range(7))
def test_an_action_with_any_number_that_is_not_finite_is_refused(index: int, bad: float) -> None:
    with pytest.raises(UnsafeCommand, match="not finite"):
        checked_action(np.where(np.arange(7) == index, bad, 0.0))


@pytest.mark.parametrize("shape", [(6,), (8,), (1, 7), (7, 1), ()])
def test_an_action_of_another_shape_is_refused_with_the_expected_one(
    shape: tuple[int, ...],
) -> None:
    with pytest.raises(UnsafeCommand, match=r"expected an action of shape \(7,\)"):
        checked_action(np.zeros(shape))


def test_what_an_action_is_refused_for_moves_no_later_target() -> None:
    controller = controller_at(HOME)
    with pytest.raises(UnsafeCommand):
        controller.target(np.full(7, np.nan), HOME)
    np.testing.assert_allclose(controller.target(np.zeros(7), HOME).joint_rad, HOME, atol=1e-9)


def test_the_reference_is_the_controllers_own() -> None:
    start = HOME.copy()
    controller = controller_at(start)
    start += 1.0  # the driver uses its buffer again
    target = controller.target(np.zeros(7), HOME)
    np.testing.assert_allclose(target.joint_rad, HOME, atol=1e-9)
    target.joint_rad[:] += 1.0
    state = controller.get_state()
    assert state is not None
    np.testing.assert_allclose(state, HOME, atol=1e-9)
    state += 1.0
    np.testing.assert_allclose(controller.target(np.zeros(7), HOME).joint_rad, HOME, atol=1e-9)


def test_a_controller_goes_on_from_anothers_state_and_from_none_only_after_a_reset() -> None:
    fresh = CartesianController(ARM)
    assert fresh.get_state() is None
    first = controller_at(HOME)
    first.target(action(0, 1.0), HOME)
    fresh.set_state(first.get_state())
    expected = first.target(action(2, 1.0), HOME).joint_rad
    np.testing.assert_array_equal(fresh.target(action(2, 1.0), HOME).joint_rad, expected)
    fresh.set_state(None)
    with pytest.raises(UnsafeCommand, match="not reset"):
        fresh.target(np.zeros(7), HOME)
