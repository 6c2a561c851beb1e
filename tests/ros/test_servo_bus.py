"""The servos' bus, fed byte by byte: what a spoilt packet may and may not do."""

import os
import pty
import random
import select
import threading
import time
import tty
from collections.abc import Iterator
from dataclasses import replace

import pytest

from conure_core.servos.bus_config import load_bus
from conure_ros.drivers.port import PortLost
from conure_ros.drivers.servo_bus import SUCCESS, ServoSilent, open_bus
from conure_sim.servos.protocols import DynamixelProtocol, FeetechProtocol

pytestmark = pytest.mark.nodes
SERVO, DATA = 1, bytes([12, 0, 255, 253])


@pytest.fixture
def line(request) -> Iterator:
    """The bus of a robot, and the other end of its line."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    bus = open_bus(replace(load_bus(request.param), latency_s=0.005), os.ttyname(slave))
    yield bus, master
    bus.close()
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize(
    ("line", "protocol"),
    [("wx250s_serial", DynamixelProtocol()), ("so101_serial", FeetechProtocol())],
    ids=["dynamixel", "feetech"],
    indirect=["line"],
)
def test_whatever_bit_of_an_answer_flips_the_answer_is_refused_and_the_next_one_is_taken(
    line, protocol
):
    bus, master = line
    intact = protocol.status(SERVO, 0, DATA)

    def answer(packet):
        os.write(master, packet)
        bus.port.setPacketTimeout(len(packet))
        found, result, _ = bus._handler.readRx(bus.port, SERVO, len(DATA))
        return bytes(found) if result == SUCCESS and bus._handler.data_length == len(DATA) else None

    for bit in range(8 * len(intact)):
        spoilt = bytearray(intact)
        spoilt[bit // 8] ^= 1 << bit % 8
        assert answer(spoilt) is None, f"bit {bit}"
        bus._recover()
        assert answer(intact) == DATA, f"after bit {bit}"


@pytest.fixture
def hurried() -> Iterator:
    """A bus in a hurry, and the other end of its line, where no servo is."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    bus = open_bus(replace(load_bus("wx250s_serial"), latency_s=0.005), os.ttyname(slave))
    yield bus, master
    bus.close()
    os.close(master)
    os.close(slave)


def test_noise_without_end_is_a_servo_that_does_not_answer(hurried):
    bus, master = hurried
    ended, noise = threading.Event(), bytes(random.Random(0).randrange(256) for _ in range(4096))

    def babble():
        while not ended.is_set():
            if select.select([], [master], [], 0.01)[1]:
                os.write(master, noise[:256])

    thread = threading.Thread(target=babble)
    thread.start()
    try:
        began_s = time.monotonic()
        with pytest.raises(ServoSilent, match=r"waist \(servo 1\) does not answer"):
            bus.read(SERVO, "present_position")
        assert time.monotonic() - began_s < 2.0
    finally:
        ended.set()
        thread.join()


def test_a_port_that_takes_nothing_more_is_lost_soon(hurried):
    """Nobody reads: the line's buffer fills, as that of an adapter that hangs."""
    bus, _ = hurried
    began_s, sent = time.monotonic(), 0
    with pytest.raises(PortLost, match="accepts no more bytes"):
        while True:
            bus.write_all("goal_position", dict.fromkeys(bus.config.ids, 2048))
            sent, began_s = sent + 1, time.monotonic()
    assert sent > 10
    assert time.monotonic() - began_s < 0.5


def test_a_second_driver_of_a_port_is_refused_whatever_name_it_uses(hurried, tmp_path):
    bus, _ = hurried
    (tmp_path / "by-id").symlink_to(bus.port.ser.port)
    for path in (bus.port.ser.port, str(tmp_path / "by-id")):
        with pytest.raises(PortLost, match=f"{path} is in use by another program; end that one"):
            open_bus(bus.config, path)


REGISTERS = {64: bytes([1]), 11: bytes([4])}  # torque_enable, operating_mode


LATE = 4


def servo_that_answers_late(master, ended, late_s):
    """Its first answers come so much later than their questions, in order; then it is prompt."""
    protocol, waiting, came, asked = DynamixelProtocol(), [], b"", 0
    while not ended.is_set():
        if select.select([master], [], [], 0.001)[0]:
            came += os.read(master, 4096)
            while (start := came.find(b"\xff\xff\xfd\x00")) >= 0 and len(came) >= start + 7:
                end = start + 7 + int.from_bytes(came[start + 5 : start + 7], "little")
                packet, came = came[start:end], came[end:]
                address, length = (int.from_bytes(packet[at : at + 2], "little") for at in (8, 10))
                answer = protocol.status(SERVO, 0, REGISTERS.get(address, bytes(length)))
                asked += 1
                waiting.append((time.monotonic() + (late_s if asked <= LATE else 0.0), answer))
        while waiting and waiting[0][0] <= time.monotonic():
            os.write(master, waiting.pop(0)[1])


@pytest.mark.parametrize("late_s", [0.02, 0.04, 0.06])
def test_an_answer_that_comes_later_than_any_wait_is_never_taken_for_another_registers(
    hurried, late_s
):
    bus, master = hurried
    ended = threading.Event()
    thread = threading.Thread(target=servo_that_answers_late, args=(master, ended, late_s))
    thread.start()
    read = 0
    try:
        with bus.patient():
            for name, value in (
                ("torque_enable", 1),
                ("operating_mode", 4),
                ("torque_enable", 1),
            ) * 3:
                try:
                    assert bus.read(SERVO, name) == value, name
                    read += 1
                except ServoSilent:
                    continue
    finally:
        ended.set()
        thread.join()
    assert read > 5, "one that is prompt again is heard again"
