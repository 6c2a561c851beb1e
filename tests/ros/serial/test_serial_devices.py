"""Serial ports: what a person is told of an adapter, of who may open it, and of servos at another
baud rate.
"""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from conure_core.errors import RobotError
from conure_ros.commands import doctor
from conure_ros.commands.doctor import Missing
from conure_ros.drivers import serial_devices, servo_bus
from conure_ros.drivers.port import PortLost, SerialPort
from conure_ros.drivers.serial_devices import SerialDevice, latency_timer_ms, slow_adapter

pytestmark = pytest.mark.nodes
FTDI = SerialDevice(
    Path("/dev/ttyUSB0"),
    "FTDI USB Serial Converter",
    Path("/dev/serial/by-id/usb-FTDI-port0"),
    accessible=True,
    group="dialout",
    latency_timer_ms=1,
)


def tty(folder, name, timer=None):
    """A terminal as the kernel describes it."""
    device = folder / name / "device"
    device.mkdir(parents=True)
    if timer is not None:
        (device / "latency_timer").write_text(f"{timer}\n")
    return folder


def test_the_latency_timer_is_read_through_links_and_there_is_none_without_ftdi(tmp_path):
    classes = tty(tmp_path, "ttyUSB7", timer=16)
    (tmp_path / "by-id").symlink_to("/dev/ttyUSB7")
    assert latency_timer_ms(tmp_path / "by-id", classes) == 16
    assert latency_timer_ms(Path("/dev/ttyACM0"), tty(tmp_path, "ttyACM0")) is None
    assert latency_timer_ms(Path("/dev/pts/0"), tmp_path) is None


def test_an_adapter_that_keeps_answers_too_long_is_named_with_the_line_that_mends_it(monkeypatch):
    monkeypatch.setattr(serial_devices, "latency_timer_ms", lambda port: 16)
    said = slow_adapter("/dev/ttyUSB0", 0.004)
    assert "16 ms (latency timer)" in said and "after 4 ms" in said
    assert "echo 1 | sudo tee /sys/bus/usb-serial/devices/ttyUSB0/latency_timer" in said
    assert slow_adapter("/dev/ttyUSB0", 0.03) == "", "a driver that waits longer"
    monkeypatch.setattr(serial_devices, "latency_timer_ms", lambda port: 1)
    assert slow_adapter("/dev/ttyUSB0", 0.004) == ""


def test_a_servo_that_is_silent_behind_a_slow_adapter_says_so(line, monkeypatch):
    monkeypatch.setattr(servo_bus, "slow_adapter", lambda port, latency_s: "latency timer 16 ms")
    line.simulated.faults.lost = [1]
    with line.opened() as arm, pytest.raises(RobotError, match=r"waist.*latency timer 16 ms"):
        arm.bus.ping(1)


def test_servos_at_another_baud_rate_are_found_there_and_both_rates_are_named(line):
    line.simulated.baud = 57_600
    factory = ", as it comes from the factory" if line.config.family == "dynamixel_x" else ""
    first = re.escape(line.config.label(line.config.ids[0]))
    says = rf"{first} answers at 57600 bit/s{factory}, and the robot's file says baud: 1000000"
    before = line.memory()
    with line.opened() as arm, pytest.raises(RobotError, match=says):
        arm.check()
    assert line.memory() == before
    line.simulated.baud = 1_000_000
    with line.opened() as arm:
        arm.check()


def test_a_servo_that_answers_at_no_rate_names_its_cable(line):
    line.simulated.faults.lost = list(line.config.ids)
    says = "does not answer on .* at 1000000 bit/s; check its cable, power, id and baud rate"
    with line.opened() as arm, pytest.raises(RobotError, match=says):
        arm.check()


def test_a_port_that_cannot_be_opened_says_why(tmp_path, monkeypatch, line):
    monkeypatch.setattr(serial_devices, "serial_devices", lambda: [FTDI])
    with pytest.raises(PortLost, match=r"is not there; is the arm plugged in\? .*by-id.*FTDI"):
        SerialPort(str(tmp_path / "none"), 1_000_000, 0.01)
    with line.opened(), pytest.raises(PortLost, match="in use by another program"):
        SerialPort(str(line.port), 1_000_000, 0.01)
    refused = PermissionError(13, "Permission denied")
    monkeypatch.setattr(serial_devices, "group_of", lambda path: "dialout")
    assert "sudo usermod -aG dialout $USER" in serial_devices.why_not_open("/dev/ttyUSB0", refused)
    with pytest.raises(PortLost, match="is this its serial port"):
        SerialPort(str(tmp_path), 1_000_000, 0.01)


def test_doctor_lists_the_ports_with_access_adapter_and_latency_timer(monkeypatch):
    def found(*devices):
        monkeypatch.setattr(serial_devices, "serial_devices", lambda: list(devices))
        return doctor.serial_ports()

    assert found(FTDI) == f"{FTDI.source} (FTDI USB Serial Converter, latency timer 1 ms)"
    with pytest.raises(Missing, match="latency timer 16 ms") as slow:
        found(replace(FTDI, latency_timer_ms=16))
    assert "sudo tee /sys/bus/usb-serial/devices/ttyUSB0" in slow.value.advice
    with pytest.raises(Missing, match="no access to /dev/ttyUSB0") as locked:
        found(replace(FTDI, accessible=False))
    assert "usermod -aG dialout" in locked.value.advice
    with pytest.raises(Missing, match="no serial adapter"):
        found()


def test_ports_without_hardware_are_not_listed(monkeypatch):
    ports = [
        SimpleNamespace(device=f"/dev/{name}", manufacturer=None, product=None, description="n/a")
        for name in ("ttyS0", "ttyACM0")
    ]
    monkeypatch.setattr(serial_devices, "comports", lambda: ports)
    assert [device.path.name for device in serial_devices.serial_devices()] == ["ttyACM0"]
