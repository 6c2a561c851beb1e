"""Controller and safety gate: what they promise for any action and any target."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from conure_core.control.controller import CartesianController, JointTarget
from conure_core.control.loop import ControlLoop, executed_action
from conure_core.control.safety import SafetyGate
from conure_core.errors import StaleInput, UnsafeCommand
from conure_core.robot.arm import Arm, pose_error
from conure_core.robot.description import load_robot

ROBOT = load_robot("wx250s")
ARM = Arm(ROBOT)
HOME = np.array(ROBOT.home_rad)
targets = hnp.arrays(np.float64, 6, elements=st.floats(-20, 20))
actions = hnp.arrays(np.float64, 7, elements=st.floats(-3, 3))


def test_an_action_moves_the_tool_by_its_fraction_of_the_largest_step() -> None:
    controller = CartesianController(ARM)
    controller.reset(HOME)
    target = controller.target(np.array([0.5, -0.25, 0.1, 0, 0, 0.3, 1.0]), HOME)
    moved_by = pose_error(ARM.forward(HOME).copy(), ARM.forward(target.joint_rad))
    np.testing.assert_allclose(
        moved_by[:3], np.array([0.5, -0.25, 0.1]) * ROBOT.max_translation_m, atol=1e-5
    )
    np.testing.assert_allclose(moved_by[3:], [0, 0, 0.3 * ROBOT.max_rotation_rad], atol=1e-4)
    assert target.gripper_m == ROBOT.gripper_open_m


def test_the_target_cannot_run_away_from_an_arm_that_is_blocked() -> None:
    controller = CartesianController(ARM)
    controller.reset(HOME)
    for _ in range(30):
        target = controller.target(np.array([1.0, 0, 0, 0, 0, 0, 0]), HOME)
    ahead = np.linalg.norm(ARM.forward(target.joint_rad)[:3, 3] - ARM.forward(HOME)[:3, 3])
    assert ahead < 2.1 * ROBOT.max_translation_m


def test_after_a_joint_target_an_action_goes_on_from_where_that_led() -> None:
    loop, away = ControlLoop(ARM), HOME + [0.3, 0.0, 0.0, 0.0, 0.0, 0.0]
    loop.reset(HOME, ROBOT.gripper_open_m)
    for _ in range(20):
        there = loop.step_joints(JointTarget(away, ROBOT.gripper_open_m), 0.0).joint_rad
    still = loop.step(np.zeros(7), there, 0.0).joint_rad
    np.testing.assert_allclose(there, away, atol=1e-6)
    np.testing.assert_allclose(still, away, atol=1e-3)


@pytest.mark.parametrize(
    "bad", [np.zeros(6), np.zeros((1, 7)), np.full(7, np.nan), np.append(np.zeros(6), np.inf)]
)
def test_an_action_of_another_shape_or_not_finite_is_refused(bad: np.ndarray) -> None:
    loop = ControlLoop(ARM)
    before = loop.reset(HOME, 0.03)
    with pytest.raises(UnsafeCommand):
        loop.step(bad, HOME)
    np.testing.assert_array_equal(loop.hold().joint_rad, before.joint_rad)


def test_nothing_moves_before_the_measured_pose_is_known() -> None:
    with pytest.raises(UnsafeCommand, match="reset"):
        ControlLoop(ARM).step(np.zeros(7), HOME)
    with pytest.raises(UnsafeCommand, match="reset"):
        SafetyGate(ARM).check(JointTarget(HOME, 0.03), 0.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(targets, st.floats(-1, 1)), min_size=1, max_size=8))
def test_gate_never_exceeds_position_speed_or_workspace(
    sequence: list[tuple[np.ndarray, float]],
) -> None:
    gate = SafetyGate(ARM)
    last = gate.reset(HOME, 0.03)
    for joint_rad, gripper_m in sequence:
        command = gate.check(JointTarget(joint_rad, gripper_m), age_s=0.0)
        assert (command.joint_rad >= ARM.lower_rad - 1e-9).all()
        assert (command.joint_rad <= ARM.upper_rad + 1e-9).all()
        speed = np.abs(command.joint_rad - last.joint_rad) / ROBOT.settle_s
        assert (speed <= np.array(ROBOT.max_speed_rad_s) + 1e-6).all()
        position = ARM.forward(command.joint_rad)[:3, 3]
        assert (position >= np.array(ROBOT.workspace_lower_m) - 2e-3).all()
        assert (position <= np.array(ROBOT.workspace_upper_m) + 2e-3).all()
        assert ARM.first_collision(command.joint_rad) is None
        assert ROBOT.gripper_closed_m <= command.gripper_m <= ROBOT.gripper_open_m
        last = command


@pytest.mark.parametrize("arm", [ARM, Arm(load_robot("panda"))], ids=lambda arm: arm.config.name)
@settings(max_examples=60, deadline=None)
@given(sequence=st.lists(actions, min_size=1, max_size=10))
def test_any_actions_give_finite_commands_within_limits(
    arm: Arm, sequence: list[np.ndarray]
) -> None:
    loop = ControlLoop(arm)
    measured = loop.reset(np.array(arm.config.home_rad), 0.03).joint_rad
    for action in sequence:
        command = loop.step(action, measured)
        assert command.joint_rad.shape == measured.shape
        measured = command.joint_rad
        assert np.isfinite(measured).all()
        assert (measured >= arm.lower_rad - 1e-9).all()
        assert (measured <= arm.upper_rad + 1e-9).all()
        assert arm.first_collision(measured) is None


def test_what_the_gate_changed_is_reported() -> None:
    gate = SafetyGate(ARM)
    gate.reset(HOME, 0.03)
    far = gate.check(JointTarget(HOME + 1.0, 0.03), age_s=0.0)
    assert any(change.startswith("speed waist") for change in far.changes)
    gate.reset(HOME, 0.03)
    assert gate.check(JointTarget(HOME, 0.03), age_s=0.0).changes == ()


@pytest.mark.parametrize("age_s", [0.3, 5.0, -1.0, float("nan")])
def test_a_target_from_an_old_or_future_observation_is_refused(age_s: float) -> None:
    gate = SafetyGate(ARM)
    gate.reset(HOME, 0.03)
    with pytest.raises(StaleInput):
        gate.check(JointTarget(HOME, 0.03), age_s)


def test_the_executed_action_is_the_one_given_when_nothing_was_clamped() -> None:
    loop = ControlLoop(ARM)
    loop.reset(HOME, ROBOT.gripper_open_m)
    action = np.array([0.4, 0.3, -0.2, 0.1, 0.0, -0.3, 1.0])
    command = loop.step(action, HOME)
    np.testing.assert_allclose(loop.executed_action(HOME, command), action, atol=1e-3)


@pytest.mark.parametrize(
    "action",
    [
        [1.0, 0, 0, 0, 0, 0, 1.0],
        [0, -1.0, 0, 0, 0, 0, -1.0],
        [0, 0, 0.7, 0, 0, 0, 0.0],
        [0, 0, 0, 1.0, 0, 0, 0.5],
        [0, 0, 0, 0, -0.5, 0, -0.5],
        [0, 0, 0, 0, 0, 0.8, 0.25],
    ],
)
def test_the_executed_action_inverts_each_number_of_an_action(action: list[float]) -> None:
    controller = CartesianController(ARM)
    controller.reset(HOME)
    target = controller.target(np.array(action), HOME)
    found = executed_action(ARM, HOME, target.joint_rad, target.gripper_m)
    np.testing.assert_allclose(found, action, atol=2e-3)


def test_after_a_command_that_safety_changed_the_next_step_starts_at_that_command() -> None:
    loop = ControlLoop(Arm(replace(ROBOT, max_speed_rad_s=(0.1,) * 6)))
    loop.reset(HOME, 0.03)
    for _ in range(4):
        command = loop.step(np.array([1.0, 0, 0, 0, 0, 0, 0]), HOME)
        assert command.changes
        np.testing.assert_array_equal(loop.get_state()[0], command.joint_rad)


def test_after_a_command_that_safety_left_alone_the_next_step_starts_at_the_target() -> None:
    """Droop and the gate's rounding do not add up."""
    loop, controller = ControlLoop(ARM), CartesianController(ARM)
    loop.reset(HOME, ROBOT.gripper_open_m)
    controller.reset(HOME)
    action = np.array([0.1, 0, 0, 0, 0, 0, 1.0])
    for _ in range(3):
        assert not loop.step(action, HOME).changes
        target = controller.target(action, HOME)
        np.testing.assert_array_equal(loop.get_state()[0], target.joint_rad)


