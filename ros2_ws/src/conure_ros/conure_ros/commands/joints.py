"""`conure joints robot=ROBOT port=DEVICE`: where the joints of a limp arm are, beside the limits of
its URDF.
"""

import contextlib
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from conure_core.config.loader import load_config
from conure_core.config.values import bounds
from conure_core.errors import RobotError
from conure_core.robot.description import load_robot
from conure_core.robot.measured_range import urdf_limits
from conure_core.servos.bus_config import load_bus, port_path
from conure_core.servos.scale import ServoScale
from conure_ros.drivers.serial_arm import SerialArm
from conure_ros.drivers.servo_bus import ServoBus, open_bus
from conure_ros.drivers.settings import describe, find_changes, read_settings, require_models

TORQUE = ("torque_enable", "torque_enable")
CHANGED_COUNTS = 3
"""Encoders flicker by a count or two."""
UP, CLEAR = "\x1b[{}A", "\x1b[K"


pause = time.sleep


@dataclass(frozen=True)
class JointsConfig:
    """Which arm, and how it is shown; see conf/joints.yaml."""

    robot: str
    port: str = ""
    once: bool = False
    limp: bool = False
    period_s: float = field(default=0.1, metadata=bounds(0.01))


def run(overrides: list[str]) -> None:
    """Show the joint angles of a limp arm, live, beside its URDF's limits.

    Raises: RobotError if a servo has torque, or does not answer at first.
    """
    config = load_config("conure_ros.conf", "joints", JointsConfig, overrides)
    bus_config = load_bus(config.robot)
    scale = ServoScale(bus_config, load_robot(config.robot))
    bus = open_bus(bus_config, str(port_path(config.port, bus_config)))
    try:
        for note in prepare(bus, scale, config.limp):
            print(note, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            show(config, bus, scale)
    finally:
        bus.close()


def prepare(bus: ServoBus, scale: ServoScale, limp: bool) -> Iterator[str]:
    """Check that every servo is there and has no torque; yield what a person must know.

    Args:
        bus: An open bus.
        scale: Of the arm.
        limp: Switch the torque off first.

    Raises:
        RobotError: A servo does not answer, is of another model, or has torque.
    """
    with bus.patient():
        require_models(bus)
        if limp:
            SerialArm(bus, scale).let_go()
        _require_limp(bus)
        wanted = {servo.id: bus.config.settings(servo) for servo in bus.config.servos}
        changes = find_changes(read_settings(bus, wanted), wanted)
    for text in describe(bus.config, changes):
        yield f"{text}: what the servo holds -> what the robot's file wants; counts are as it holds"


def _require_limp(bus: ServoBus) -> None:
    found, _ = bus.read_block(TORQUE)
    holding = [servo_id for servo_id, data in found.items() if any(data)]
    if holding:
        names = ", ".join(map(bus.config.label, holding))
        raise RobotError(
            f"{names} has torque, and conure joints shows a limp arm: support the arm, and give"
            " limp=true, which switches the torque off"
        )


def show(config: JointsConfig, bus: ServoBus, scale: ServoScale) -> None:
    """Print the joints until interrupted: a table that is drawn anew in a terminal, else a line for
    each that changes.

    Args:
        config: How often, or once.
        bus: An open bus, its servos limp.
        scale: Of the arm.

    Raises:
        RobotError: A servo got torque.
        PortLost: The port is gone.
    """
    table = Table(scale)
    live = sys.stdout.isatty() and not config.once
    looked_s = time.monotonic()
    while True:
        began_s = time.monotonic()
        found, _ = bus.read_block(bus.table.state)
        raw = {
            servo_id: bus.table.value("present_position", bus.table.state, data)
            for servo_id, data in found.items()
        }
        if live:
            table.redraw(raw)
        else:
            for text in table.changed(raw):
                print(text, flush=True)
        if config.once:
            return
        if began_s - looked_s > bus.config.health_period_s:
            looked_s = began_s
            _require_limp(bus)
        pause(max(0.0, began_s + config.period_s - time.monotonic()))


class Table:
    """The lines about an arm's servos.

    >>> Table(scale).lines({1: 2162})[0]
    'waist (servo 1)               2162 counts    +10.0 deg in -180.0 to +180.0'
    """

    def __init__(self, scale: ServoScale) -> None:
        self._scale, self._bus = scale, scale.bus
        lower_rad, upper_rad = urdf_limits(scale.arm)
        self._lower = np.append(lower_rad, scale.lower[-1])
        self._upper = np.append(upper_rad, scale.upper[-1])
        self._shown: dict[int, int | None] = {}
        self._drawn = 0

    def lines(self, raw: dict[int, int]) -> list[str]:
        """Describe every servo, one line each.

        Args:
            raw: What the position registers hold, counts, by servo id; silent servos are absent.
        """
        ids = self._bus.ids
        known = np.array([raw.get(servo_id, 2048) for servo_id in ids], dtype=np.int64)
        counts = self._scale.nearest(known)
        values = self._scale.servo_positions(counts)
        return [
            self._line(index, raw[servo_id], float(values[index]), int(counts[index]))
            if servo_id in raw
            else f"{self._bus.label(servo_id):<26} no answer"
            for index, servo_id in enumerate(ids)
        ]

    def _line(self, index: int, register: int, value: float, counts: int) -> str:
        joint = int(self._scale.joint[index])
        is_gripper = joint == len(self._scale.robot.joint_names)
        unit, factor = ("mm", 1e3) if is_gripper else ("deg", 180 / np.pi)
        lower, upper = factor * float(self._lower[joint]), factor * float(self._upper[joint])
        shown = factor * value
        outside = max(lower - shown, shown - upper)
        mark = f"  OUTSIDE by {outside:.1f} {unit}" if round(outside, 1) > 0 else ""
        other = self._scale.other_turn(index, counts)
        if other is not None:
            mark += f"  or {factor * other:+.1f} {unit}, a turn away"
        label = self._bus.label(self._bus.ids[index])
        return (
            f"{label:<26} {register:>7} counts {shown:>+8.1f} {unit:<3}"
            f" in {lower:+.1f} to {upper:+.1f}{mark}"
        )

    def changed(self, raw: dict[int, int]) -> list[str]:
        """Describe the servos that moved, fell silent or answer again since they were last
        described.
        """
        texts = []
        for servo_id, text in zip(self._bus.ids, self.lines(raw), strict=True):
            now, before = raw.get(servo_id), self._shown.get(servo_id)
            same = now is before or (
                now is not None and before is not None and abs(now - before) < CHANGED_COUNTS
            )
            if not same or servo_id not in self._shown:
                self._shown[servo_id] = now
                texts.append(text)
        return texts

    def redraw(self, raw: dict[int, int]) -> None:
        """Draw the table over the one drawn before, cut to the terminal's width."""
        width = shutil.get_terminal_size().columns
        lines = [line[: width - 1] + CLEAR for line in self.lines(raw)]
        above = UP.format(self._drawn) if self._drawn else ""
        self._drawn = len(lines)
        print(above + "\n".join(lines), flush=True)
