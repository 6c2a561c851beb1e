"""What the gate promises of space: singularities, the box, the table, the arm itself; and of the
way back from outside.

Poses and distances are PyBullet's; nothing of `conure_core.control.safety` says
what is right.
"""

from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conure_core.control.safety import SafetyGate

from .gates import (
    BULLET_M,
    GOALS,
    HOME,
    OPEN_M,
    PERIOD_S,
    ROOMY,
    SETTLE_S,
    WITNESS,
    at,
    beyond,
    braked,
    commands,
    gate_of,
    slow,
    turned,
)


@pytest.mark.parametrize("scale", [1.0, 0.1])
@settings(max_examples=12)
@given(goals=GOALS)
def test_the_tool_stays_in_the_box_and_the_arm_off_the_table_and_itself_even_while_it_brakes(
    scale: float, goals: list[tuple[np.ndarray, int]]
) -> None:
    clearances = {"table_clearance_m": 0.03, "self_collision_margin_m": 0.02}
    lower, upper = np.array([0.10, -0.25, 0.0]), np.array([0.45, 0.25, 0.40])
    box = {
        "workspace_lower_m": tuple(map(float, lower)),
        "workspace_upper_m": tuple(map(float, upper)),
    }
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


# Singularities.

STRAIGHT = 4  # the wrist: forearm and last joint turn about one axis where it stands at zero
SLOW_BELOW = 0.06


def near_straight(angle_rad: float) -> np.ndarray:
    return turned(STRAIGHT, angle_rad)


@pytest.mark.parametrize("target_rad", [-0.20, -0.12, -0.05, -0.001, 0.0])
def test_towards_a_singularity_a_step_shrinks_with_the_smallest_singular_value_to_a_tenth(
    target_rad: float,
) -> None:
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


def test_an_arm_that_moves_fast_towards_a_singularity_is_slowed_between_braking_and_what_it_wants() -> (
    None
):
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
        if (
            ahead < SLOW_BELOW * 0.98
            and ahead < WITNESS.smallest_singular_value(near_straight(last)) - 1e-3
        ):
            brake = max(speed - change, 0.0)
            share = max(0.1, ahead / SLOW_BELOW)
            assert new_speed == pytest.approx(brake + share * (wanted - brake), abs=0.02)
            slowed += 1
        last, speed = command.joint_rad[STRAIGHT], new_speed
    assert slowed >= 2


# Box and clearances: how near they let the arm come.


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("direction", [-1.0, 1.0])
@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_the_tool_comes_to_each_wall_of_the_box_and_stays_within_a_millimetre_of_it(
    axis: int, direction: float, scale: float
) -> None:
    middle = WITNESS.tool_m(HOME)
    lower, upper = middle - 0.05, middle + 0.05
    box = {
        "workspace_lower_m": tuple(map(float, lower)),
        "workspace_upper_m": tuple(map(float, upper)),
    }
    gate = gate_of(**{**ROOMY, **box, **slow(scale)})
    goal, said = beyond(axis, direction * 0.09), set()
    for _ in range(40):
        command = gate.check(at(goal), 0.0)
        said |= {change.partition(" (")[0] for change in command.changes}
        outside_m = np.maximum(
            lower - WITNESS.tool_m(command.joint_rad), WITNESS.tool_m(command.joint_rad) - upper
        )
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
def test_a_step_out_of_the_box_is_shortened_by_no_more_than_a_thirty_second_of_it(
    way_m: float,
) -> None:
    """From rest: the fastest speed towards the target that keeps the box, found by halving five
    times.
    """
    middle = WITNESS.tool_m(HOME)
    lower, upper = middle - 0.02, middle + 0.02
    box = {
        "workspace_lower_m": tuple(map(float, lower)),
        "workspace_upper_m": tuple(map(float, upper)),
    }
    gate, goal = gate_of(**{**ROOMY, **box}), beyond(0, way_m)
    assert (np.abs(goal - HOME) < WITNESS.speed_rad_s * SETTLE_S).all(), (
        "nothing but the box shortens it"
    )
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
    box = {
        "workspace_lower_m": tuple(map(float, lower)),
        "workspace_upper_m": tuple(map(float, upper)),
    }
    # So slow that it takes many steps back.
    gate = gate_of(**{**ROOMY, **box, "max_speed_rad_s": (0.3,) * 6})
    gate.reset(beyond(axis, direction * 0.08), OPEN_M)
    return gate, direction * np.eye(3)[axis]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_an_arm_beyond_a_wall_comes_back_and_never_gets_further_out_on_the_way(
    axis: int, direction: float
) -> None:
    gate, way_out = outside_the_box(axis, direction)
    wall_m = way_out @ WITNESS.tool_m(HOME) + 0.05
    out_m = way_out @ WITNESS.tool_m(gate.hold().joint_rad) - wall_m
    assert out_m > 0.029
    for _ in range(200):
        before_m = max(0.0, out_m)
        out_m = way_out @ WITNESS.tool_m(gate.check(at(HOME), 0.0).joint_rad) - wall_m
        assert out_m <= before_m + 1e-5
    np.testing.assert_allclose(gate.hold().joint_rad, HOME, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_an_arm_beyond_a_wall_goes_no_further_out_whatever_is_asked(
    axis: int, direction: float
) -> None:
    gate, way_out = outside_the_box(axis, direction)
    start_m = way_out @ WITNESS.tool_m(gate.hold().joint_rad)
    for _ in range(20):
        command = gate.check(at(beyond(axis, direction * 0.12)), 0.0)
        assert way_out @ WITNESS.tool_m(command.joint_rad) <= start_m + 5e-5
        assert command.changes


@pytest.mark.parametrize("restored", [False, True])
def test_steps_too_small_to_count_lead_no_further_out_either(restored: bool) -> None:
    gate, way_out = outside_the_box(0, 1.0)
    start_m = way_out @ WITNESS.tool_m(gate.hold().joint_rad)
    out = beyond(0, 0.12) - beyond(0, 0.08)
    step_rad = (
        out
        * 0.5e-6
        / (way_out @ (WITNESS.tool_m(beyond(0, 0.12)) - WITNESS.tool_m(beyond(0, 0.08))))
    )
    for _ in range(100):
        command = gate.check(at(gate.last_rad + step_rad), 0.0)
        if restored:
            state = deepcopy(gate.get_state())
            gate = SafetyGate(gate.arm)
            gate.set_state(state)
    assert way_out @ WITNESS.tool_m(command.joint_rad) <= start_m + 3e-6