def test_a_hold_forgets_how_far_ahead_the_target_was() -> None:
    loop = ControlLoop(ARM)
    loop.reset(HOME, 0.03)
    held = loop.step(np.array([0.5, 0, 0, 0, 0, 0, 0]), HOME).joint_rad
    loop.controller.reset(HOME + 0.1)
    np.testing.assert_array_equal(loop.hold().joint_rad, held)
    np.testing.assert_array_equal(loop.get_state()[0], held)


def test_a_reset_anchors_controller_and_gate_where_the_arm_is() -> None:
    loop, elsewhere = ControlLoop(ARM), HOME + [0.3, 0.05, -0.05, 0.1, 0.1, 0.2]
    loop.reset(HOME, 0.03)
    loop.step(np.array([1.0, 0, 0, 0, 0, 0, 0]), HOME)
    command = loop.reset(elsewhere, 0.02)
    np.testing.assert_array_equal(command.joint_rad, elsewhere)
    assert command.gripper_m == 0.02
    np.testing.assert_allclose(
        loop.step(np.array([0, 0, 0, 0, 0, 0, -1.0]), elsewhere).joint_rad, elsewhere, atol=1e-5
    )


def test_a_loop_goes_on_from_anothers_state_with_the_same_commands() -> None:
    first, second = ControlLoop(ARM), ControlLoop(ARM)
    first.reset(HOME, 0.03)
    action = np.array([1.0, -0.5, 0, 0, 0.5, 0, -1.0])
    first.step(action, HOME)
    second.reset(HOME + 0.1, 0.02)
    second.set_state(first.get_state())
    np.testing.assert_array_equal(
        second.step(action, HOME).joint_rad, first.step(action, HOME).joint_rad
    )
    assert second.hold().gripper_m == first.hold().gripper_m


