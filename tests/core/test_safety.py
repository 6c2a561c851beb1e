"""What the gate promises of every command, by arithmetic of this file's own and PyBullet's distances.

Limits are read from the robot's files here; nothing of `conure_core.safety` says what is right.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from conure_core.arm import Arm
from conure_core.controller import JointTarget
from conure_core.errors import StaleInput, UnsafeCommand
from conure_core.robot import load_robot
from conure_core.safety import SafetyGate

from .witness import Witness

WITNESS = Witness("wx250s")
ROBOT = load_robot("wx250s")
HOME, SETTLE_S, PERIOD_S = WITNESS.home_rad, WITNESS.settle_s, WITNESS.period_s
OPEN_M, CLOSED_M = WITNESS.file["gripper_open_m"], WITNESS.file["gripper_closed_m"]
ROOMY = {"workspace_lower_m": (-2.0, -2.0, -2.0), "workspace_upper_m": (2.0, 2.0, 2.0), "slow_singular_value": 0.0}
ROUNDING = 1e-9
BULLET_M = 1e-3
"""How well PyBullet's distances and ours agree."""
WAIST, WRIST = 0, 5  # Neither brings the arm nearer to itself or the table, wherever it turns.


def gate_of(**changed: object) -> SafetyGate:
    gate = SafetyGate(Arm(replace(ROBOT, **changed)))  # type: ignore[arg-type]
    gate.reset(HOME, OPEN_M)
    return gate


def slow(scale: float) -> dict[str, object]:
    """Weaker joints: at a tenth of the acceleration they need several periods to brake."""
    return {"max_acceleration_rad_s2": tuple(float(scale * limit) for limit in WITNESS.acceleration_rad_s2)}


def at(joint_rad: np.ndarray, gripper_m: float = OPEN_M) -> JointTarget:
    return JointTarget(np.array(joint_rad, dtype=float), gripper_m)


def turned(joint: int, angle_rad: float) -> np.ndarray:
    """Home, but for one joint."""
    pose = HOME.copy()
    pose[joint] = angle_rad
    return pose


# What every command keeps, whatever is asked for.

GOALS = st.lists(
    st.tuples(hnp.arrays(np.float64, 6, elements=st.floats(-4, 4)), st.integers(1, 12)), min_size=1, max_size=5
)
"""Each is asked for during several periods, so that the arm gets up speed towards whatever lies in the way."""


def commands(gate: SafetyGate, goals: list[tuple[np.ndarray, int]]) -> Iterator[np.ndarray]:
    for goal, periods in goals:
        for _ in range(periods):
            yield gate.check(at(goal), age_s=0.0).joint_rad


def braked(speed: np.ndarray, change: np.ndarray) -> np.ndarray:
    """One period later."""
    return np.sign(speed) * np.maximum(np.abs(speed) - change, 0.0)


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
            assert (ahead >= WITNESS.lower_rad - ROUNDING).all() and (ahead <= WITNESS.upper_rad + ROUNDING).all()
            if not ahead_speed.any():
                break
            ahead_speed = braked(ahead_speed, change)
            ahead = ahead + ahead_speed * SETTLE_S


@pytest.mark.parametrize("scale", [1.0, 0.1])
@settings(max_examples=12)
@given(goals=GOALS)
def test_the_tool_stays_in_the_box_and_the_arm_off_the_table_and_itself_even_while_it_brakes(
    scale: float, goals: list[tuple[np.ndarray, int]]
) -> None:
    clearances = {"table_clearance_m": 0.03, "self_collision_margin_m": 0.02}
    lower, upper = np.array([0.10, -0.25, 0.0]), np.array([0.45, 0.25, 0.40])
    box = {"workspace_lower_m": tuple(map(float, lower)), "workspace_upper_m": tuple(map(float, upper))}
    change = scale * WITNESS.acceleration_rad_s2 * PERIOD_S
    last = HOME
    for command in commands(gate_of(**slow(scale), **clearances, **box), goals):
        speed, last, ahead = (command - last) / SETTLE_S, command, command
        while True:
            tool_m = WITNESS.tool_m(ahead)
            assert (tool_m >= lower - 1.1e-3).all() and (tool_m <= upper + 1.1e-3).all()
            assert WITNESS.lowest_m(ahead) >= 0.03 - BULLET_M
            assert WITNESS.self_distance_m(ahead) >= 0.02 - BULLET_M
            if not speed.any():
                break
            speed = braked(speed, change)
            ahead = ahead + speed * SETTLE_S


