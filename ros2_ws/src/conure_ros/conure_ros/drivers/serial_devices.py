"""The serial ports of this machine: who may open them, their adapter, and its latency timer."""

import errno
import grp
import os
from dataclasses import dataclass
from pathlib import Path

from serial.tools.list_ports import comports

CLASSES = Path("/sys/class/tty")
BY_ID = Path("/dev/serial/by-id")
ADAPTERS = ("ttyUSB", "ttyACM", "ttyAMA", "ttyTHS")
"""Names of devices that an arm may hang on; ttyS0 and the like are there without any hardware."""
LATENCY_TIMER_MS = 1
"""What an FTDI adapter needs: it keeps what came for so long before it hands it on."""


@dataclass(frozen=True)
class SerialDevice:
    """A serial port. `source` is its persistent name, if it has one; `latency_timer_ms` is None
    where the adapter has none.
    """

    path: Path
    adapter: str
    source: Path
    accessible: bool
    group: str
    latency_timer_ms: int | None

    def __str__(self) -> str:
        timer = self.latency_timer_ms
        text = "" if timer is None else f", latency timer {timer} ms"
        return f"{self.source} ({self.adapter}{text})"


def serial_devices() -> list[SerialDevice]:
    """List the adapters that are plugged in, in the order of their names."""
    links = {link.resolve(): link for link in sorted(BY_ID.glob("*"))}
    found = []
    for port in sorted(comports(), key=lambda port: str(port.device)):
        path = Path(port.device)
        if path.name.startswith(ADAPTERS):
            adapter = " ".join(filter(None, (port.manufacturer, port.product))) or port.description
            accessible = os.access(path, os.R_OK | os.W_OK)
            source = links.get(path.resolve(), path)
            timer_ms = latency_timer_ms(path)
            found.append(SerialDevice(path, adapter, source, accessible, group_of(path), timer_ms))
    return found


def latency_timer_ms(port: Path, classes: Path = CLASSES) -> int | None:
    """Read an adapter's latency timer.

    Args:
        port: The device, or a link to it.
        classes: Folder in which the kernel describes terminals.

    Returns:
        The timer, ms; None where the adapter has none: only FTDI's have.
    """
    try:
        return int((classes / port.resolve().name / "device" / "latency_timer").read_text())
    except (OSError, ValueError, RuntimeError):
        return None


def group_of(path: Path) -> str:
    """Name the group that a device belongs to; dialout where that cannot be told."""
    try:
        return grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        return "dialout"


def join_group(group: str) -> str:
    """Say how this user gets access to the devices of a group."""
    return f"sudo usermod -aG {group} $USER, then log in again"


def lower_latency(port: Path) -> str:
    """Say how an adapter's latency timer is lowered."""
    name = port.resolve().name
    timer = f"/sys/bus/usb-serial/devices/{name}/latency_timer"
    return f"echo {LATENCY_TIMER_MS} | sudo tee {timer}"


def why_not_open(port: str, error: OSError | ValueError) -> str:
    """Say why a port cannot be opened, and what to do.

    Args:
        port: Its path.
        error: What opening it raised.
    """
    number = getattr(error, "errno", None)
    if number == errno.EACCES:
        return f"{port}: no access; {join_group(group_of(Path(port)))}"
    if number in (errno.EAGAIN, errno.EBUSY):
        return f"{port} is in use by another program; end that one"
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        there = ", ".join(map(str, serial_devices())) or "none"
        return f"{port} is not there; is the arm plugged in? Serial ports here: {there}"
    return f"{port}: {error}; is the arm plugged in, and is this its serial port?"


def slow_adapter(port: str, latency_s: float) -> str:
    """Say that an adapter keeps answers for longer than a driver waits for them; '' otherwise.

    Args:
        port: Path of the port.
        latency_s: How long the driver waits, s.
    """
    timer_ms = latency_timer_ms(Path(port))
    if timer_ms is None or timer_ms < latency_s * 1e3:
        return ""
    return (
        f"its adapter keeps answers for {timer_ms} ms (latency timer), and a packet counts as lost"
        f" after {latency_s * 1e3:g} ms: {lower_latency(Path(port))}"
    )
