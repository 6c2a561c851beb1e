"""An arm that goes limp when it is stopped: what the driver was asked, what it answered, what is
said meanwhile.
"""

import numpy as np
import pytest

from conure_ros.control.arbiter import Mode
from conure_ros.control.parameters import ControlParameters
from conure_ros.control.torque import CONFIRM_S
from tests.ros.supervised import FORWARD, HOME, Rig, ready

LIMP = ControlParameters(on_stop="limp")


def test_torque_that_is_not_confirmed_off_is_an_alarm_until_it_is():
    rig = ready(settings=ControlParameters(on_stop="limp"))
    rig.supervisor.stop("a test")
    assert rig.torques == [False]
    stopped = next(state for state in rig.states if state.mode is Mode.STOPPED)
    assert "torque off is not confirmed" in stopped.alarm, "from the first moment on"
    rig.run(CONFIRM_S + 0.5)
    assert f"no answer within {CONFIRM_S} s" in rig.state.alarm
    rig.take_torque_answer(False, True, "limp")
    rig.run(0.3)
    assert rig.state.alarm == ""


def test_an_arm_that_does_not_get_its_torque_back_stays_stopped():
    rig = ready(settings=ControlParameters(on_stop="limp"))
    rig.supervisor.stop("a test")
    rig.take_torque_answer(False, True, "limp")
    rig.supervisor.reset_stop()
    rig.run(CONFIRM_S + 0.5)
    assert rig.state.mode is Mode.STOPPED
    assert "no answer" in rig.state.reason


def test_an_arm_that_fell_goes_on_from_where_it_fell_to():
    rig = ready(settings=ControlParameters(on_stop="limp"))
    rig.supervisor.stop("a test")
    rig.take_torque_answer(False, True, "limp")
    for share in np.linspace(0.0, 1.0, 40):
        rig.put(HOME + share * np.array([0.0, 0.3, 0.1, 0.0, 0.2, 0.0]))
        rig.tick()
    rig.supervisor.reset_stop()
    rig.take_torque_answer(True, True, "holding")
    rig.run(0.2)
    fallen = rig.joint_rad.copy()
    rig.supervisor.select(Mode.POLICY)
    rig.run(0.15, send=FORWARD)
    assert 0.0 < np.abs(rig.commands[-1].joint_rad - fallen).max() < 0.3


def test_an_arm_that_only_holds_is_never_asked_for_its_torque():
    rig = ready()
    rig.supervisor.stop("a test")
    rig.supervisor.reset_stop()
    assert rig.torques == []
    assert rig.state.alarm == ""


def test_a_control_that_is_not_active_asks_no_driver_for_anything():
    rig = Rig(settings=LIMP)
    rig.supervisor.stop("a test")
    assert (rig.torques, rig.state.alarm) == ([], "")
    rig.supervisor.reset_stop()
    assert (rig.torques, rig.state.alarm) == ([], "")


def test_until_torque_is_confirmed_on_nothing_moves():
    rig = ready(settings=LIMP)
    rig.supervisor.stop("a test")
    rig.take_torque_answer(False, True, "limp")
    rig.supervisor.reset_stop()
    assert rig.torques == [False, True]
    rig.run(0.2)
    rig.supervisor.select(Mode.POLICY)
    assert rig.run(0.5, send=FORWARD) == 0
    rig.take_torque_answer(True, True, "holding")
    assert rig.state.mode is Mode.HOLD
    rig.run(0.1)
    assert rig.run(0.3, send=FORWARD) > 0


def test_torque_that_came_back_too_late_does_not_pass_for_torque_off():
    """The driver took longer than it may, so the arm was stopped again: it has its torque, and the
    alarm says so.
    """
    rig = ready(settings=LIMP)
    rig.supervisor.stop("a test")
    rig.take_torque_answer(False, True, "limp")
    rig.supervisor.reset_stop()
    rig.run(CONFIRM_S + 0.1)
    assert rig.torques == [False, True, False]
    rig.take_torque_answer(True, True, "holding")
    rig.run(0.3)
    assert "torque off is not confirmed" in rig.state.alarm
    rig.take_torque_answer(False, True, "limp")
    assert rig.state.alarm == ""


def test_a_driver_that_failed_at_what_is_asked_for_no_more_is_not_asked_again():
    rig = ready(settings=LIMP)
    rig.supervisor.stop("a test")
    rig.supervisor.reset_stop()
    rig.supervisor.stop("another test")
    rig.take_torque_answer(True, False, "overload")
    assert rig.torques == [False, True, False]
    assert rig.state.reason == "another test"


