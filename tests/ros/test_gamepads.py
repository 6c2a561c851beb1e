"""Gamepads by name and by their numbers of axes and buttons; a SpaceMouse; what `conure joysticks`
says of each.
"""

import contextlib
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sensor_msgs.msg import Joy

from conure_core.errors import ConfigError, UnsafeCommand
from conure_ros.commands.joysticks import Joystick
from conure_ros.nodes import teleop_node
from conure_ros.nodes.teleop_node import TeleopParameters
from conure_ros.teleop.gamepads import AUTO, GAMEPADS, find_layout, fitting, require_name
from tests.ros.teleop_hand import ROBOT, SUCCESS, Hand

pytestmark = pytest.mark.nodes
CONURE = "import sys; from conure_core.cli import main; sys.exit(main(sys.argv[1:]))"

PAGE = (Path(__file__).parents[2] / "docs" / "teleoperate.md").read_text()
PADS = [(name, counts) for name, pad in GAMEPADS.items() for counts in pad.counts]


def joy(counts, *pressed, **axes):
    """A Joy with these buttons pressed and these axes moved."""
    values = [0.0] * counts[0]
    for name, value in axes.items():
        values[int(name[1:])] = value
    return Joy(axes=values, buttons=[int(number in pressed) for number in range(counts[1])])


def read(layout, message):
    return layout.intent(message.axes, message.buttons)


@pytest.mark.parametrize(("name", "counts"), PADS)
def test_every_pad_moves_forward_left_up_and_turns_as_its_sticks_and_cross_are_moved(name, counts):
    """REP 103. joy publishes a stick that is pushed forward or left as 1, and a hat's left and up."""
    pad = GAMEPADS[name]
    layout = find_layout(name, counts)
    held = pad.dead_man_button
    for motion, number in enumerate(pad.axes[:3]):
        moved = read(layout, joy(counts, held, **{f"a{number}": 1.0})).motion
        assert moved.tolist() == [float(index == motion) for index in range(6)]
    yaw = read(layout, joy(counts, held, **{f"a{pad.axes[5]}": 1.0})).motion
    assert yaw.tolist() == [0, 0, 0, 0, 0, 1]
    if pad.axis_buttons:
        right, left, up, down = pad.axis_buttons
        crosses = [(right, 3, 1), (left, 3, -1), (up, 4, 1), (down, 4, -1)]
        messages = [(joy(counts, held, button), *rest) for button, *rest in crosses]
    else:
        hat = [(pad.axes[3], -1.0, 3, 1), (pad.axes[3], 1.0, 3, -1), (pad.axes[4], 1.0, 4, 1)]
        messages = [(joy(counts, held, **{f"a{n}": v}), *rest) for n, v, *rest in hat]
    for message, motion, sign in messages:
        turned = read(layout, message).motion
        assert turned[motion] == sign and abs(turned).sum() == 1


@pytest.mark.parametrize(("name", "counts"), PADS)
def test_no_pad_moves_anything_without_its_dead_mans_button_and_its_gripper_has_two(name, counts):
    pad, layout = GAMEPADS[name], find_layout(name, counts)
    others = set(range(counts[1])) - {pad.dead_man_button}
    assert read(layout, joy(counts, *others, a0=1.0)) is None
    assert read(layout, joy(counts, pad.dead_man_button, pad.open_button)).gripper == 1.0
    assert read(layout, joy(counts, pad.dead_man_button, pad.close_button)).gripper == -1.0


@pytest.mark.parametrize("counts", sorted({counts for _, counts in PADS}))
def test_counts_choose_the_layout_and_those_of_two_pads_are_refused_with_both_names(counts):
    names = fitting(counts)
    if len(names) == 1:
        assert find_layout(AUTO, counts) == find_layout(names[0], counts)
        return
    with pytest.raises(UnsafeCommand, match="set gamepad to one of") as refused:
        find_layout(AUTO, counts)
    assert all(name in str(refused.value) for name in names)
    layouts = [find_layout(name, counts) for name in names]
    assert layouts[0] != layouts[1]


def test_two_pads_share_their_counts():
    """So that the refusal above is no dead letter."""
    assert fitting((6, 17)) == ["ps3", "game_controller"]


@pytest.mark.parametrize(
    ("name", "counts", "says"),
    [
        (AUTO, (2, 8), "2 axes and 8 buttons, and no known pad has these: xbox .*conure joysticks"),
        (AUTO, (6, 0), "A SpaceMouse needs gamepad=spacemouse"),
        ("xbox", (8, 13), r"gamepad=xbox is xbox .* 8 axes and 11 buttons\); they fit playstation"),
    ],
)
def test_a_pad_that_fits_no_layout_is_refused_with_those_there_are(name, counts, says):
    with pytest.raises(UnsafeCommand, match=says):
        find_layout(name, counts)


def test_a_wrong_name_and_a_layout_of_ones_own_that_would_not_be_used_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'xbox'"):
        require_name("xbos", [])
    with pytest.raises(
        ConfigError, match=r"axes describe a layout of your own.*gamepad=custom too"
    ):
        require_name(AUTO, ["axes"])


# The SpaceMouse, by the line on the page.

RAW_FULL = 350.0  # what a SpaceMouse's driver gives at full travel


def spacenav_line():
    (line,) = re.findall(r"^ros2 run spacenav .*$", PAGE, re.MULTILINE)
    return shlex.split(line.partition("#")[0])


def test_a_spacemouse_started_as_the_page_says_is_at_full_speed_at_full_travel():
    words = spacenav_line()
    (scale,) = [float(word.partition(":=")[2]) for word in words if word.startswith("full_scale:=")]
    assert "spacenav/joy:=joy" in words, "its Joy has a stamp, its Twist has none"
    layout = find_layout("spacemouse", (6, 0))
    for motion in range(6):
        for share in (1.0, 0.5, -1.0):
            message = joy((6, 0), **{f"a{motion}": share * RAW_FULL / scale})
            moved = read(layout, message).motion
            assert moved[motion] == pytest.approx(share) and abs(moved).sum() == abs(moved[motion])


