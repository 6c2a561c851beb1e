"""A pseudo-terminal with servos behind it: serial bytes at the pace of the wire, and its faults."""

import contextlib
import os
import pty
import random
import select
import termios
import threading
import time
import tty
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conure_core.servos.bus_config import BusConfig
from conure_sim.servos.protocols import (
    BROADCAST,
    PING,
    READ,
    REBOOT,
    SYNC_READ,
    SYNC_WRITE,
    WRITE,
    DynamixelProtocol,
    FeetechProtocol,
    Instruction,
    ServoProtocol,
)
from conure_sim.servos.servo import CRC_ERROR, INSTRUCTION_ERROR, SimulatedServo

BITS_A_BYTE = 10
RETURN_DELAY_UNIT_S = 2e-6
POLL_S = 0.05
SPEED = 5
RATES = {
    getattr(termios, name): int(name[1:])
    for name in dir(termios)
    if name[0] == "B" and name[1:].isdigit()
}
"""Rates, bit/s, by their codes in the kernel."""
FIRMWARE = b"\x2e"
PROTOCOLS: dict[str, type[ServoProtocol]] = {
    "dynamixel_x": DynamixelProtocol,
    "feetech_sts": FeetechProtocol,
}


@dataclass
class LineFaults:
    """Faults of status packets."""

    corrupt: float = 0.0
    """Share with a flipped bit, 0 to 1."""
    partial: float = 0.0
    """Share that is cut short, 0 to 1."""
    late: float = 0.0
    """Share that is late, 0 to 1."""
    late_s: float = 0.02
    """The delay of a late one."""
    lost: list[int] = field(default_factory=list)
    """Ids that do not answer; in a sync read those after them do not either."""


def _speed(terminal: int) -> int:
    """The rate, bit/s, that the other end of a pseudo-terminal is set to."""
    code = termios.tcgetattr(terminal)[SPEED]
    return RATES.get(code, 0)