# What a command is, exactly, where only the joints' own limits matter: two joints that lead the arm into nothing.


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
    """The angle nearest to the goal that a joint may be told, by its limits alone; `speed` is that of the last one."""
    change, limit = scale * WITNESS.acceleration_rad_s2[joint] * PERIOD_S, WITNESS.speed_rad_s[joint]
    lower, upper = WITNESS.lower_rad[joint], WITNESS.upper_rad[joint]
    wanted = (min(max(goal_rad, lower), upper) - last_rad) / SETTLE_S
    fastest = fastest_that_can_brake(min(limit, speed + change), upper - last_rad, change)
    slowest = -fastest_that_can_brake(min(limit, change - speed), last_rad - lower, change)
    return last_rad + min(max(wanted, slowest), fastest) * SETTLE_S


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.03])
@settings(max_examples=40)
@given(goals=st.lists(st.tuples(st.floats(-4, 4), st.floats(-4, 4), st.integers(1, 15)), min_size=1, max_size=6))
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
def test_from_wherever_a_joint_starts_it_brakes_into_its_limit_as_late_as_it_may(direction: float) -> None:
    """Where one more or one less period of braking is needed, a wrong count is a little too fast, or too slow."""
    scale = 0.1
    gate = gate_of(**ROOMY, **slow(scale))
    limit = WITNESS.upper_rad[WRIST] if direction > 0 else WITNESS.lower_rad[WRIST]
    for room_rad in np.linspace(0.001, 0.6, 100):
        last, speed = float(limit - direction * room_rad), 0.0
        gate.reset(turned(WRIST, last), OPEN_M)
        while abs(limit - last) > 1e-6:
            command = float(gate.check(at(turned(WRIST, direction * 4.0)), 0.0).joint_rad[WRIST])
            assert command == pytest.approx(nearest_rad(WRIST, direction * 4.0, last, speed, scale), abs=1e-7)
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
def test_every_limit_that_shortened_a_command_is_named_with_its_joint_and_no_other(direction: float) -> None:
    within_speed = direction * WITNESS.speed_rad_s[WAIST] * SETTLE_S
    assert gate_of(**ROOMY).check(at(turned(WAIST, within_speed)), 0.0).changes == ()
    assert gate_of(**ROOMY).check(at(turned(WAIST, 1.1 * within_speed)), 0.0).changes == ("speed waist",)
    gate = gate_of(**ROOMY, **slow(0.1))
    within_change = direction * 0.1 * WITNESS.acceleration_rad_s2[WAIST] * PERIOD_S * SETTLE_S
    assert gate.check(at(turned(WAIST, within_change)), 0.0).changes == ()
    gate.reset(HOME, OPEN_M)
    assert gate.check(at(turned(WAIST, 1.1 * within_change)), 0.0).changes == ("acceleration waist",)


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_a_joint_goes_to_its_limit_no_further_and_says_what_stops_it(direction: float) -> None:
    gate, said = gate_of(**ROOMY, **slow(0.1)), set()
    beyond = direction * 4.0
    for _ in range(60):
        command = gate.check(at(turned(WRIST, beyond)), 0.0)
        said |= set(command.changes)
    limit = WITNESS.upper_rad[WRIST] if direction > 0 else WITNESS.lower_rad[WRIST]
    assert command.joint_rad[WRIST] == pytest.approx(limit, abs=1e-6)
    assert said == {f"{what} wrist_rotate" for what in ("joint position", "speed", "acceleration", "braking room")}


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
    for age_s in (math.nextafter(-PERIOD_S, -1.0), math.nextafter(oldest, 1.0), math.inf, -math.inf, math.nan):
        with pytest.raises(StaleInput, match="s old"):
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
    assert on[WAIST] + 0.3 == pytest.approx(scale * WITNESS.acceleration_rad_s2[WAIST] * PERIOD_S * SETTLE_S)


