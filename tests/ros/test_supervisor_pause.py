"""A control that did not run for a while does not know what happened meanwhile: it holds until a
mode is chosen.
"""

import numpy as np
import pytest

from conure_ros.control.arbiter import Mode
from conure_ros.control.parameters import ControlParameters
from tests.ros.supervised import ELSEWHERE, FORWARD, ready


def pause(rig, seconds=3.0):
    """Nothing of control runs meanwhile; the arm ends its command."""
    rig.t_s += seconds
    rig.ros_ns += round(seconds * 1e9)
    rig.joint_rad = rig.set_point()


def test_a_control_that_did_not_run_for_a_while_holds_until_a_mode_is_chosen():
    rig = ready()
    rig.run(0.3, send=FORWARD)
    rig.t_s += 3.0
    rig.ros_ns += 3 * 10**9
    rig.joint_rad = rig.set_point()
    before = len(rig.commands)
    rig.request(FORWARD)
    rig.run(1.0, send=FORWARD)
    assert len(rig.commands) == before
    assert rig.state.mode is Mode.HOLD
    assert "control did not run for" in rig.state.reason
    rig.supervisor.select(Mode.POLICY)
    assert rig.run(0.3, send=FORWARD) > 0


def test_a_pause_shorter_than_that_is_none():
    rig = ready()
    rig.run(0.3, send=FORWARD)
    rig.t_s += 0.9
    rig.ros_ns += 9 * 10**8
    rig.joint_rad = rig.set_point()
    rig.run(0.1)
    assert rig.run(0.3, send=FORWARD) > 0


@pytest.mark.parametrize(
    "first",
    [
        lambda rig: rig.supervisor.take_sample(rig.sample().part),
        lambda rig: rig.supervisor.reject_sample("no sample"),
        lambda rig: rig.request(FORWARD),
        lambda rig: rig.supervisor.tick({}),
    ],
    ids=["take_sample", "reject_sample", "take_request", "tick"],
)
def test_whatever_comes_first_after_a_pause_finds_an_arm_that_holds(first):
    rig = ready()
    rig.run(0.3, send=FORWARD)
    pause(rig)
    before = len(rig.commands)
    first(rig)
    assert rig.supervisor.arbiter.selected is Mode.HOLD
    assert "control did not run for 3.0" in rig.supervisor.arbiter.reason
    assert len(rig.commands) == before


def test_a_mode_that_is_chosen_after_a_pause_counts():
    rig = ready()
    rig.run(0.3, send=FORWARD)
    pause(rig)
    rig.supervisor.select(Mode.POLICY)
    rig.run(0.1)
    assert rig.run(0.3, send=FORWARD) > 0


def test_home_that_is_asked_for_after_a_pause_is_reached():
    rig, answers = ready(None), []
    rig.put(ELSEWHERE)
    rig.run(0.1)
    pause(rig)
    rig.supervisor.home(answers.append)
    rig.run(4.0)
    assert answers == [""]


def test_a_reset_after_a_pause_is_the_last_word():
    rig = ready()
    rig.supervisor.stop("a test")
    pause(rig)
    rig.supervisor.reset_stop()
    rig.run(0.1)
    assert rig.state.reason == "the stop was reset"


def test_a_pause_ends_the_way_home_and_says_why():
    rig, answers = ready(None), []
    rig.put(ELSEWHERE)
    rig.run(0.1)
    rig.supervisor.home(answers.append)
    rig.run(0.5)
    pause(rig)
    rig.tick()
    assert len(answers) == 1 and "control did not run for" in answers[0]
    assert rig.run(1.0) == 0


def test_after_a_pause_the_arm_is_measured_anew():
    rig = ready()
    pause(rig)
    rig.put(ELSEWHERE)
    rig.tick()
    assert "did not run" in " ".join(state.reason for state in rig.states), "said at once"
    rig.run(0.1)
    assert np.allclose(rig.supervisor.set_point_rad, ELSEWHERE)
    rig.supervisor.select(Mode.POLICY)
    rig.run(0.1, send=FORWARD)
    assert np.abs(rig.commands[-1].joint_rad - ELSEWHERE).max() < 0.3


@pytest.mark.parametrize(
    ("seconds", "holds"), [(ControlParameters.stall_s - 0.03, False), (1.03, True)]
)
def test_the_pause_that_counts_is_the_one_of_the_settings(seconds, holds):
    rig = ready()
    rig.run(0.3, send=FORWARD)
    pause(rig, seconds)
    rig.tick()
    assert (rig.supervisor.arbiter.selected is Mode.HOLD) == holds


def test_a_command_that_a_short_pause_left_unfinished_is_ended():
    rig = ready(settings=ControlParameters(stall_s=0.03))
    rig.request(FORWARD)
    pause(rig, 0.05)
    rig.tick()
    assert rig.commands[-1].changes == ("hold",)


def test_a_control_that_is_not_active_misses_nothing():
    rig = ready()
    rig.supervisor.deactivate()
    pause(rig)
    rig.supervisor.tick({})
    assert "did not run" not in rig.supervisor.arbiter.reason
    rig.supervisor.activate()
    rig.run(0.1)
    assert rig.state.reason == "activated; choose a mode", "nor does it when it was idle for long"