class VirtualBus:
    """The servos of a bus behind a pseudo-terminal, which a link at `path` leads to.

    >>> with VirtualBus(load_bus("wx250s_serial"), shaft_counts, Path("/tmp/servos")) as bus:
    ...     port = serial.Serial("/tmp/servos")
    """

    def __init__(
        self, config: BusConfig, shaft_counts: Sequence[float], path: Path, seed: int = 0
    ) -> None:
        self.config = config
        self.path = path
        self.servos = {
            servo.id: SimulatedServo(config.table, servo.id, config.model(servo).number, counts)
            for servo, counts in zip(config.servos, shaft_counts, strict=True)
        }
        self.faults = LineFaults()
        self.baud = config.baud
        """What the servos are set to, bit/s: they hear no other rate."""
        self.packets = 0
        self.last_goal_s = 0.0  # steady time of the last sync write: goals are sent by these
        self.lock = threading.RLock()  # of the servos' registers and the faults
        self._protocol = PROTOCOLS[config.family]()
        self._random = random.Random(seed)
        self._byte_s = BITS_A_BYTE / config.baud
        self._free_s = 0.0
        self._ends: tuple[int, int] | None = None
        self._plugged = True
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._serve, name="servo bus", daemon=True)

    def __enter__(self) -> "VirtualBus":
        self._open()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    def plug(self, plugged: bool) -> None:
        """Unplug the bus (False) or plug it in (True); return when that has happened."""
        with self._changed:
            self._plugged = plugged
            self._changed.wait_for(
                lambda: (self._ends is not None) == plugged or self._ended, timeout=2.0
            )

    def _open(self) -> None:
        master, slave = pty.openpty()
        tty.setraw(slave)
        link = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(slave))
        link.replace(self.path)
        self._ends = master, slave

    def _close(self) -> None:
        if self._ends is None:
            return
        for end in self._ends:
            os.close(end)
        self._ends = None
        self.path.unlink(missing_ok=True)

    def _serve(self) -> None:
        buffer = bytearray()
        try:
            while not self._ended:
                if (self._ends is not None) != self._plugged:
                    self._plug_or_unplug()
                    buffer.clear()
                if self._ends is None:
                    time.sleep(POLL_S / 10)
                    continue
                master, _ = self._ends
                readable, _, _ = select.select([master], [], [], POLL_S)
                if not readable:
                    continue
                with contextlib.suppress(OSError):
                    buffer += os.read(master, 4096)
                if _speed(master) != self.baud:
                    buffer.clear()  # noise to servos that listen at another rate
                self._answer_all(master, buffer)
        finally:
            self._close()

    def _plug_or_unplug(self) -> None:
        with self._changed:
            self._open() if self._plugged else self._close()
            self._changed.notify_all()

    def _answer_all(self, master: int, buffer: bytearray) -> None:
        """Answer every whole instruction in the buffer, after its time on the wire."""
        for instruction in self._protocol.instructions(buffer):
            start_s = max(self._free_s, time.monotonic())
            self._free_s = start_s + instruction.wire_bytes * self._byte_s
            for packet in self._answers(instruction):
                self._send(master, packet)

    def _send(self, master: int, packet: bytes) -> None:
        """Send a packet with its faults; it arrives when its last byte has crossed the wire."""
        faults = self.faults
        dice = self._random
        self.packets += 1
        if dice.random() < faults.late:
            self._free_s += faults.late_s
        if dice.random() < faults.corrupt:
            corrupted = bytearray(packet)
            position = dice.randrange(len(packet))
            corrupted[position] ^= 1 << dice.randrange(8)
            packet = bytes(corrupted)
        if dice.random() < faults.partial:
            packet = packet[: dice.randrange(len(packet))]

        self._free_s += len(packet) * self._byte_s
        ahead_s = self._free_s - time.monotonic()
        if ahead_s > 0:
            time.sleep(ahead_s)
        with contextlib.suppress(OSError):
            os.write(master, packet)

    # How the servos carry out an instruction.

    def _answers(self, instruction: Instruction) -> Iterator[bytes]:
        if instruction.code == SYNC_READ and instruction.intact:
            yield from self._sync_read(instruction.parameters)
            return
        to_all = instruction.servo_id == BROADCAST
        for servo_id in self.servos if to_all else [instruction.servo_id]:
            if servo_id not in self.servos or servo_id in self.faults.lost:
                continue
            with self.lock:
                answer = self._answer(self.servos[servo_id], instruction)
            if not to_all or instruction.code == PING:
                yield answer

    def _answer(self, servo: SimulatedServo, instruction: Instruction) -> bytes:
        """Let one servo carry out an instruction; its status packet."""
        self._free_s += servo.get("return_delay") * RETURN_DELAY_UNIT_S
        parameters = instruction.parameters
        data = b""
        error = 0
        if not instruction.intact:
            error = CRC_ERROR
        elif instruction.code == PING:
            data = self._ping_data(servo)
        elif instruction.code == READ:
            data = servo.read(*self._address_and_length(parameters))
        elif instruction.code == WRITE:
            size = self._protocol.address_bytes
            address = int.from_bytes(parameters[:size], "little")
            error = servo.write(address, parameters[size:])
        elif instruction.code == REBOOT:
            servo.reboot()
        elif instruction.code == SYNC_WRITE:
            self._sync_write(servo, parameters)
            self.last_goal_s = time.monotonic()
        else:
            error = INSTRUCTION_ERROR
        return self._protocol.status(servo.servo_id, servo.error_byte(error), data)

    def _ping_data(self, servo: SimulatedServo) -> bytes:
        if not self._protocol.ping_answer:
            return b""
        address = servo.family.register("model_number").address
        return servo.read(address, 2) + FIRMWARE

    def _address_and_length(self, parameters: bytes) -> tuple[int, int]:
        size = self._protocol.address_bytes
        address = int.from_bytes(parameters[:size], "little")
        length = int.from_bytes(parameters[size : 2 * size], "little")
        return address, length

    def _sync_read(self, parameters: bytes) -> Iterator[bytes]:
        address, length = self._address_and_length(parameters)
        for servo_id in parameters[2 * self._protocol.address_bytes :]:
            if servo_id not in self.servos or servo_id in self.faults.lost:
                return
            with self.lock:
                servo = self.servos[servo_id]
                self._free_s += servo.get("return_delay") * RETURN_DELAY_UNIT_S
                data = servo.read(address, length)
                packet = self._protocol.status(servo_id, servo.error_byte(), data)
            yield packet

    def _sync_write(self, servo: SimulatedServo, parameters: bytes) -> None:
        address, length = self._address_and_length(parameters)
        rest = parameters[2 * self._protocol.address_bytes :]
        for start in range(0, len(rest), length + 1):
            if rest[start] == servo.servo_id:
                servo.write(address, rest[start + 1 : start + 1 + length])
