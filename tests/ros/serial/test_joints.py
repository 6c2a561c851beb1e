"""`conure joints`: what a limp arm's servos read, as angles, beside the limits of the URDF."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from conure_core.cli import main
from conure_core.robot.description import load_robot
from conure_core.servos.bus_config import load_bus
from conure_core.servos.scale import ServoScale
from conure_ros.commands import joints
from conure_ros.commands.joints import Table

pytestmark = pytest.mark.nodes

PAGE = (Path(__file__).parents[3] / "docs" / "serial_arm.md").read_text()
CONURE = "import sys; from conure_core.cli import main; sys.exit(main(sys.argv[1:]))"
ROW = re.compile(
    r"^(?P<name>\w+) \(servo (?P<id>\d+)\) +(?P<counts>-?\d+) counts +(?P<value>[-+][\d.]+)"
    r" (?P<unit>deg|mm) +in (?P<low>[-+][\d.]+) to (?P<high>[-+][\d.]+)(?P<mark>.*)$"
)


def rows(text):
    return [match for match in map(ROW.match, text.splitlines()) if match]


def limits(robot):
    """Of the gripper and of every joint, as the URDF has them."""
    found = {robot.gripper_joint: (robot.gripper_closed_m, robot.gripper_open_m)}
    for joint in ElementTree.parse(robot.urdf).iter("joint"):
        limit = joint.find("limit")
        if joint.get("name") in robot.joint_names:
            found[joint.get("name")] = float(limit.get("lower")), float(limit.get("upper"))
    return found


def once(line, capsys, *words):
    assert main(["joints", f"robot={line.name}", "once=true", *words]) == 0
    return capsys.readouterr().out


def turn(line, servo_id, counts):
    servo = line.servos[servo_id]
    with line.simulated.lock:
        servo.measure(servo.shaft_counts + counts, 0.0)


def test_a_table_shows_every_servo_with_its_angle_and_the_limits_of_its_joint(line, capsys):
    found = rows(once(line, capsys))
    assert [int(row["id"]) for row in found] == list(line.config.ids)
    for row, servo in zip(found, line.config.servos, strict=True):
        index = line.robot.command_names.index(servo.joint)
        factor = 1e3 if row["unit"] == "mm" else 180 / np.pi
        assert float(row["value"]) == pytest.approx(factor * line.home[index], abs=0.1)
        assert int(row["counts"]) == line.servos[servo.id].get("present_position")
        low, high = limits(line.robot)[servo.joint]
        assert float(row["low"]) == pytest.approx(factor * low, abs=0.06)
        assert float(row["high"]) == pytest.approx(factor * high, abs=0.06)
        assert not row["mark"]


def test_a_joint_outside_its_limits_is_marked_with_how_far(line, capsys):
    elbow = 4
    joint = line.robot.command_names.index("elbow")
    beyond_rad = limits(line.robot)["elbow"][1] + np.radians(20) - line.home[joint]
    turn(line, elbow, round(beyond_rad * 4096 / (2 * np.pi)))
    marked = [row for row in rows(once(line, capsys)) if row["mark"]]
    (row,) = marked
    assert row["name"] == "elbow"
    assert float(re.search(r"OUTSIDE by ([\d.]+) deg", row["mark"])[1]) == pytest.approx(
        20, abs=0.2
    )


def test_a_place_that_reads_like_another_is_shown_with_both(line, capsys):
    waist = line.config.ids.index(1)
    turn(line, 1, 4090 - int(line.scale.counts(line.home)[waist]))
    (row,) = [row for row in rows(once(line, capsys)) if row["name"] == "waist"]
    assert re.search(r"or [-+]1[78]\d\.\d deg, a turn away", row["mark"])


def test_an_arm_with_torque_is_refused_by_name_and_limp_lets_it_go(line, capsys):
    line.servos[4].set("torque_enable", 1)
    assert main(["joints", f"robot={line.name}", "once=true"]) == 1
    assert "elbow (servo 4) has torque" in capsys.readouterr().err
    assert line.servos[4].torque, "an arm must not fall unasked"
    assert len(rows(once(line, capsys, "limp=true"))) == len(line.config.ids)
    assert not any(servo.torque for servo in line.servos.values())


def test_a_servo_that_keeps_its_torque_is_never_shown_as_limp(line, capsys):
    line.servos[4].set("torque_enable", 1)
    line.servos[4].stuck = frozenset({"torque_enable"})
    assert main(["joints", f"robot={line.name}", "once=true", "limp=true"]) == 1
    assert "elbow (servo 4)" in capsys.readouterr().err


def test_nothing_is_written_and_settings_that_differ_are_said_first(line, capsys):
    line.servos[1].set("homing_offset", 10)
    before = line.memory()
    first, *_ = once(line, capsys).splitlines()
    assert first.startswith("waist (servo 1): homing_offset 10 -> 0: what the servo holds")
    assert line.memory() == before


def test_the_page_shows_lines_as_they_are_printed():
    (shown,) = re.findall(r"^\$ conure joints .*\n((?:.+\n)+?)```", PAGE, re.MULTILINE)
    table = Table(ServoScale(load_bus("wx250s_serial"), load_robot("wx250s_serial")))
    registers = {int(row["id"]): int(row["counts"]) for row in rows(shown)}
    printed = [text for text in table.lines(registers) if not text.endswith("no answer")]
    assert printed == shown.splitlines()


def test_a_pipe_gets_a_line_for_each_change_and_a_silent_servo_is_one(line, capsys, monkeypatch):
    last = line.config.ids[-1]
    steps = iter(
        [
            lambda: turn(line, 4, 2),  # an encoder's flicker
            lambda: turn(line, 4, 40),
            lambda: line.simulated.faults.lost.append(last),
        ]
    )

    def step(_):
        action = next(steps, None)
        if action is None:
            raise KeyboardInterrupt
        action()

    monkeypatch.setattr(joints, "pause", step)
    assert main(["joints", f"robot={line.name}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    count = len(line.config.ids)
    assert len(lines) == count + 2
    assert lines[count].startswith("elbow (servo 4)")
    assert lines[count + 1].startswith(line.config.label(last))
    assert lines[count + 1].endswith("no answer")


def test_a_terminal_gets_a_table_that_is_drawn_anew_until_ctrl_c(line):
    master, slave = pty.openpty()
    words = [sys.executable, "-c", CONURE, "joints", f"robot={line.name}"]
    process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, text=True)
    os.close(slave)
    shown = b""

    def read_until(text):
        nonlocal shown
        until_s = time.monotonic() + 60
        while text not in shown and time.monotonic() < until_s:
            shown += os.read(master, 4096)
        assert text in shown

    try:
        count = len(line.config.ids)
        read_until(f"\x1b[{count}A".encode())
        turn(line, 1, 512)
        read_until(b"+45.0 deg")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)