def test_a_gate_goes_on_from_anothers_state_with_the_same_commands() -> None:
    first, second = gate_of(**ROOMY, **slow(0.1)), gate_of(**ROOMY, **slow(0.1))
    in_motion(first)
    state = first.get_state()
    goals = [turned(WAIST, angle) for angle in (2.0, -2.0, 0.5)]
    expected = [first.check(at(goal), 0.0).joint_rad for goal in goals]
    second.set_state(state)
    for goal, command in zip(goals, expected, strict=True):
        np.testing.assert_array_equal(second.check(at(goal), 0.0).joint_rad, command)


# The gripper.


@pytest.mark.parametrize(("closed_m", "open_m"), [(0.015, 0.037), (0.037, 0.015)])
def test_the_gripper_keeps_to_its_stroke_and_moves_no_faster_than_its_speed(closed_m: float, open_m: float) -> None:
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
@given(measured_m=st.floats(0.010, 0.042), target_m=st.floats(0.0, 0.05), squeeze_m=st.floats(0.001, 0.02))
def test_the_gripper_is_told_to_close_no_further_than_the_squeeze_beyond_where_it_is(
    closed_m: float, open_m: float, measured_m: float, target_m: float, squeeze_m: float
) -> None:
    gate = gate_of(gripper_closed_m=closed_m, gripper_open_m=open_m, gripper_squeeze_m=squeeze_m, gripper_speed_m_s=0.9)
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
    without = gate_of(gripper_squeeze_m=0.0, **fast).check(at(HOME, CLOSED_M), 0.0, measured_gripper_m=OPEN_M)
    blind = gate_of(gripper_squeeze_m=0.002, **fast).check(at(HOME, CLOSED_M), 0.0)
    for command in (without, blind):
        assert (command.gripper_m, command.changes) == (pytest.approx(CLOSED_M), ())


def test_a_squeeze_that_just_suffices_changes_and_reports_nothing() -> None:
    gate = gate_of(gripper_squeeze_m=0.002, gripper_speed_m_s=0.9)
    command = gate.check(at(HOME, 0.030 - 0.002), 0.0, measured_gripper_m=0.030)
    assert (command.gripper_m, command.changes) == (pytest.approx(0.028), ())


# Singularities.

STRAIGHT = 4  # the wrist: forearm and last joint turn about one axis where it stands at zero
SLOW_BELOW = 0.06


def near_straight(angle_rad: float) -> np.ndarray:
    return turned(STRAIGHT, angle_rad)


@pytest.mark.parametrize("target_rad", [-0.20, -0.12, -0.05, -0.001, 0.0])
def test_towards_a_singularity_a_step_shrinks_with_the_smallest_singular_value_to_a_tenth(target_rad: float) -> None:
    gate = gate_of(**{**ROOMY, "slow_singular_value": SLOW_BELOW})
    start = near_straight(-0.21)
    gate.reset(start, OPEN_M)
    ahead = WITNESS.smallest_singular_value(near_straight(target_rad))
    assert ahead < SLOW_BELOW
    command = gate.check(at(near_straight(target_rad)), 0.0)
    share = (command.joint_rad[STRAIGHT] - start[STRAIGHT]) / (target_rad - start[STRAIGHT])
    assert share == pytest.approx(max(0.1, ahead / SLOW_BELOW), abs=2e-3)
    (said,) = command.changes
    assert said.startswith("singularity")