def test_a_spacemouse_that_rests_sends_nothing_and_its_buttons_move_the_gripper():
    """spacenav's Joy has as many buttons as were pressed."""
    layout = find_layout("spacemouse", (6, 0))
    assert read(layout, joy((6, 0))) is None
    assert read(layout, joy((6, 2), a0=0.01)) is None
    assert read(layout, joy((6, 1), 0)).gripper == -1.0
    assert read(layout, joy((6, 2), 1)).gripper == 1.0
    assert read(layout, joy((6, 2), 0, 1)) is None
    with pytest.raises(UnsafeCommand, match="joy has 8 axes"):
        read(layout, joy((8, 11)))


@pytest.fixture
def with_gamepad(context, monkeypatch):
    """A hand at a node that has this gamepad."""
    nodes = []

    def made(**given):
        parameters = TeleopParameters(**given)
        monkeypatch.setattr(teleop_node, "declare", lambda node, schema: parameters)
        node = teleop_node.TeleopNode()
        nodes.append(node)
        assert node.trigger_configure() == SUCCESS
        hand = Hand(node, monkeypatch)
        hand.measure(ROBOT.gripper_open_m)
        return hand

    yield made
    for node in nodes:
        node.end()
        node.destroy_node()


def test_the_node_takes_any_pad_by_its_counts_and_says_once_which_it_is(with_gamepad):
    hand = with_gamepad()
    for _ in range(2):
        hand.hear("joy", joy((8, 13), GAMEPADS["playstation"].dead_man_button, a1=0.5))
        hand.wait(1.0)
    assert hand.action[:6] == [0.5, 0, 0, 0, 0, 0]
    assert len(hand.log.infos) == 1 and "gamepad: playstation (PS4, PS5" in hand.log.infos[0]
    sent = len(hand.sent)
    hand.hear("joy", joy((6, 17), 4, a1=0.5))
    assert len(hand.sent) == sent and "which more than one pad has" in hand.fault()
    hand.hear("joy", joy((8, 12), 4, a1=0.5))
    assert len(hand.sent) > sent, "another pad, plugged in meanwhile"


def test_the_node_follows_a_spacemouse_and_stops_when_the_hand_rests(with_gamepad):
    hand = with_gamepad(gamepad="spacemouse")
    hand.hear("joy", joy((6, 0), a0=1.0, a5=-0.5))
    assert hand.action[:6] == [1.0, 0, 0, 0, 0, -0.5]
    sent = len(hand.sent)
    hand.hear("joy", joy((6, 0)))
    hand.wait(1.0)
    hand.node._send()
    assert len(hand.sent) == sent


def test_a_layout_of_ones_own_is_taken_with_gamepad_custom(with_gamepad):
    own = {"axis_count": 4, "button_count": 3, "axes": (3, 2, 1, 0, -1, -1)}
    buttons = {"dead_man_button": 2, "open_button": 0, "close_button": 1}
    hand = with_gamepad(gamepad="custom", **own, **buttons)
    hand.hear("joy", joy((4, 3), 2, a3=1.0))
    assert hand.action[:6] == [1.0, 0, 0, 0, 0, 0]
    hand.hear("joy", joy((8, 11), 4, a1=1.0))
    assert "the layout is for 4 and 3" in hand.fault()


# What `conure joysticks` prints.


def test_joysticks_hears_a_pad_of_another_process(peer, domain):
    sender = peer.node.create_publisher(Joy, "joy", 1)
    words = [sys.executable, "-u", "-c", CONURE, "joysticks"]
    with subprocess.Popen(words, env=domain, stdout=subprocess.PIPE, text=True) as process:
        lines = queue.Queue()
        reader = threading.Thread(target=lambda: [lines.put(line) for line in process.stdout])
        reader.start()

        def first_line(pushed, begins):
            """What it prints while the stick is there."""
            until_s = time.monotonic() + 60
            while time.monotonic() < until_s:
                sender.publish(joy((8, 13), a4=pushed))
                with contextlib.suppress(queue.Empty):
                    line = lines.get(timeout=0.05)
                    if line.startswith(begins):
                        return line
            raise AssertionError(f"no line begins with {begins!r}")

        try:
            assert "playstation (PS4, PS5" in first_line(0.0, "8 axes and 13 buttons")
            assert first_line(1.0, "axis") == "axis  4  +1.00  z\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
            reader.join(30)


def test_joysticks_says_which_axis_moved_and_what_it_does():
    seen = Joystick()
    (device,) = seen.changes([0.0] * 8, [0] * 11)
    assert device.startswith("8 axes and 11 buttons: xbox (Xbox 360")
    assert seen.changes([0.0, 0.1] + [0.0] * 6, [0] * 11) == [], "less than worth a line"
    pressed = [int(number == 4) for number in range(11)]
    assert seen.changes([0.0, 0.9] + [0.0] * 6, pressed) == [
        "axis  1  +0.90  x",
        "button  4  pressed  dead man's",
    ]
    assert seen.changes([0.0, 0.9] + [0.0] * 6, [0] * 11) == ["button  4  released  dead man's"]


def test_joysticks_says_of_an_unknown_pad_what_to_do_and_of_two_both_names():
    assert "no known pad; gamepad=custom" in Joystick().changes([0.0] * 3, [0])[0]
    lines = Joystick().changes([0.0] * 6, [0] * 17)
    assert "ps3 (" in lines[0] and "game_controller (" in lines[0]
