"""From a hand to an action: nothing without the dead man's button, nothing guessed, nothing beyond
[-1, 1].
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conure_core.errors import ConfigError, UnsafeCommand
from conure_core.robot.description import load_robot
from conure_ros.bringup.graph_parameters import file_parameters
from conure_ros.bringup.graphs import TELEOP
from conure_ros.commands.keys import (
    AXES,
    CLEAR,
    GRIPPER,
    LABELS,
    MODES,
    MOVES,
    QUIT,
    RECORD,
    HeldKeys,
)
from conure_ros.teleop.teleoperation import CLOSED, OPEN, JoyLayout, TwistScale, normalize_gripper

NAMES = (
    "axis_count",
    "button_count",
    "axes",
    "axis_scales",
    "dead_man_button",
    "open_button",
    "close_button",
    "dead_zone",
)
GIVEN = {name: file_parameters(TELEOP)[name] for name in NAMES}
PAD = JoyLayout(
    **{name: tuple(value) if isinstance(value, list) else value for name, value in GIVEN.items()}
)
SCALE = TwistScale(0.2, 1.5, 0.05)


def joy(*pressed, **axes):
    """Axes and buttons of a pad; axes by their number, as `a1=0.5`."""
    values, buttons = [0.0] * PAD.axis_count, [0] * PAD.button_count
    for name, value in axes.items():
        values[int(name[1:])] = value
    for button in pressed:
        buttons[button] = 1
    return values, buttons


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=8, max_size=8),
    st.lists(st.booleans(), min_size=11, max_size=11),
)
def test_a_joystick_moves_only_with_the_dead_mans_button_and_never_beyond_one(axes, buttons):
    intent = PAD.intent(axes, buttons)
    assert (intent is None) == (not buttons[PAD.dead_man_button])
    if intent is not None:
        assert intent.motion.shape == (6,)
        assert np.abs(intent.motion).max() <= 1.0


def test_each_axis_goes_where_the_layout_says_and_a_stick_near_its_middle_is_there():
    intent = PAD.intent(*joy(PAD.dead_man_button, a1=0.5, a0=-0.25, a6=1.0, a3=0.04))
    assert intent.motion.tolist() == [0.5, -0.25, 0.0, -1.0, 0.0, 0.0]
    assert intent.gripper is None


def test_the_gripper_follows_its_buttons_and_both_together_say_nothing():
    held = PAD.dead_man_button
    assert PAD.intent(*joy(held, PAD.open_button)).gripper == OPEN
    assert PAD.intent(*joy(held, PAD.close_button)).gripper == CLOSED
    assert PAD.intent(*joy(held, PAD.close_button, PAD.open_button)).gripper is None


@pytest.mark.parametrize(("axes", "buttons"), [(6, 11), (8, 2), (0, 0)])
def test_another_device_is_refused_by_what_came_even_when_nothing_is_pressed(axes, buttons):
    with pytest.raises(
        UnsafeCommand,
        match=f"joy has {axes} axes and {buttons} buttons, the layout is for 8 and 11",
    ):
        PAD.intent([0.0] * axes, [0] * buttons)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_is_refused(bad):
    with pytest.raises(UnsafeCommand, match="not finite"):
        PAD.intent(*joy(PAD.dead_man_button, a1=bad))
    with pytest.raises(UnsafeCommand, match="not finite"):
        SCALE.intent([0, 0, bad, 0, 0, 0], "", "base_link")


def test_an_axis_that_moves_nothing_must_be_a_number_too_or_the_input_would_always_look_new():
    unused = next(axis for axis in range(PAD.axis_count) if axis not in PAD.axes)
    axes, buttons = joy(PAD.dead_man_button, a1=0.5)
    axes[unused] = math.nan
    with pytest.raises(UnsafeCommand, match="not finite"):
        PAD.intent(axes, buttons)
    assert PAD.intent(axes, [0] * PAD.button_count) is None, "letting go is let go"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"axes": (1, 0, 4)}, "need 6 values each, got 3 and 6"),
        ({"axes": (1, 0, 4, 6, 7, 8)}, r"got \[8\]"),
        ({"dead_man_button": 11}, "dead_man_button must be 0 to 10"),
        ({"open_button": 4}, "must be different buttons"),
        ({"axis_scales": (1.0, math.nan, 1.0, 1.0, 1.0, 1.0)}, "axis_scales must be finite"),
        ({"dead_zone": math.nan}, "dead_zone must be finite"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(changed, reason):
    with pytest.raises(ConfigError, match=reason):
        JoyLayout(**{**vars(PAD), **changed})


@pytest.mark.parametrize(
    "full", [(math.nan, 1.5, 0.05), (0.2, math.inf, 0.05), (0.2, 1.5, math.nan), (0.0, 1.5, 0.05)]
)
def test_largest_velocities_that_cannot_be_are_refused(full):
    with pytest.raises(ConfigError, match="must be"):
        TwistScale(*full)


def test_velocities_become_parts_of_the_largest_action_in_the_base_frame_only():
    assert SCALE.intent([0.1, 0, -9.0, 0, 0.75, 0], "base_link", "base_link").motion.tolist() == [
        0.5,
        0,
        -1,
        0,
        0.5,
        0,
    ]
    assert SCALE.intent([0.001, 0, 0, 0, 0, 0], "", "base_link") is None, (
        "a hand that rests is no input"
    )
    with pytest.raises(UnsafeCommand, match="must be in frame 'base_link', got 'tool0'"):
        SCALE.intent([0.1, 0, 0, 0, 0, 0], "tool0", "base_link")


def test_the_gripper_stays_where_it_is():
    robot = load_robot("wx250s")
    closed, wide = robot.gripper_closed_m, robot.gripper_open_m
    assert (normalize_gripper(closed, closed, wide), normalize_gripper(wide, closed, wide)) == (
        -1.0,
        1.0,
    )
    assert normalize_gripper((closed + wide) / 2, closed, wide) == pytest.approx(0.0)


def test_a_held_key_moves_until_its_last_sign_is_old_and_every_key_means_one_thing():
    held = HeldKeys(0.1, np.full(6, 0.5))
    held.press("w", 1.0)
    held.press("l", 1.0)
    assert held.velocity(1.05).tolist() == [0.5, 0, 0, 0, 0, -0.5]
    held.press("s", 1.08)
    assert held.velocity(1.15).tolist() == [-0.5, 0, 0, 0, 0, 0]
    assert not held.velocity(1.2).any()
    keys = ["".join(AXES), *GRIPPER, *MODES, *LABELS, CLEAR, RECORD, *QUIT, " "]
    assert len(set("".join(keys))) == len("".join(keys))
    assert set(MOVES) == set("".join(AXES))