def test_age_and_measured_gripper_reach_the_gate() -> None:
    loop = ControlLoop(Arm(replace(ROBOT, gripper_squeeze_m=0.002)))
    loop.reset(HOME, 0.030)
    closing = np.array([0, 0, 0, 0, 0, 0, -1.0])
    with pytest.raises(StaleInput):
        loop.step(closing, HOME, age_s=1.0)
    command = loop.step(closing, HOME, age_s=0.0, measured_gripper_m=0.030)
    assert command.gripper_m == pytest.approx(0.028)
    assert loop.step(closing, HOME).gripper_m == pytest.approx(ROBOT.gripper_closed_m), (
        "not measured: no squeeze known"
    )


def way_outside_m(step, goals: np.ndarray) -> float:
    """How far the tool leaves the box between two commands on the straight way of the joints, m."""
    before, farthest_m = HOME, 0.0
    for goal in goals:
        after = step(JointTarget(goal, ROBOT.gripper_open_m)).joint_rad
        for share in np.linspace(0.0, 1.0, 9)[1:-1]:
            tool = ARM.forward(before + share * (after - before))[:3, 3]
            lower, upper = ARM.workspace_m
            farthest_m = max(farthest_m, float(np.maximum(lower - tool, tool - upper).max()))
        before = after
    return farthest_m


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_the_way_to_a_joint_target_keeps_the_box_however_long_it_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    goals = np.repeat(HOME + rng.uniform(-1.5, 1.5, (8, 6)), 4, axis=0)
    loop = ControlLoop(ARM)
    loop.reset(HOME, ROBOT.gripper_open_m)
    assert way_outside_m(lambda target: loop.step_joints(target, 0.0), goals) < 0.002


def test_between_commands_that_keep_the_box_a_long_way_leaves_it_if_it_is_not_judged() -> None:
    farthest_m = 0.0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        goals = np.repeat(HOME + rng.uniform(-1.5, 1.5, (8, 6)), 4, axis=0)
        gate = SafetyGate(ARM)
        gate.reset(HOME, ROBOT.gripper_open_m)
        farthest_m = max(farthest_m, way_outside_m(lambda t, g=gate: g.check(t, 0.0), goals))
    assert farthest_m > 0.003, "so the test before can fail"


def test_a_joint_target_squeezes_no_harder_than_an_action() -> None:
    robot = replace(ROBOT, gripper_squeeze_m=0.002)
    loop = ControlLoop(Arm(robot))
    loop.reset(HOME, 0.03)
    for _ in range(20):
        command = loop.step_joints(JointTarget(HOME, robot.gripper_closed_m), 0.0, 0.03)
    assert command.gripper_m == pytest.approx(0.028) and "gripper force" in command.changes
