"""What the gate promises of every command, by arithmetic of this file's own and PyBullet's
distances.

Limits are read from the robot's files here; nothing of `conure_core.control.safety` says
what is right.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conure_core.control.controller import JointTarget
from conure_core.control.safety import SafetyGate
from conure_core.errors import StaleInput, UnsafeCommand
from conure_core.robot.arm import Arm

from .gates import (
    CLOSED_M,
    GOALS,
    HOME,
    OPEN_M,
    PERIOD_S,
    ROBOT,
    ROOMY,
    ROUNDING,
    SETTLE_S,
    WAIST,
    WITNESS,
    WRIST,
    at,
    braked,
    commands,
    gate_of,
    slow,
    turned,
)

# What every command keeps, whatever is asked for.


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.03])
@settings(max_examples=25)
@given(goals=GOALS)
def test_position_speed_and_acceleration_stay_within_the_files_limits_and_leave_room_to_brake(
    scale: float, goals: list[tuple[np.ndarray, int]]
) -> None:
    change = scale * WITNESS.acceleration_rad_s2 * PERIOD_S
    last, speed = HOME, np.zeros(6)
    for command in commands(gate_of(**slow(scale)), goals):
        assert np.isfinite(command).all()
        new_speed = (command - last) / SETTLE_S
        assert (np.abs(new_speed) <= WITNESS.speed_rad_s + ROUNDING).all()
        assert (np.abs(new_speed - speed) <= change + ROUNDING).all()
        last, speed = command, new_speed
        ahead, ahead_speed = command, new_speed
        while True:
            assert (ahead >= WITNESS.lower_rad - ROUNDING).all() and (
                ahead <= WITNESS.upper_rad + ROUNDING
            ).all()
            if not ahead_speed.any():
                break
            ahead_speed = braked(ahead_speed, change)
            ahead = ahead + ahead_speed * SETTLE_S


# What a command is, exactly, where only the joints' own limits matter: two joints that lead the arm
# into nothing.


def braking_way_rad(speed: float, change: float) -> float:
    """u + (u - c) + (u - 2c) + ..., a period each."""
    way_rad = 0.0
    while speed > 0.0:
        way_rad += speed * SETTLE_S
        speed -= change
    return way_rad


def fastest_that_can_brake(fastest: float, room_rad: float, change: float) -> float:
    """The largest speed up to `fastest` whose braking way fits in the room, by bisection."""
    if braking_way_rad(fastest, change) <= room_rad:
        return fastest
    low, high = 0.0, fastest
    while high - low > 1e-9:
        speed = (low + high) / 2
        low, high = (speed, high) if braking_way_rad(speed, change) <= room_rad else (low, speed)
    return low


def nearest_rad(joint: int, goal_rad: float, last_rad: float, speed: float, scale: float) -> float:
    """The angle nearest to the goal that a joint may be told, by its limits alone; `speed` is that
    of the last one.
    """
    change, limit = (
        scale * WITNESS.acceleration_rad_s2[joint] * PERIOD_S,
        WITNESS.speed_rad_s[joint],
    )
    lower, upper = WITNESS.lower_rad[joint], WITNESS.upper_rad[joint]
    wanted = (min(max(goal_rad, lower), upper) - last_rad) / SETTLE_S
    fastest = fastest_that_can_brake(min(limit, speed + change), upper - last_rad, change)
    slowest = -fastest_that_can_brake(min(limit, change - speed), last_rad - lower, change)
    return last_rad + min(max(wanted, slowest), fastest) * SETTLE_S


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.03])
@settings(max_examples=40)
@given(
    goals=st.lists(
        st.tuples(st.floats(-4, 4), st.floats(-4, 4), st.integers(1, 15)), min_size=1, max_size=6
    )
)
def test_each_joint_is_as_near_to_its_target_as_its_limits_allow(
    scale: float, goals: list[tuple[float, float, int]]
) -> None:
    gate, last, speed = gate_of(**ROOMY, **slow(scale)), HOME, np.zeros(6)
    for waist_rad, wrist_rad, periods in goals:
        goal = turned(WAIST, waist_rad)
        goal[WRIST] = wrist_rad
        for _ in range(periods):
            command = gate.check(at(goal), age_s=0.0).joint_rad
            for joint in (WAIST, WRIST):
                nearest = nearest_rad(joint, goal[joint], last[joint], speed[joint], scale)
                assert command[joint] == pytest.approx(nearest, abs=1e-7)
            speed, last = (command - last) / SETTLE_S, command


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_from_wherever_a_joint_starts_it_brakes_into_its_limit_as_late_as_it_may(
    direction: float,
) -> None:
    """Where one more or one less period of braking is needed, a wrong count is a little too fast,
    or too slow.
    """
    scale = 0.1
    gate = gate_of(**ROOMY, **slow(scale))
    limit = WITNESS.upper_rad[WRIST] if direction > 0 else WITNESS.lower_rad[WRIST]
    for room_rad in np.linspace(0.001, 0.6, 100):
        last, speed = float(limit - direction * room_rad), 0.0
        gate.reset(turned(WRIST, last), OPEN_M)
        while abs(limit - last) > 1e-6:
            command = float(gate.check(at(turned(WRIST, direction * 4.0)), 0.0).joint_rad[WRIST])
            assert command == pytest.approx(
                nearest_rad(WRIST, direction * 4.0, last, speed, scale), abs=1e-7
            )
            speed, last = (command - last) / SETTLE_S, command


def test_a_target_within_all_limits_is_the_command_and_nothing_is_reported() -> None:
    gate = gate_of(**ROOMY)
    target = HOME + np.array([0.05, -0.02, 0.03, 0.04, -0.05, 0.06])
    command = gate.check(at(target, OPEN_M - 0.001), age_s=0.0)
    np.testing.assert_allclose(command.joint_rad, target, atol=ROUNDING)
    assert command.gripper_m == pytest.approx(OPEN_M - 0.001)
    assert command.changes == ()
    assert command.duration_s == pytest.approx(SETTLE_S)
    np.testing.assert_array_equal(command.requested_rad, target)


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_every_limit_that_shortened_a_command_is_named_with_its_joint_and_no_other(
    direction: float,
) -> None:
    within_speed = direction * WITNESS.speed_rad_s[WAIST] * SETTLE_S
    assert gate_of(**ROOMY).check(at(turned(WAIST, within_speed)), 0.0).changes == ()
    assert gate_of(**ROOMY).check(at(turned(WAIST, 1.1 * within_speed)), 0.0).changes == (
        "speed waist",
    )
    gate = gate_of(**ROOMY, **slow(0.1))
    within_change = direction * 0.1 * WITNESS.acceleration_rad_s2[WAIST] * PERIOD_S * SETTLE_S
    assert gate.check(at(turned(WAIST, within_change)), 0.0).changes == ()
    gate.reset(HOME, OPEN_M)
    assert gate.check(at(turned(WAIST, 1.1 * within_change)), 0.0).changes == (
        "acceleration waist",
    )


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_a_joint_goes_to_its_limit_no_further_and_says_what_stops_it(direction: float) -> None:
    gate, said = gate_of(**ROOMY, **slow(0.1)), set()
    beyond = direction * 4.0
    for _ in range(60):
        command = gate.check(at(turned(WRIST, beyond)), 0.0)
        said |= set(command.changes)
    limit = WITNESS.upper_rad[WRIST] if direction > 0 else WITNESS.lower_rad[WRIST]
    assert command.joint_rad[WRIST] == pytest.approx(limit, abs=1e-6)
    assert said == {
        f"{what} wrist_rotate"
        for what in ("joint position", "speed", "acceleration", "braking room")
    }


# What is refused.


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("joint", range(6))
def test_a_target_with_a_joint_that_is_not_finite_is_refused_and_the_next_good_one_is_taken(
    joint: int, bad: float
) -> None:
    gate = gate_of()
    with pytest.raises(UnsafeCommand, match="not finite"):
        gate.check(at(turned(joint, bad)), 0.0)
    np.testing.assert_array_equal(gate.check(at(HOME), 0.0).joint_rad, HOME)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gripper_that_is_not_finite_is_refused_and_so_is_such_a_measured_pose(bad: float) -> None:
    with pytest.raises(UnsafeCommand, match="not finite"):
        gate_of().check(at(HOME, bad), 0.0)
    with pytest.raises(UnsafeCommand, match="not finite"):
        gate_of().reset(HOME, bad)
    with pytest.raises(UnsafeCommand, match="not finite"):
        gate_of().reset(turned(3, bad), OPEN_M)


@pytest.mark.parametrize("shape", [(5,), (7,), (6, 1), (1, 6), ()])
def test_a_target_for_another_number_of_joints_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsafeCommand, match=r"\(6,\)"):
        gate_of().check(JointTarget(np.zeros(shape), OPEN_M), 0.0)


def test_ages_are_taken_from_one_period_ahead_to_the_limit_both_included() -> None:
    oldest = WITNESS.file["max_input_age_s"]
    for age_s in (-PERIOD_S, 0.0, oldest):
        gate_of().check(at(HOME), age_s)
    for age_s in (math.nextafter(oldest, 1.0), math.inf, math.nan):
        with pytest.raises(StaleInput, match="s old"):
            gate_of().check(at(HOME), age_s)
    for age_s in (math.nextafter(-PERIOD_S, -1.0), -math.inf):
        with pytest.raises(StaleInput, match=r"0\.100 s in the future|inf s in the future"):
            gate_of().check(at(HOME), age_s)


def test_nothing_is_held_or_moved_before_the_measured_pose_is_known() -> None:
    gate = SafetyGate(Arm(ROBOT))
    with pytest.raises(UnsafeCommand, match="not reset"):
        gate.hold()
    with pytest.raises(UnsafeCommand, match="not reset"):
        gate.check(at(HOME), 0.0)


# Holding, and going on.


def in_motion(gate: SafetyGate) -> np.ndarray:
    """The last command of some that turn the waist."""
    for _ in range(5):
        command = gate.check(at(turned(WAIST, 2.0)), 0.0)
    return command.joint_rad


def test_a_hold_is_the_last_command_again_and_the_arm_starts_from_rest_after_it() -> None:
    scale = 0.1
    change = scale * WITNESS.acceleration_rad_s2[WAIST] * PERIOD_S
    gate = gate_of(**ROOMY, **slow(scale))
    last = in_motion(gate)
    held = gate.hold()
    np.testing.assert_array_equal(held.joint_rad, last)
    assert (held.gripper_m, held.changes, held.requested_rad) == (OPEN_M, ("hold",), None)
    on = gate.check(at(turned(WAIST, 2.0)), 0.0).joint_rad
    assert on[WAIST] - last[WAIST] == pytest.approx(change * SETTLE_S)


def test_after_a_reset_the_arm_starts_from_rest_where_it_was_measured() -> None:
    scale = 0.1
    gate = gate_of(**ROOMY, **slow(scale))
    in_motion(gate)
    measured = turned(WAIST, -0.3)
    start = gate.reset(measured, 0.02)
    np.testing.assert_array_equal(start.joint_rad, measured)
    assert (start.gripper_m, start.changes) == (0.02, ())
    measured += 1.0  # the driver uses its buffer again
    np.testing.assert_array_equal(gate.hold().joint_rad, turned(WAIST, -0.3))
    on = gate.check(at(turned(WAIST, 2.0), 0.02), 0.0).joint_rad
    assert on[WAIST] + 0.3 == pytest.approx(
        scale * WITNESS.acceleration_rad_s2[WAIST] * PERIOD_S * SETTLE_S
    )


def test_a_gate_goes_on_from_anothers_state_with_the_same_commands() -> None:
    first = gate_of(**ROOMY, **slow(0.1))
    second = SafetyGate(first.arm)
    in_motion(first)
    state = first.get_state()
    goals = [turned(WAIST, angle) for angle in (2.0, -2.0, 0.5)]
    expected = [first.check(at(goal), 0.0).joint_rad for goal in goals]
    second.set_state(state)
    for goal, command in zip(goals, expected, strict=True):
        np.testing.assert_array_equal(second.check(at(goal), 0.0).joint_rad, command)
    second.set_state(SafetyGate(first.arm).get_state())
    with pytest.raises(UnsafeCommand, match="not reset"):
        second.hold()


# The gripper.


@pytest.mark.parametrize(("closed_m", "open_m"), [(0.015, 0.037), (0.037, 0.015)])
def test_the_gripper_keeps_to_its_stroke_and_moves_no_faster_than_its_speed(
    closed_m: float, open_m: float
) -> None:
    gate = gate_of(gripper_closed_m=closed_m, gripper_open_m=open_m, gripper_speed_m_s=0.05)
    gate.reset(HOME, 0.026)
    step_m, lower, upper = 0.05 * PERIOD_S, 0.015, 0.037
    for target_m, end_m in ((1.0, upper), (-1.0, lower)):
        last_m = gate.hold().gripper_m
        for _ in range(8):
            command = gate.check(at(HOME, target_m), 0.0)
            way_m = min(abs(end_m - last_m), step_m)
            assert command.gripper_m == pytest.approx(last_m + math.copysign(way_m, target_m))
            last_m = command.gripper_m
        assert last_m == pytest.approx(end_m)


@pytest.mark.parametrize(("closed_m", "open_m"), [(0.015, 0.037), (0.037, 0.015)])
@settings(max_examples=60)
@given(
    measured_m=st.floats(0.010, 0.042),
    target_m=st.floats(0.0, 0.05),
    squeeze_m=st.floats(0.001, 0.02),
)
def test_the_gripper_is_told_to_close_no_further_than_the_squeeze_beyond_where_it_is(
    closed_m: float, open_m: float, measured_m: float, target_m: float, squeeze_m: float
) -> None:
    gate = gate_of(
        gripper_closed_m=closed_m,
        gripper_open_m=open_m,
        gripper_squeeze_m=squeeze_m,
        gripper_speed_m_s=0.9,
    )
    command = gate.check(at(HOME, target_m), 0.0, measured_gripper_m=measured_m)
    asked_m = min(max(target_m, 0.015), 0.037)
    if closed_m < open_m:
        furthest_m = min(max(measured_m - squeeze_m, 0.015), 0.037)
        expected_m = max(asked_m, furthest_m)
    else:
        furthest_m = min(max(measured_m + squeeze_m, 0.015), 0.037)
        expected_m = min(asked_m, furthest_m)
    assert command.gripper_m == pytest.approx(expected_m)
    if abs(expected_m - asked_m) > 1e-12:
        assert command.changes == ("gripper force",)


def test_without_a_squeeze_or_a_measurement_the_gripper_closes_all_the_way() -> None:
    fast = {"gripper_speed_m_s": 0.9}
    without = gate_of(gripper_squeeze_m=0.0, **fast).check(
        at(HOME, CLOSED_M), 0.0, measured_gripper_m=OPEN_M
    )
    blind = gate_of(gripper_squeeze_m=0.002, **fast).check(at(HOME, CLOSED_M), 0.0)
    for command in (without, blind):
        assert (command.gripper_m, command.changes) == (pytest.approx(CLOSED_M), ())


def test_a_squeeze_that_just_suffices_changes_and_reports_nothing() -> None:
    gate = gate_of(gripper_squeeze_m=0.002, gripper_speed_m_s=0.9)
    command = gate.check(at(HOME, 0.030 - 0.002), 0.0, measured_gripper_m=0.030)
    assert (command.gripper_m, command.changes) == (pytest.approx(0.028), ())
