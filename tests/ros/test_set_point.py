"""Where an arm is on its way, as far as whoever commands it can know."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_ros.control.clock_watch import ClockWatch
from conure_ros.control.set_point import SetPoint

BEGIN, GOAL = np.array([0.0, 1.0]), np.array([0.4, 0.2])


@given(st.floats(0.01, 1.0), st.floats(0.0, 2.0))
def test_it_goes_straight_to_the_goal_and_stays_there(duration_s, share):
    point = SetPoint(BEGIN, 5.0)
    point.follow(GOAL, duration_s, 7.0)
    now_s = 7.0 + share * duration_s
    assert np.allclose(point.at(now_s), BEGIN + min(1.0, share) * (GOAL - BEGIN))
    assert point.waiting_s(now_s) == pytest.approx(max(0.0, (1.0 - share) * duration_s))


def test_before_the_first_command_it_is_where_it_began_and_waits_for_nothing():
    point = SetPoint(BEGIN, 5.0)
    assert np.array_equal(point.at(9.0), BEGIN)
    assert point.waiting_s(5.0) == 0.0


def test_a_command_on_the_way_begins_where_the_set_point_is_then():
    point = SetPoint(BEGIN, 0.0)
    point.follow(GOAL, 1.0, 0.0)
    point.follow(BEGIN, 1.0, 0.5)
    assert np.allclose(point.at(0.5), (BEGIN + GOAL) / 2)
    assert np.allclose(point.at(1.0), BEGIN + (GOAL - BEGIN) / 4)
    assert point.waiting_s(1.0) == pytest.approx(0.5)


def test_time_never_runs_back():
    point = SetPoint(BEGIN, 0.0)
    point.follow(GOAL, 1.0, 0.0)
    ahead = point.at(0.5)
    assert np.array_equal(point.at(0.2), ahead)
    assert np.allclose(point.at(0.6), BEGIN + 0.6 * (GOAL - BEGIN)), (
        "and what was asked in between costs nothing"
    )


def test_one_that_rests_waits_for_nothing():
    point = SetPoint(BEGIN, 0.0)
    point.follow(BEGIN, 1.0, 0.0)
    point.finish()
    assert point.waiting_s(0.0) == 0.0


def test_what_is_given_is_a_copy():
    point = SetPoint(BEGIN, 0.0)
    point.at(0.0)[:] = 9.0
    assert np.array_equal(point.at(0.0), BEGIN)


# The clock of the stamps.


@pytest.mark.parametrize(
    ("back_ms", "told_s"), [(0, 0.0), (-5000, 0.0), (19, 0.0), (21, 0.021), (5000, 5.0)]
)
def test_a_clock_that_steps_back_by_more_than_a_fiftieth_of_a_second_is_told_once(back_ms, told_s):
    watch = ClockWatch()
    assert watch.stepped_back_s(7_000_000_000) == 0.0
    now_ns = 7_000_000_000 - back_ms * 1_000_000
    assert watch.stepped_back_s(now_ns) == pytest.approx(told_s)
    assert watch.stepped_back_s(now_ns + 1) == 0.0


def test_the_first_look_sees_no_step():
    assert ClockWatch().stepped_back_s(-5_000_000_000) == 0.0
