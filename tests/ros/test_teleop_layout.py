"""The edges of what a joystick's layout and a velocity's scale take."""

import math

import numpy as np
import pytest

from conure_core.errors import ConfigError
from conure_ros.teleop.teleoperation import JoyLayout, TwistScale, normalize_gripper

LAYOUT = {
    "axis_count": 4,
    "button_count": 3,
    "axes": (0, 1, 2, 3, -1, -1),
    "axis_scales": (1.0, -1.0, 0.5, 1.0, 1.0, 1.0),
    "dead_man_button": 0,
    "open_button": 1,
    "close_button": 2,
    "dead_zone": 0.125,
}
PAD = JoyLayout(**LAYOUT)


def motion(*axes):
    return PAD.intent(axes, (1, 0, 0)).motion.tolist()


def test_an_axis_is_multiplied_by_its_scale_and_none_moves_nothing():
    assert motion(0.5, 0.5, 0.5, 1.0) == [0.5, -0.5, 0.25, 1.0, 0.0, 0.0]


def test_an_axis_at_the_edge_of_the_dead_zone_counts_and_one_within_does_not():
    assert motion(0.125, 0.125, 0.0, -0.125) == [0.125, -0.125, 0.0, -0.125, 0.0, 0.0]
    within = math.nextafter(0.125, 0.0)
    assert motion(within, -within, 0.0, within) == [0.0] * 6


def test_what_goes_beyond_one_is_one_in_either_direction():
    assert motion(3.0, 3.0, 9.0, -3.0) == [1.0, -1.0, 1.0, -1.0, 0.0, 0.0]


def test_an_open_gripper_is_one_and_a_closed_one_minus_one_as_in_an_action():
    assert PAD.intent([0.0] * 4, (1, 1, 0)).gripper == 1.0
    assert PAD.intent([0.0] * 4, (1, 0, 1)).gripper == -1.0


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"axis_scales": (1.0,) * 5}, "need 6 values each, got 6 and 5"),
        ({"axes": (0, 1, 2, 3, -1, -2)}, r"-1 \(none\) to 3, got \[-2\]"),
        ({"axes": (0, 1, 2, 4, -1, -1)}, r"-1 \(none\) to 3, got \[4\]"),
        ({"dead_man_button": -1}, "dead_man_button must be 0 to 2, got -1"),
        ({"open_button": 3}, "open_button must be 0 to 2, got 3"),
        ({"close_button": 3}, "close_button must be 0 to 2, got 3"),
        ({"close_button": 1}, "different buttons"),
        ({"dead_man_button": 2}, "different buttons"),
    ],
)
def test_a_layout_beyond_the_device_is_refused(changed, reason):
    with pytest.raises(ConfigError, match=reason):
        JoyLayout(**{**LAYOUT, **changed})


def test_a_velocity_at_its_full_value_is_the_largest_action_for_each_of_its_six_numbers():
    scale = TwistScale(0.25, 2.0, 0.125)
    for index, full in enumerate([0.25] * 3 + [2.0] * 3):
        velocity = full * np.eye(6)[index]
        for share, expected in ((1.0, 1.0), (-1.0, -1.0), (0.5, 0.5), (4.0, 1.0), (0.125, 0.125)):
            intent = scale.intent((share * velocity).tolist(), "base_link", "base_link")
            assert intent.motion.tolist() == (expected * np.eye(6)[index]).tolist()
            assert intent.gripper is None
        assert scale.intent((0.12 * velocity).tolist(), "base_link", "base_link") is None


@pytest.mark.parametrize(("closed_m", "open_m"), [(0.01, 0.05), (0.05, 0.01)])
def test_a_gripper_beyond_its_stroke_is_open_or_closed_and_no_more(closed_m, open_m):
    way_m = open_m - closed_m
    shares = {-0.5: -1.0, 0.0: -1.0, 0.25: -0.5, 0.75: 0.5, 1.0: 1.0, 1.5: 1.0}
    for share, expected in shares.items():
        assert normalize_gripper(closed_m + share * way_m, closed_m, open_m) == pytest.approx(
            expected
        )
