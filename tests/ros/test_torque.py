"""What control knows of the arm's torque: what it asked for, what the driver answered, and what to
say meanwhile.
"""

import pytest

from conure_ros.control.torque import CONFIRM_S, NOT_OFF, Torque


def asked(on, at_s=100.0):
    torque = Torque()
    torque.ask(on, at_s)
    return torque


def test_where_nothing_was_asked_nothing_is_overdue_or_amiss():
    torque = Torque()
    assert (torque.on, torque.unanswered, torque.alarm, torque.overdue(1e9)) == (
        True,
        False,
        "",
        False,
    )


@pytest.mark.parametrize(("on", "alarm"), [(False, NOT_OFF), (True, "")])
def test_until_the_driver_answers_torque_off_is_an_alarm_and_torque_on_is_none(on, alarm):
    torque = asked(on)
    assert (torque.on, torque.unanswered, torque.alarm) == (on, True, alarm)
    assert torque.take_answer(torque.request, True, "done")
    assert (torque.unanswered, torque.alarm) == (False, "")


def test_a_driver_that_did_not_let_go_is_an_alarm_with_its_words():
    torque = asked(on=False)
    torque.take_answer(torque.request, False, "bus error")
    assert torque.alarm == f"torque: bus error; {NOT_OFF}"
    assert not torque.unanswered


def test_an_arm_that_did_not_get_its_torque_is_limp_which_is_no_alarm():
    torque = asked(on=True)
    torque.take_answer(torque.request, False, "overload")
    assert torque.alarm == ""


@pytest.mark.parametrize("on", [False, True])
def test_an_answer_that_another_request_overtook_counts_for_nothing(on):
    torque = Torque(on=on)
    overtaken = torque.ask(not on, 100.0)
    torque.ask(on, 101.0)
    alarm = torque.alarm
    assert not torque.take_answer(overtaken, True, "done")
    assert not torque.take_answer(overtaken, False, "bus error")
    assert (torque.unanswered, torque.alarm) == (True, alarm)


def test_the_first_answer_counts_for_all_requests_for_the_same_and_for_none_before():
    torque = Torque()
    requests = [torque.ask(on, 100.0) for on in (False, False, True, False, False)]
    assert requests[0] == requests[1] and requests[3] == requests[4]
    assert len(set(requests)) == 3
    for request in requests[:3]:
        assert not torque.take_answer(request, True, "done")
    assert torque.take_answer(requests[3], True, "limp")
    assert torque.alarm == ""


def test_an_answer_that_comes_too_late_still_counts():
    torque = asked(on=False)
    torque.take_answer(torque.request, False, "no answer")
    assert torque.take_answer(torque.request, True, "limp")
    assert torque.alarm == ""


def test_a_driver_has_three_seconds_to_answer():
    assert CONFIRM_S == 3.0
    torque = asked(on=False, at_s=100.0)
    assert not torque.overdue(103.0)
    assert torque.overdue(103.001)
    torque.take_answer(torque.request, True, "limp")
    assert not torque.overdue(200.0)
