"""The servos' bus, fed byte by byte: what a spoilt packet may and may not do."""

import os
import pty
import tty
from collections.abc import Iterator
from dataclasses import replace

import pytest

from conure_core.servos.bus_config import load_bus
from conure_ros.drivers.servo_bus import SUCCESS, open_bus
from conure_sim.servos.protocols import DynamixelProtocol, FeetechProtocol

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
def test_whatever_bit_of_an_answer_flips_the_answer_is_refused_and_the_next_one_is_taken(line, protocol):
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
