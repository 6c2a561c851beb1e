"""The way home begins and ends: what moved the arm before it, what is said at once, and what
follows it.
"""

from dataclasses import replace

import numpy as np
import pytest

from conure_core.robot.arm import Arm
from conure_ros.control.arbiter import Mode
from tests.ros.supervised import ELSEWHERE, FORWARD, HOME, ROBOT, TICK_S, Rig, going_home, ready

HEAVY = Arm(replace(ROBOT, max_acceleration_rad_s2=(2.0,) * 6))


def wait_for(answers, rig, seconds=5.0):
    """To the very tick of the answer."""
    for _ in range(round(seconds / TICK_S)):
        if answers:
            return
        rig.tick()
    pytest.fail("home was not answered")


def test_home_that_was_refused_before_activation_is_forgotten():
    rig, answers = Rig(), []
    rig.put(ELSEWHERE)
    rig.supervisor.home(answers.append)
    rig.supervisor.activate()
    assert rig.run(1.0) == 0
    assert answers == ["control is not active"]


def test_what_moved_the_arm_ends_where_the_set_point_is_when_home_is_asked_for_and_that_is_said_at_once():
    rig = ready()
    rig.run(0.33, send=FORWARD)
    at_request = rig.set_point()
    rig.supervisor.home(lambda why: None)
    assert (rig.state.mode, rig.state.reason) == (Mode.HOLD, "homing")
    rig.run(0.04)
    assert np.abs(rig.set_point() - at_request).max() < 1e-9


def test_that_the_arm_is_at_home_is_said_when_it_is_answered():
    rig, answers = going_home()
    wait_for(answers, rig)
    assert (rig.state.mode, rig.state.reason) == (Mode.HOLD, "at home")


def test_that_the_arm_does_not_get_home_is_said_when_it_is_answered():
    rig, answers = going_home()
    rig.run(0.4)
    rig.spoil = lambda sample: None
    wait_for(answers, rig)
    assert rig.state.reason.startswith("not at home: joint_states are")


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_from_home_the_arm_starts_as_slowly_as_from_any_rest(sign):
    firsts = []
    for way_rad in (0.0, 0.5):
        rig, answers = going_home(np.array([way_rad, 0.0, 0.0, 0.0, 0.0, 0.0]), arm=HEAVY)
        wait_for(answers, rig)
        rig.run(0.2)
        rig.request([0.0, sign, 0.0, 0.0, 0.0, 0.0, 1.0], Mode.TELEOP)
        firsts.append(rig.commands[-1].joint_rad - HOME)
    assert np.abs(firsts[0]).max() > 0.01
    assert firsts[1] == pytest.approx(firsts[0], abs=1e-4)