def test_away_from_a_singularity_or_far_from_one_nothing_is_slowed() -> None:
    for start_rad, target_rad in ((-0.10, -0.20), (-0.60, -0.50)):
        gate = gate_of(**{**ROOMY, "slow_singular_value": SLOW_BELOW})
        gate.reset(near_straight(start_rad), OPEN_M)
        command = gate.check(at(near_straight(target_rad)), 0.0)
        assert command.joint_rad[STRAIGHT] == pytest.approx(target_rad)
        assert command.changes == ()


def test_an_arm_that_stands_near_a_singularity_and_is_to_stay_there_reports_nothing() -> None:
    gate = gate_of(**{**ROOMY, "slow_singular_value": SLOW_BELOW})
    start = near_straight(-0.05)
    gate.reset(start, OPEN_M)
    command = gate.check(at(start), 0.0)
    np.testing.assert_array_equal(command.joint_rad, start)
    assert command.changes == ()


def test_an_arm_that_moves_fast_towards_a_singularity_is_slowed_between_braking_and_what_it_wants() -> None:
    scale = 0.1
    gate = gate_of(**{**ROOMY, "slow_singular_value": SLOW_BELOW, **slow(scale)})
    change = scale * WITNESS.acceleration_rad_s2[STRAIGHT] * PERIOD_S
    gate.reset(near_straight(-0.9), OPEN_M)
    last, speed, slowed = -0.9, 0.0, 0
    while last < -0.05:
        command = gate.check(at(near_straight(0.3)), 0.0)
        new_speed = (command.joint_rad[STRAIGHT] - last) / SETTLE_S
        wanted = min((0.3 - last) / SETTLE_S, speed + change, WITNESS.speed_rad_s[STRAIGHT])
        ahead = WITNESS.smallest_singular_value(near_straight(last + wanted * SETTLE_S))
        if ahead < SLOW_BELOW * 0.98 and ahead < WITNESS.smallest_singular_value(near_straight(last)) - 1e-3:
            brake = max(speed - change, 0.0)
            share = max(0.1, ahead / SLOW_BELOW)
            assert new_speed == pytest.approx(brake + share * (wanted - brake), abs=0.02)
            slowed += 1
        last, speed = command.joint_rad[STRAIGHT], new_speed
    assert slowed >= 2


# Box and clearances: how near they let the arm come.


def beyond(axis: int, way_m: float) -> np.ndarray:
    """Joint angles at home's rotation, the tool moved along one axis of the base."""
    arm = Arm(replace(ROBOT, **ROOMY))  # type: ignore[arg-type]
    pose = arm.forward(HOME).copy()
    pose[axis, 3] += way_m
    return arm.solve(pose, HOME, iterations=100)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("direction", [-1.0, 1.0])
@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_the_tool_comes_to_each_wall_of_the_box_and_stays_within_a_millimetre_of_it(
    axis: int, direction: float, scale: float
) -> None:
    middle = WITNESS.tool_m(HOME)
    lower, upper = middle - 0.05, middle + 0.05
    box = {"workspace_lower_m": tuple(map(float, lower)), "workspace_upper_m": tuple(map(float, upper))}
    gate = gate_of(**{**ROOMY, **box, **slow(scale)})
    goal, said = beyond(axis, direction * 0.09), set()
    for _ in range(40):
        command = gate.check(at(goal), 0.0)
        said |= {change.partition(" (")[0] for change in command.changes}
        outside_m = np.maximum(lower - WITNESS.tool_m(command.joint_rad), WITNESS.tool_m(command.joint_rad) - upper)
        assert outside_m.max() <= 1e-3 + 1e-6
    assert outside_m.max() >= -2e-3, "it may come to the wall"
    assert "workspace" in said


def test_the_arm_comes_down_to_the_tables_clearance_and_no_further() -> None:
    gate = gate_of(**{**ROOMY, "table_clearance_m": 0.05})
    goal = beyond(2, -0.12)
    assert WITNESS.lowest_m(goal) < 0.03
    for _ in range(40):
        command = gate.check(at(goal), 0.0)
        assert WITNESS.lowest_m(command.joint_rad) >= 0.05 - BULLET_M
    assert WITNESS.lowest_m(command.joint_rad) <= 0.055
    assert any(change.startswith("clearance") and "table" in change for change in command.changes)