def test_an_answer_to_a_stop_that_is_over_does_not_pass_for_torque_on():
    rig = ready(settings=LIMP)
    rig.supervisor.stop("a test")
    rig.supervisor.reset_stop()
    rig.take_torque_answer(False, True, "limp")
    rig.run(0.2)
    rig.supervisor.select(Mode.POLICY)
    assert rig.run(0.5, send=FORWARD) == 0
    rig.take_torque_answer(True, True, "holding")
    rig.run(0.1)
    assert rig.run(0.3, send=FORWARD) > 0


def test_a_driver_that_cannot_let_go_is_an_alarm_with_its_words():
    rig = ready(settings=LIMP)
    rig.supervisor.stop("a test")
    rig.take_torque_answer(False, False, "bus error")
    assert (
        "torque: bus error" in rig.state.alarm and "torque off is not confirmed" in rig.state.alarm
    )
    assert rig.state.mode is Mode.STOPPED


def test_a_driver_that_cannot_take_hold_again_means_a_stop_with_its_words():
    rig = ready(settings=LIMP)
    rig.supervisor.stop("a test")
    rig.take_torque_answer(False, True, "limp")
    rig.supervisor.reset_stop()
    assert rig.state.alarm == ""
    rig.take_torque_answer(True, False, "overload")
    assert (rig.state.mode, rig.state.reason) == (Mode.STOPPED, "torque: overload")


@pytest.mark.parametrize(("seconds", "alarm"), [(2.95, False), (3.1, True)])
def test_a_driver_has_three_seconds_to_answer(seconds, alarm):
    rig = ready(settings=LIMP)
    rig.supervisor.stop("a test")
    rig.run(seconds)
    assert ("no answer within" in rig.state.alarm) == alarm
    rig.run(1.5)
    assert len([state for state in rig.states if "no answer" in state.alarm]) > 1, "and stays said"


@pytest.mark.parametrize("publishers", [{}, {"/joint_states": "/one, /two"}])
def test_a_driver_is_asked_once_to_let_go_however_long_the_reason_for_the_stop_lasts(publishers):
    rig = ready(settings=ControlParameters(on_stop="limp", heartbeat_s=0.5))
    rig.publishers = publishers
    rig.run(2.0)
    assert rig.torques == [False]


def test_a_late_answer_confirms_no_newer_stop():
    rig = ready(settings=LIMP)
    rig.supervisor.stop("a test")
    first = rig.requests[False]
    rig.supervisor.reset_stop()
    rig.supervisor.stop("a test")
    for request in (first, rig.requests[True]):
        rig.supervisor.take_torque_answer(request, True, "done")
        assert "torque off is not confirmed" in rig.supervisor.alarm
    rig.run(CONFIRM_S + 0.5)
    assert f"no answer within {CONFIRM_S} s" in rig.state.alarm
    rig.take_torque_answer(False, True, "limp")
    assert rig.state.alarm == ""


def test_while_stops_repeat_the_first_answer_counts():
    rig = ready(settings=LIMP)
    rig.supervisor.stop("a test")
    first = rig.requests[False]
    rig.supervisor.stop("a test")
    rig.supervisor.take_torque_answer(first, True, "limp")
    assert rig.state.alarm == ""


@pytest.mark.parametrize("configured_anew", [False, True])
def test_a_stop_that_is_reset_while_control_is_not_active_leaves_no_arm_limp(configured_anew):
    rig = ready(settings=LIMP)
    rig.supervisor.stop("a test")
    rig.take_torque_answer(False, True, "limp")
    rig.supervisor.deactivate()
    if configured_anew:
        rig = Rig(settings=rig.settings, stopped_by=rig.supervisor.arbiter.stop_reason)
    rig.supervisor.reset_stop()
    rig.supervisor.activate()
    assert rig.torques[-1:] == [True]
    rig.take_torque_answer(True, True, "holding")
    rig.run(0.2)
    rig.supervisor.select(Mode.POLICY)
    assert rig.run(0.3, send=FORWARD) > 0


def test_a_late_failure_to_go_limp_does_not_stop_an_arm_that_gets_its_torque_back():
    rig = ready(settings=LIMP)
    rig.supervisor.stop("a test")
    rig.supervisor.reset_stop()
    rig.take_torque_answer(False, False, "overload")
    assert rig.torques == [False, True] and rig.state.mode is Mode.HOLD
