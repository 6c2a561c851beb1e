"""A pseudo-terminal with servos behind it: real serial bytes, at the pace of the wire, and its
faults.
"""

import contextlib
import os
import pty
import random
import select
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
PROTOCOLS: dict[str, type[ServoProtocol]] = {
    "dynamixel_x": DynamixelProtocol,
    "feetech_sts": FeetechProtocol,
}


@dataclass
class LineFaults:
    """What goes wrong with status packets: the share (0 to 1) that has a bit flipped, is cut short,
    or comes late.

    `lost`: ids that do not answer at all; in a sync read nor do those that wait for them.
    """

    corrupt: float = 0.0
    partial: float = 0.0
    late: float = 0.0
    late_s: float = 0.02
    lost: list[int] = field(default_factory=list)


class VirtualBus:
    """The servos of a bus behind a pseudo-terminal, which a link at `path` leads to.

    >>> with VirtualBus(load_bus("wx250s_serial"), shaft_counts, Path("/tmp/servos")) as bus:
    ...     port = serial.Serial("/tmp/servos")
    """

    def __init__(
        self, config: BusConfig, shaft_counts: Sequence[float], path: Path, seed: int = 0
    ) -> None:
        self.config, self.path = config, path
        self.servos = {
            servo.id: SimulatedServo(config.table, servo.id, servo.model, counts)
            for servo, counts in zip(config.servos, shaft_counts, strict=True)
        }
        self.faults, self.packets = LineFaults(), 0
        self.told_s = 0.0  # steady time of the last sync write: goals are sent by these
        self.lock = threading.RLock()  # of the servos' registers and the faults
        self._protocol, self._random = PROTOCOLS[config.family](), random.Random(seed)
        self._byte_s, self._free_s = BITS_A_BYTE / config.baud, 0.0
        self._ends: tuple[int, int] | None = None
        self._wanted, self._ended = True, False
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
        """Pull the plug out, or put it in again; returns when that has happened."""
        with self._changed:
            self._wanted = plugged
            self._changed.wait_for(
                lambda: (self._ends is not None) == plugged or self._ended, timeout=2.0
            )

    def _open(self) -> None:
        master, slave = pty.openpty()
        tty.setraw(slave)
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        beside.unlink(missing_ok=True)
        beside.symlink_to(os.ttyname(slave))
        beside.replace(self.path)
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
                if (self._ends is not None) != self._wanted:
                    with self._changed:
                        self._open() if self._wanted else self._close()
                        self._changed.notify_all()
                    buffer.clear()
                if self._ends is None:
                    time.sleep(POLL_S / 10)
                    continue
                master = self._ends[0]
                if not select.select([master], [], [], POLL_S)[0]:
                    continue
                with contextlib.suppress(OSError):
                    buffer += os.read(master, 4096)
                for instruction in self._protocol.instructions(buffer):
                    self._free_s = (
                        max(self._free_s, time.monotonic()) + instruction.wire_bytes * self._byte_s
                    )
                    for packet in self._answers(instruction):
                        self._send(master, packet)
        finally:
            self._close()

    def _send(self, master: int, packet: bytes) -> None:
        """On the wire, a byte at a time: it is there when its last bit is. What goes wrong, goes
        wrong here.
        """
        faults, dice = self.faults, self._random
        self.packets += 1
        if dice.random() < faults.late:
            self._free_s += faults.late_s
        if dice.random() < faults.corrupt:
            spoilt = bytearray(packet)
            spoilt[dice.randrange(len(packet))] ^= 1 << dice.randrange(8)
            packet = bytes(spoilt)
        if dice.random() < faults.partial:
            packet = packet[: dice.randrange(len(packet))]
        self._free_s += len(packet) * self._byte_s
        ahead_s = self._free_s - time.monotonic()
        if ahead_s > 0:
            time.sleep(ahead_s)
        with contextlib.suppress(OSError):
            os.write(master, packet)

    # What the servos make of an instruction.

    def _answers(self, instruction: Instruction) -> Iterator[bytes]:
        if instruction.code == SYNC_READ and instruction.intact:
            yield from self._sync_read(instruction.parameters)
            return
        for servo_id in (
            self.servos if instruction.servo_id == BROADCAST else [instruction.servo_id]
        ):
            if servo_id not in self.servos or servo_id in self.faults.lost:
                continue
            with self.lock:
                answer = self._answer(self.servos[servo_id], instruction)
            if instruction.servo_id != BROADCAST or instruction.code == PING:
                yield answer

    def _answer(self, servo: SimulatedServo, instruction: Instruction) -> bytes:
        """One servo carries an instruction out; its status packet."""
        self._free_s += servo.get("return_delay") * RETURN_DELAY_UNIT_S
        parameters, data, error = instruction.parameters, b"", 0
        if not instruction.intact:
            error = CRC_ERROR
        elif instruction.code == PING:
            data = (
                servo.read(servo.family.register("model_number").address, 2) + b"\x2e"
                if self._ping_data()
                else b""
            )
        elif instruction.code == READ:
            data = servo.read(*self._place(parameters))
        elif instruction.code == WRITE:
            size = self._protocol.address_bytes
            error = servo.write(int.from_bytes(parameters[:size], "little"), parameters[size:])
        elif instruction.code == REBOOT:
            servo.reboot()
        elif instruction.code == SYNC_WRITE:
            self._sync_write(servo, parameters)
            self.told_s = time.monotonic()
        else:
            error = INSTRUCTION_ERROR
        return self._protocol.status(servo.servo_id, servo.error_byte(error), data)

    def _ping_data(self) -> bool:
        return self._protocol.ping_answer

    def _place(self, parameters: bytes) -> tuple[int, int]:
        size = self._protocol.address_bytes
        return int.from_bytes(parameters[:size], "little"), int.from_bytes(
            parameters[size : 2 * size], "little"
        )

    def _sync_read(self, parameters: bytes) -> Iterator[bytes]:
        place = self._place(parameters)
        for servo_id in parameters[2 * self._protocol.address_bytes :]:
            if servo_id not in self.servos or servo_id in self.faults.lost:
                return
            with self.lock:
                servo = self.servos[servo_id]
                self._free_s += servo.get("return_delay") * RETURN_DELAY_UNIT_S
                packet = self._protocol.status(servo_id, servo.error_byte(), servo.read(*place))
            yield packet

    def _sync_write(self, servo: SimulatedServo, parameters: bytes) -> None:
        address, length = self._place(parameters)
        rest = parameters[2 * self._protocol.address_bytes :]
        for start in range(0, len(rest), length + 1):
            if rest[start] == servo.servo_id:
                servo.write(address, rest[start + 1 : start + 1 + length])
