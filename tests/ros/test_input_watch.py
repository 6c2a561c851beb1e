"""A person's input is of now: by its stamp, by a steady clock, and because it changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_core.errors import StaleInput, UnsafeCommand
from conure_ros.teleop.input_watch import FUTURE_S, InputWatch, Moment

STALE_S, UNCHANGED_S = 0.15, 3.0


def at(stamp_s, steady_s=None):
    return Moment(round(stamp_s * 1e9), stamp_s if steady_s is None else steady_s)


def ns(seconds):
    return round(seconds * 1e9)


@pytest.fixture
def watch():
    return InputWatch(STALE_S, UNCHANGED_S)


def test_where_the_clock_of_the_stamps_stands_still_the_last_input_still_grows_old(watch):
    assert watch.is_new("joy", ns(10.0), at(10.0))
    watch.take(ns(10.0), at(10.0))
    assert not watch.stale(at(10.0, 10.1))
    assert watch.stale(at(10.0, 10.2))
    assert not watch.is_new("joy", ns(10.0), at(10.0, 10.2)), (
        "the driver says its last message again"
    )
    assert watch.stale(at(10.0, 10.2))


def test_an_input_is_old_by_its_stamp_too(watch):
    watch.take(ns(10.0), at(10.0))
    assert watch.stale(at(10.2, 10.0))
    with pytest.raises(StaleInput, match=r"joy was 0\.20 s old"):
        watch.is_new("joy", ns(10.0), at(10.2))


@given(st.floats(FUTURE_S + 0.001, 1e6))
def test_a_stamp_from_the_future_is_refused_by_name(ahead_s):
    with pytest.raises(UnsafeCommand, match=r"teleop/twist is stamped .* s in the future"):
        InputWatch(STALE_S, UNCHANGED_S).is_new("teleop/twist", ns(10.0 + ahead_s), at(10.0))


@pytest.mark.parametrize("ahead_s", [0.049, 0.05])
def test_a_drivers_clock_may_be_a_twentieth_of_a_second_ahead(watch, ahead_s):
    assert watch.is_new("joy", ns(10.0 + ahead_s), at(10.0))
    watch.take(ns(10.0 + ahead_s), at(10.0))
    assert not watch.stale(at(10.0))
    assert watch.stale(at(9.998)), "and no more than that"


def test_an_input_is_good_for_all_of_the_given_time(watch):
    assert watch.is_new("joy", ns(10.0), at(10.0 + STALE_S))
    watch.take(ns(10.0), at(10.0))
    assert not watch.stale(at(10.0 + STALE_S, 10.0))
    assert watch.stale(at(10.0 + STALE_S + 0.001, 10.0))


def test_the_age_of_an_input_is_that_on_the_clock_where_it_is_older(watch):
    watch.take(ns(10.0), at(10.0, 50.0))
    assert watch.age_s(at(10.1, 50.02)) == pytest.approx(0.1)
    assert watch.age_s(at(10.02, 50.1)) == pytest.approx(0.1)


def test_before_the_first_input_there_is_silence(watch):
    assert watch.stale(at(0.01)), "even where both clocks have just begun"
    assert watch.stamp_ns == 0


def test_the_first_input_is_new_however_early_its_clock_says_it_is(watch):
    assert watch.is_new("joy", 1, Moment(1, 0.0))
    assert not watch.is_new("joy", 1, Moment(1, 0.0))


def test_a_clock_that_steps_back_makes_what_came_before_it_stale_and_what_comes_after_it_new(watch):
    assert watch.is_new("joy", ns(10.0), at(10.0))
    watch.take(ns(10.0), at(10.0))
    assert watch.stale(at(5.0, 10.01))
    assert watch.is_new("joy", ns(5.02), at(5.02, 10.02))


def test_an_unstamped_input_is_refused(watch):
    with pytest.raises(UnsafeCommand, match="joy has no stamp"):
        watch.is_new("joy", 0, at(10.0))


def held(watch, began_s, seconds, values=(1.0,), period_s=0.02):
    """How long an input that is repeated so moves the arm, s."""
    count = round(seconds / period_s)
    for step in range(count):
        try:
            watch.require_change("joy", values, began_s + step * period_s)
        except UnsafeCommand as error:
            assert "has not changed for" in str(error)
            return step * period_s
    return seconds


def test_input_that_never_changes_moves_the_arm_for_a_limited_time(watch):
    assert held(watch, 0.0, 10.0) == pytest.approx(UNCHANGED_S, abs=0.03)
    assert held(watch, 3.1, 1.0) == 0.0, "and not again"
    assert held(watch, 4.2, 1.0, values=(0.9,)) == 1.0, "until it changes"


def test_input_that_changes_moves_the_arm_for_as_long_as_it_does(watch):
    for step in range(1000):
        watch.require_change("joy", (step // 50,), 0.02 * step)


def test_input_may_stay_unchanged_for_all_of_the_given_time_and_no_longer():
    watch = InputWatch(STALE_S, 0.25)
    for now_s in (0.0, 0.25):
        watch.require_change("joy", (1.0,), now_s)
    with pytest.raises(
        UnsafeCommand, match=r"not changed for 0\.3 s \(limit unchanged_s 0\.25 s\)"
    ):
        watch.require_change("joy", (1.0,), 0.26)
    watch.require_change("joy", (1.0,), 0.26 + 0.5)


def test_a_hand_that_lets_go_begins_anew(watch):
    assert held(watch, 0.0, 2.5) == 2.5
    watch.let_go("joy")
    assert held(watch, 2.5, 2.5) == 2.5
    assert held(watch, 5.6, 2.5) == 2.5, "silence of half a second is the same"
    assert held(watch, 8.3, 2.5) < 1.0, "a shorter one is not"


def test_a_driver_that_stutters_is_not_a_hand_that_lets_go(watch):
    assert held(watch, 0.0, 10.0, period_s=0.4) == pytest.approx(UNCHANGED_S, abs=0.41)


def test_a_driver_that_is_slow_but_counts_as_present_is_not_a_hand_that_lets_go():
    assert held(InputWatch(1.0, UNCHANGED_S), 0.0, 10.0, period_s=0.6) < UNCHANGED_S + 0.7


def test_without_a_limit_an_input_may_stay_as_it_is_for_ever():
    assert held(InputWatch(STALE_S, 0.0), 0.0, 60.0) == 60.0
