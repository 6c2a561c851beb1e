"""Intervals agree with those of a library that is trusted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from conure_training.evaluation.intervals import wilson_interval

COUNTS = st.integers(1, 2000).flatmap(
    lambda trials: st.tuples(st.integers(0, trials), st.just(trials))
)


@given(COUNTS)
def test_wilson_interval_is_scipys(counts):
    expected = binomtest(*counts).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson_interval(*counts) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(COUNTS)
def test_wilson_interval_holds_the_rate_and_lies_in_the_unit_interval(counts):
    low, high = wilson_interval(*counts)
    assert 0.0 <= low <= counts[0] / counts[1] + 1e-12
    assert counts[0] / counts[1] - 1e-12 <= high <= 1.0


def test_nothing_is_known_without_trials():
    assert wilson_interval(0, 0) == (0.0, 1.0)
