"""Control of an arm whose gripper is published apart: the same promises, joint by joint."""

from dataclasses import replace

import numpy as np
import pytest

from conure_core.robot.arm import Arm
from conure_ros.control.arbiter import Mode
from tests.ros.supervised import FORWARD, HOME, ROBOT, TICK_S, going_home, ready

STRICT = Arm(replace(ROBOT, max_following_error_rad=0.1))
SIDEWAYS = np.array([0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 1.0])
EVERY = [0, 1, 5, 12]
"""Ticks of 10 ms between two messages of the gripper."""


@pytest.mark.parametrize("every", EVERY)
def test_the_arm_moves_and_goes_home_as_one_that_comes_in_one_message(every):
    rig = ready(None, gripper_every=every)
    rig.run(1.0)
    rig.supervisor.select(Mode.POLICY)
    assert rig.run(1.0, send=FORWARD) >= 9
    assert (rig.state.mode, rig.state.refused) == (Mode.POLICY, 0)
    answers = []
    rig.supervisor.home(answers.append)
    rig.run(6.0)
    assert answers == [""]
    assert np.abs(rig.joint_rad - HOME).max() < 0.01


@pytest.mark.parametrize("every", EVERY)
def test_a_persons_input_goes_on(every):
    rig = ready(None, gripper_every=every)
    rig.run(1.0)
    assert rig.run(1.0, send=FORWARD, source=Mode.TELEOP) >= 9
    assert rig.state.mode is Mode.TELEOP


def ticks_until_a_blocked_arm_is_named(every):
    rig = ready(None, gripper_every=every, arm=STRICT)
    rig.run(1.2)
    rig.supervisor.select(Mode.TELEOP)
    rig.blocked[0] = True
    began = len(rig.track)
    while "'waist' is 0." not in rig.state.reason:
        rig.run(TICK_S, send=SIDEWAYS, source=Mode.TELEOP)
        assert len(rig.track) < began + 500
    return len(rig.track) - began


@pytest.mark.parametrize("every", EVERY[1:])
def test_a_blocked_arm_is_found_as_early_however_seldom_its_gripper_is_measured(every):
    expected = ticks_until_a_blocked_arm_is_named(0)
    assert abs(ticks_until_a_blocked_arm_is_named(every) - expected) <= 1


def test_a_gripper_that_falls_silent_holds_the_arm_and_is_named():
    rig = ready(None, gripper_every=1)
    rig.run(0.2)
    rig.supervisor.select(Mode.POLICY)
    rig.run(0.5, send=FORWARD)
    assert rig.state.mode is Mode.POLICY
    rig.gripper_every = 10**9
    rig.run(0.5, send=FORWARD)
    assert rig.state.mode is Mode.HOLD
    assert f"joint_states of '{ROBOT.gripper_joint}' are" in rig.state.reason
    rig.gripper_every = 1
    rig.run(0.3, send=FORWARD)
    assert rig.state.mode is Mode.POLICY, "with the next good command"


def test_an_arm_that_leaps_holds_though_its_gripper_goes_on():
    rig = ready(None, gripper_every=1)
    rig.run(0.2)
    rig.supervisor.select(Mode.POLICY)
    rig.run(0.5, send=FORWARD)
    rig.spoil = lambda sample: replace(sample, joint_rad=sample.joint_rad + 1.0)
    rig.run(0.3, send=FORWARD)
    assert rig.state.mode is Mode.HOLD and "moved 1.0" in rig.state.reason


def test_messages_of_another_machine_change_nothing():
    rig = ready()
    rig.run(0.3, send=FORWARD)
    before = len(rig.states)
    for _ in range(10):
        rig.supervisor.ignore_sample(["wheel"])
    assert len(rig.states) == before and rig.state.mode is Mode.POLICY


def test_home_is_reached_though_a_late_command_and_a_slow_gripper_come_together():
    count = going_home()[0].run(2.0)
    sent = iter(range(10**6))
    rig, answers = going_home(
        refuses=lambda command: next(sent) in (count - 2, count - 1), gripper_every=7
    )
    rig.run(6.0)
    assert answers == [""]