FOLDED = np.array([0.0, -1.8, 1.55, 0.0, 0.5, 0.0])


def test_the_arm_folds_no_further_than_the_clearance_from_itself() -> None:
    gate = gate_of(**{**ROOMY, "self_collision_margin_m": 0.02, "table_height_m": -1.0})
    assert WITNESS.self_distance_m(FOLDED) < 0.01
    for _ in range(60):
        command = gate.check(at(FOLDED), 0.0)
        assert WITNESS.self_distance_m(command.joint_rad) >= 0.02 - BULLET_M
    assert WITNESS.self_distance_m(command.joint_rad) <= 0.03
    assert any(change.startswith("clearance") for change in command.changes)


@settings(max_examples=15)
@given(way_m=st.floats(0.022, 0.035))
def test_a_step_out_of_the_box_is_shortened_by_no_more_than_a_thirty_second_of_it(way_m: float) -> None:
    """From rest: the fastest speed towards the target that keeps the box, found by halving five times."""
    middle = WITNESS.tool_m(HOME)
    lower, upper = middle - 0.02, middle + 0.02
    box = {"workspace_lower_m": tuple(map(float, lower)), "workspace_upper_m": tuple(map(float, upper))}
    gate, goal = gate_of(**{**ROOMY, **box}), beyond(0, way_m)
    assert (np.abs(goal - HOME) < WITNESS.speed_rad_s * SETTLE_S).all(), "nothing but the box shortens it"
    command = gate.check(at(goal), 0.0).joint_rad
    tool_m = WITNESS.tool_m(command)[0]
    assert tool_m <= upper[0] + 1e-3 + 1e-6
    joint = int(np.abs(goal - HOME).argmax())
    share = (command[joint] - HOME[joint]) / (goal[joint] - HOME[joint])
    further = HOME + (share + 1 / 32 + 1e-6) * (goal - HOME)
    assert WITNESS.tool_m(further)[0] > upper[0] + 1e-3 - 1e-5


# Where the arm was switched on outside the box: a person put it there, or the box was drawn anew.


def outside_the_box(axis: int, direction: float) -> tuple[SafetyGate, np.ndarray]:
    """A gate at rest 3 cm beyond a wall, and the direction out of the box there."""
    middle = WITNESS.tool_m(HOME)
    lower, upper = middle - 0.05, middle + 0.05
    box = {"workspace_lower_m": tuple(map(float, lower)), "workspace_upper_m": tuple(map(float, upper))}
    gate = gate_of(**{**ROOMY, **box})
    gate.reset(beyond(axis, direction * 0.08), OPEN_M)
    return gate, direction * np.eye(3)[axis]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_an_arm_beyond_a_wall_comes_back_and_never_gets_further_out_on_the_way(axis: int, direction: float) -> None:
    gate, way_out = outside_the_box(axis, direction)
    wall_m = way_out @ WITNESS.tool_m(HOME) + 0.05
    out_m = way_out @ WITNESS.tool_m(gate.hold().joint_rad) - wall_m
    assert out_m > 0.029
    for _ in range(60):
        before_m = max(0.0, out_m)
        out_m = way_out @ WITNESS.tool_m(gate.check(at(HOME), 0.0).joint_rad) - wall_m
        assert out_m <= before_m + 1e-5
    np.testing.assert_allclose(gate.hold().joint_rad, HOME, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_an_arm_beyond_a_wall_goes_no_further_out_whatever_is_asked(axis: int, direction: float) -> None:
    gate, way_out = outside_the_box(axis, direction)
    start_m = way_out @ WITNESS.tool_m(gate.hold().joint_rad)
    for _ in range(20):
        command = gate.check(at(beyond(axis, direction * 0.12)), 0.0)
        assert way_out @ WITNESS.tool_m(command.joint_rad) <= start_m + 5e-5
        assert command.changes
