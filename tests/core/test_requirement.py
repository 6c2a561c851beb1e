"""A requirement is met, not met, or not measured; a NaN meets nothing."""

import math

import pytest

from conure_core.runtime.requirement import is_met


@pytest.mark.parametrize(
    ("value", "limits", "met"),
    [
        (2.0, {"at_least": 2.0}, True),
        (1.9, {"at_least": 2.0}, False),
        (2.0, {"at_most": 2.0}, True),
        (2.1, {"at_most": 2.0}, False),
        (1.9, {"below": 2.0}, True),
        (2.0, {"below": 2.0}, False),
        (1.5, {"at_least": 1.0, "at_most": 2.0}, True),
        (2.5, {"at_least": 1.0, "at_most": 2.0}, False),
        (0.5, {"at_least": 1.0, "at_most": 2.0}, False),
        (0.0, {"at_least": 0.0}, True),
    ],
)
def test_limits_are_inclusive_but_for_below(value, limits, met):
    assert is_met(value, **limits) is met


@pytest.mark.parametrize("limit", ["at_least", "at_most", "below"])
def test_a_nan_meets_no_limit(limit):
    assert is_met(math.nan, **{limit: 1.0}) is False


def test_without_a_value_or_a_limit_there_is_no_verdict():
    assert is_met(None, at_least=1.0) is None
    assert is_met(1.0) is None
