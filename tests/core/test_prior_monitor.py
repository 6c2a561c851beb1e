import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_core.control.prior_monitor import Level, PriorMonitor, Verdict
from conure_core.errors import ConfigError

LEVELS = [
    Level(Verdict.SLOW, "p05", 2, 0.0),
    Level(Verdict.HOLD, "p01", 3, 0.0),
    Level(Verdict.HAND_OVER, "p01", 5, 0.0),
]
THRESHOLDS = {"p01": -10.0, "p05": 0.0}


def verdicts(values, levels=LEVELS):
    monitor = PriorMonitor(THRESHOLDS, levels)
    return [monitor.judge(value)[0].name for value in values]


def test_runs_of_unlikely_actions_lead_from_slow_over_hold_to_a_person() -> None:
    assert verdicts([-20] * 6) == ["GO", "SLOW", "HOLD", "HOLD", "HAND_OVER", "HAND_OVER"]
    assert verdicts([-5] * 6) == ["GO", *["SLOW"] * 5], "unlikely, not very unlikely"


def test_one_likely_action_ends_the_run() -> None:
    assert verdicts([-20, -20, 1, -20, -20]) == ["GO", "SLOW", "GO", "GO", "SLOW"]


@given(st.lists(st.floats(0.0, 100.0), max_size=50))
def test_likely_actions_are_never_interfered_with(values: list[float]) -> None:
    assert set(verdicts(values)) <= {"GO"}


def test_not_a_number_counts_as_unlikely() -> None:
    assert verdicts([math.nan] * 3)[-1] == "HOLD"


def test_the_reason_names_value_and_threshold() -> None:
    monitor = PriorMonitor(THRESHOLDS, [Level(Verdict.HOLD, "p01", 1, 5.0)])
    assert monitor.judge(-12.0) == (Verdict.GO, "")
    verdict, reason = monitor.judge(-16.0)
    assert verdict is Verdict.HOLD
    assert "-16.0 nats" in reason and "-15.0 (p01 less 5)" in reason


def test_a_threshold_that_the_bundle_lacks_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"'p10'.*Valid: p01, p05"):
        PriorMonitor(THRESHOLDS, [Level(Verdict.HOLD, "p10", 1, 0.0)])


@pytest.mark.parametrize("threshold", [math.nan, math.inf, -math.inf])
def test_a_threshold_that_switches_the_monitor_off_is_refused(threshold: float) -> None:
    with pytest.raises(ConfigError, match="HOLD needs a finite threshold"):
        PriorMonitor({"p01": threshold}, [Level(Verdict.HOLD, "p01", 1, 0.0)])


@pytest.mark.parametrize(("ticks", "margin"), [(0, 0.0), (-1, 0.0), (1, math.nan), (1, math.inf)])
def test_a_level_that_no_action_reaches_or_every_one_does_is_refused(
    ticks: int, margin: float
) -> None:
    with pytest.raises(ConfigError, match="SLOW needs a finite threshold and margin and one tick"):
        PriorMonitor(THRESHOLDS, [Level(Verdict.SLOW, "p05", ticks, margin)])


def test_an_infinite_likelihood_is_none() -> None:
    assert verdicts([math.inf] * 3)[-1] == "HOLD"


def test_a_value_at_the_threshold_is_likely_and_one_just_below_is_not() -> None:
    levels = [Level(Verdict.HOLD, "p01", 1, 2.5)]
    assert verdicts([-12.5], levels) == ["GO"]
    assert verdicts([math.nextafter(-12.5, -math.inf)], levels) == ["HOLD"]


def test_a_reset_forgets_the_run() -> None:
    monitor = PriorMonitor(THRESHOLDS, LEVELS)
    for _ in range(2):
        assert [monitor.judge(-20.0)[0].name for _ in range(4)] == ["GO", "SLOW", "HOLD", "HOLD"]
        monitor.reset()


def test_the_more_severe_verdict_wins_whatever_the_order_of_the_levels() -> None:
    assert (
        verdicts([-20] * 5, LEVELS[::-1])
        == verdicts([-20] * 5, LEVELS)
        == ["GO", "SLOW", "HOLD", "HOLD", "HAND_OVER"]
    )
    assert Verdict.GO < Verdict.SLOW < Verdict.HOLD < Verdict.HAND_OVER
