import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conure_ros.cameras.pacing import Pace

PERIOD_NS = 100_000_000


def taken(stamps_ns):
    pace = Pace(PERIOD_NS)
    return np.array([stamp for stamp in stamps_ns if pace.takes(int(stamp))])


@pytest.mark.parametrize("rate_hz", [10, 15, 20, 25, 30, 60, 90])
def test_the_mean_rate_is_the_control_rate_whatever_the_camera_sends(rate_hz):
    stamps = np.arange(60 * rate_hz) * 1e9 / rate_hz
    assert np.diff(taken(stamps)).mean() == pytest.approx(PERIOD_NS, rel=0.02)


@settings(max_examples=50, deadline=None)
@given(rate_hz=st.floats(5, 120), jitter=st.floats(0, 0.2), seed=st.integers(0, 1000))
def test_images_are_never_taken_within_half_a_period_of_each_other(rate_hz, jitter, seed):
    steps = 1e9 / rate_hz * (1 + jitter * np.random.default_rng(seed).uniform(-1, 1, 300))
    times = taken(np.cumsum(steps))
    assert len(times) > 1
    assert np.diff(times).min() >= 0.5 * PERIOD_NS - 1


def test_a_camera_at_the_control_rate_loses_no_image_to_its_jitter():
    stamps = (
        np.arange(600) * PERIOD_NS + np.random.default_rng(0).uniform(-0.1, 0.1, 600) * PERIOD_NS
    )
    assert len(taken(stamps)) == 600


def test_a_camera_slower_than_the_control_rate_loses_none():
    assert len(taken(np.arange(100) * 1.7 * PERIOD_NS)) == 100


@pytest.mark.parametrize("leap_s", [-5, 5])
def test_a_clock_that_leaps_stops_nothing_for_more_than_two_periods(leap_s):
    stamps = np.arange(40) * PERIOD_NS / 3 + 10e9
    stamps[20:] += leap_s * 1e9
    after = taken(stamps)
    assert any(abs(stamp - stamps[20]) <= 2 * PERIOD_NS for stamp in after)
    assert len(after) >= 12
