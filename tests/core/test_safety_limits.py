"""What the gate promises beyond one command: room to brake, singularities, the force of the
gripper, what it says.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from conure_core.control.controller import JointTarget
from conure_core.control.loop import ControlLoop
from conure_core.control.safety import SafetyGate
from conure_core.errors import ConfigError
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot

ROBOT = load_robot("wx250s")
ARM = Arm(ROBOT)
HOME = np.array(ROBOT.home_rad)
targets = hnp.arrays(np.float64, 6, elements=st.floats(-20, 20))


@pytest.mark.parametrize("scale", [1.0, 0.2, 0.05])
@settings(max_examples=40)
@given(sequence=st.lists(targets, min_size=1, max_size=15))
def test_speed_never_changes_faster_than_the_acceleration_even_at_a_wall(
    scale: float, sequence: list
) -> None:
    accelerations = tuple(scale * limit for limit in ROBOT.max_acceleration_rad_s2)
    arm = Arm(replace(ROBOT, max_acceleration_rad_s2=accelerations))
    gate, last, speed = SafetyGate(arm), HOME, np.zeros(6)
    gate.reset(HOME, 0.03)
    for target in sequence:
        command = gate.check(JointTarget(target, 0.03), age_s=0.0).joint_rad
        new_speed = (command - last) / ROBOT.settle_s
        assert (
            np.abs(new_speed - speed) <= np.array(accelerations) * ROBOT.control_period_s + 1e-9
        ).all()
        assert (np.abs(new_speed) <= np.array(ROBOT.max_speed_rad_s) + 1e-9).all()
        assert ((command >= arm.lower_rad - 1e-9) & (command <= arm.upper_rad + 1e-9)).all()
        assert arm.first_collision(command) is None
        last, speed = command, new_speed


def test_an_arm_switched_on_beyond_a_joint_limit_comes_back_slowly_instead_of_jumping() -> None:
    gate = SafetyGate(ARM)
    start = HOME.copy()
    start[5] = ARM.upper_rad[5] + 0.5
    gate.reset(start, 0.03)
    command = gate.check(JointTarget(HOME, 0.03), age_s=0.0)
    back_rad = start - command.joint_rad
    assert 0.0 < back_rad[5] <= ROBOT.max_speed_rad_s[5] * ROBOT.settle_s + 1e-9
    further = gate.check(JointTarget(start + 1.0, 0.03), age_s=0.0)
    assert further.joint_rad[5] <= command.joint_rad[5] + 1e-9


def test_towards_a_singularity_the_arm_slows_down_and_away_from_it_it_does_not() -> None:
    wide = replace(ROBOT, workspace_lower_m=(-2.0, -2.0, -2.0), workspace_upper_m=(2.0, 2.0, 2.0))
    slowed, free = SafetyGate(Arm(wide)), SafetyGate(Arm(replace(wide, slow_singular_value=0.0)))
    near = HOME.copy()
    near[4] = -0.1  # the wrist nearly straight: forearm and wrist axes meet
    through = near.copy()
    through[4] = 0.0
    for gate in (slowed, free):
        gate.reset(near, 0.03)
    assert slowed.arm.smallest_singular_value(through) < ROBOT.slow_singular_value
    short = slowed.check(JointTarget(through, 0.03), age_s=0.0)
    whole = free.check(JointTarget(through, 0.03), age_s=0.0)
    assert whole.joint_rad[4] == pytest.approx(0.0)
    assert -0.1 < short.joint_rad[4] < -0.05
    assert any("singularity" in change for change in short.changes)
    away = slowed.check(JointTarget(short.joint_rad - [0, 0, 0, 0, 0.05, 0], 0.03), age_s=0.0)
    assert not away.changes


@pytest.mark.parametrize("gripper_m", [0.015, 0.025])
def test_a_gripper_that_meets_something_is_told_to_close_no_further_than_the_squeeze(
    gripper_m: float,
) -> None:
    gate = SafetyGate(Arm(replace(ROBOT, gripper_squeeze_m=0.002)))
    gate.reset(HOME, 0.030)
    for _ in range(5):
        command = gate.check(JointTarget(HOME, gripper_m), age_s=0.0, measured_gripper_m=0.030)
    assert command.gripper_m == pytest.approx(0.028)
    assert command.changes == ("gripper force",)
    opened = gate.check(
        JointTarget(HOME, ROBOT.gripper_open_m), age_s=0.0, measured_gripper_m=0.030
    )
    assert opened.gripper_m == ROBOT.gripper_open_m
    assert not opened.changes


def test_what_was_asked_for_is_kept_beside_what_is_commanded() -> None:
    loop = ControlLoop(ARM)
    loop.reset(HOME, 0.03)
    command = loop.gate.check(JointTarget(HOME + 1.0, 0.03), age_s=0.0)
    assert command.requested_rad is not None
    np.testing.assert_array_equal(command.requested_rad, HOME + 1.0)
    assert command.changes and not np.allclose(command.joint_rad, command.requested_rad)
    assert loop.hold().requested_rad is None


@pytest.mark.parametrize(
    "field",
    [
        {"gripper_squeeze_m": -0.1},
        {"slow_singular_value": -1.0},
        {"max_acceleration_rad_s2": (0.0,) * 6},
    ],
)
def test_limits_without_a_meaning_are_refused(field: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(field))):
        replace(ROBOT, **field)
