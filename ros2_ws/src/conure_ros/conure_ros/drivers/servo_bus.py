"""Read and write servo registers through the vendors' SDKs. Every packet is checked, retried and
counted.
"""

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dynamixel_sdk
import scservo_sdk

from conure_core.errors import RobotError
from conure_core.servos.bus_config import BusConfig
from conure_ros.drivers.port import SerialPort
from conure_ros.drivers.serial_devices import slow_adapter

SUCCESS = dynamixel_sdk.COMM_SUCCESS  # the same numbers in both SDKs
ALERT = 0x80  # Protocol 2.0: the servo has a hardware error
REBOOT = 0x08
STEP_BYTES = range(23, 31)
"""Lengths of answers that no other request has: they distinguish a late answer from the awaited
one.
"""


class ServoSilent(RobotError):
    """A servo did not answer, or sent no intact answer, after all retries."""


class ServoRefused(RobotError):
    """A servo answered that it refuses."""


class ServoBus(ABC):
    """One bus of servos. `retried` counts retried packets by servo id; `alerts` holds each servo's
    last hardware error bits.

    Every method may raise PortLost. Values are raw register values, see
    conure_core.servos.registers.
    """

    def __init__(self, config: BusConfig, port: SerialPort) -> None:
        self.config, self.table, self.port = config, config.table, port
        self.retried: Counter[int] = Counter()
        self.alerts: dict[int, int] = {}
        self._patience_s = 0.0
        self._out_of_step, self._step = False, 0
        self._handler = self._packet_handler()

    @abstractmethod
    def _packet_handler(self) -> Any: ...

    @abstractmethod
    def _request(self, address: int, length: int, ids: Sequence[int]) -> int:
        """Request a block of registers from these servos at once."""

    @abstractmethod
    def _hardware_error(self, error: int) -> int:
        """The part of a status packet's error byte that reports hardware errors."""

    @abstractmethod
    def reboot(self, servo_id: int) -> None:
        """Restart a servo. Its torque is off afterwards. Raises: ServoSilent."""

    def close(self) -> None:
        self.port.closePort()

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Within this context retry for at least `lost_s`, as the loop does over several cycles: no
        cycle is waiting.
        """
        before, self._patience_s = self._patience_s, self.config.lost_s
        try:
            yield
        finally:
            self._patience_s = before

    def _attempts(self) -> Iterator[int]:
        began_s, attempt = time.monotonic(), 0
        while attempt <= self.config.retries or time.monotonic() - began_s < self._patience_s:
            yield attempt
            attempt += 1

    def ping(self, servo_id: int) -> int:
        """The model number, read as a register: an SDK's own ping accepts any late answer. Raises:
        ServoSilent.
        """
        return self.read(servo_id, "model_number")

    def read(self, servo_id: int, name: str) -> int:
        """Read one register.

        Args:
            servo_id: The servo's id on the bus.
            name: Name of the register in the servo family's table.

        Returns:
            The raw register value.

        Raises:
            ServoSilent: No intact answer after all retries.
        """
        register = self.table.register(name)
        read = self._handler.readTxRx
        data = self._exchange_checked(
            servo_id,
            register.size,
            lambda: read(self.port, servo_id, register.address, register.size),
        )
        return register.decode(bytes(data))

    def write(self, servo_id: int, name: str, value: int) -> None:
        """Write one register, and wait for the confirmation.

        Args:
            servo_id: The servo's id on the bus.
            name: Name of the register in the servo family's table.
            value: The raw register value.

        Raises:
            ServoSilent: No intact answer after all retries.
            ServoRefused: The servo rejected the value.
        """
        register = self.table.register(name)
        data = list(register.encode(value))
        write = self._handler.writeTxRx
        self._exchange_checked(
            servo_id,
            0,
            lambda: (None, *write(self.port, servo_id, register.address, register.size, data)),
            f"write {value} to {name}",
        )

    def _exchange_checked(
        self,
        servo_id: int,
        length: int,
        exchange: Callable[[], tuple[Any, int, int]],
        what: str = "",
    ) -> Any:
        """The first intact answer of `length` bytes in `retries` + 1 attempts or more, see
        `patient`.

        An answer of another length belongs to an earlier question that was given up: it came late.
        """
        asked = False  # a late answer to the same question counts
        for attempt in self._attempts():
            self.retried[servo_id] += attempt > 0
            if self._out_of_step and not asked and not self._resynchronize(servo_id):
                self._recover()
                continue
            asked = True
            value, result, error = exchange()
            if result == SUCCESS and self._handler.data_length == length:
                self._note(servo_id, error)
                self._require_done(servo_id, error, what)
                return value
            self._recover()
        slow = slow_adapter(self.port.port_name, self.config.latency_s)
        raise ServoSilent(
            f"{self.config.label(servo_id)} does not answer on {self.port.port_name}"
            f" at {self.port.baudrate} bit/s; {slow or 'check its cable, power, id and baud rate'}"
        )

    def answers_at(self, servo_id: int, baud: int) -> bool:
        """Tell whether a servo answers at another baud rate: what is asked changes nothing in it.

        Args:
            servo_id: The servo's id on the bus.
            baud: The rate, bit/s.
        """
        register = self.table.register("model_number")
        try:
            with self.port.at_baud(baud):
                self.port.clearPort()
                _, result, _ = self._handler.readTxRx(
                    self.port, servo_id, register.address, register.size
                )
        finally:
            self._recover()
        return bool(result == SUCCESS and self._handler.data_length == register.size)

    def _resynchronize(self, servo_id: int) -> bool:
        """Whether an answer of a unique length came: all earlier questions are answered by then,
        and dropped.

        Otherwise a very late answer would be taken for that of the next question: one register's
        value for another's.
        """
        self._step = (self._step + 1) % len(STEP_BYTES)
        length, until_s = STEP_BYTES[self._step], time.monotonic() + self._patience_s
        self._handler.readTx(self.port, servo_id, 0, length)
        while True:
            self.port.setPacketTimeout(length)
            _, result, _ = self._handler.readRx(self.port, servo_id, length)
            self._out_of_step = not (result == SUCCESS and self._handler.data_length == length)
            if not self._out_of_step or time.monotonic() > until_s:
                return not self._out_of_step

    def _require_done(self, servo_id: int, error: int, what: str) -> None:
        refused = error & ~ALERT & ~self._hardware_error(error)
        if refused and what:
            raise ServoRefused(
                f"{self.config.label(servo_id)} refused to {what}:"
                f" {self._handler.getRxPacketError(error)}"
            )

    def _note(self, servo_id: int, error: int) -> None:
        self.alerts[servo_id] = self._hardware_error(error)

    def _recover(self) -> None:
        self.port.is_using = False  # the SDKs leave it set when an exchange fails
        self._out_of_step = True
        self.port.drain()

    def read_block(self, ends: tuple[str, str]) -> tuple[dict[int, bytes], list[int]]:
        """A block of registers of every servo, by sync read: the bytes by id, and the ids that
        stayed silent.

        Only missing answers are requested again, `retries` times or more, see `patient`.
        """
        address, length = self.table.block(ends)
        found: dict[int, bytes] = {}
        missing = list(self.config.ids)
        for attempt in self._attempts():
            self.retried.update(missing if attempt else ())
            if self._request(address, length, missing) == SUCCESS:
                self._collect(missing, length, found)
            missing = [servo_id for servo_id in missing if servo_id not in found]
            if not missing:
                break
            self._recover()
        return found, missing

    def _collect(self, ids: Sequence[int], length: int, found: dict[int, bytes]) -> None:
        """Answers come in the order of the ids. A corrupt one costs only itself; a silence ends
        them.
        """
        for servo_id in ids:
            data, result, error = self._handler.readRx(self.port, servo_id, length)
            if result == SUCCESS and self._handler.data_length == length:
                found[servo_id] = bytes(data)
                self._note(servo_id, error)
            elif self.port.isPacketTimeout():
                return

    def write_all(self, name: str, values: Mapping[int, int]) -> None:
        """Write one register of several servos by sync write. No servo confirms it.

        Args:
            name: Name of the register in the servo family's table.
            values: Raw register value by servo id.
        """
        register = self.table.register(name)
        flat = [
            byte
            for servo_id, value in values.items()
            for byte in (servo_id, *register.encode(value))
        ]
        self._handler.syncWriteTxOnly(self.port, register.address, register.size, flat, len(flat))


class _DynamixelHandler(dynamixel_sdk.Protocol2PacketHandler):
    """dynamixel-sdk 4.1.0 computes the stuffed packet but sends the unstuffed one; in removal it
    reads what it overwrites.

    Neither SDK checks that a status packet holds the requested length; `data_length` is that of the
    last one.
    """

    data_length = 0

    def rxPacket(self, port: SerialPort, fast_option: bool) -> tuple[list[int], int]:
        packet, result = super().rxPacket(port, fast_option)
        self.data_length = packet[5] + (packet[6] << 8) - 4 if result == SUCCESS else 0
        return packet, result

    def addStuffing(self, packet: list[int]) -> list[int]:
        body = bytes(packet[7:-2]).replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")
        packet[5:] = [*(len(body) + 2).to_bytes(2, "little"), *body, 0, 0]
        return packet

    def removeStuffing(self, packet: list[int]) -> list[int]:
        body = bytes(packet[7:-2]).replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")
        packet[5:] = [*(len(body) + 2).to_bytes(2, "little"), *body, *packet[-2:]]
        return packet


class DynamixelBus(ServoBus):
    """Protocol 2.0 by `dynamixel-sdk`."""

    def _packet_handler(self) -> Any:
        return _DynamixelHandler()

    def _request(self, address: int, length: int, ids: Sequence[int]) -> int:
        return int(self._handler.syncReadTx(self.port, address, length, list(ids), len(ids), False))

    def _hardware_error(self, error: int) -> int:
        return error & ALERT

    def reboot(self, servo_id: int) -> None:
        self._exchange_checked(
            servo_id, 0, lambda: (None, *self._handler.reboot(self.port, servo_id)), "reboot"
        )


class _FeetechHandler(scservo_sdk.protocol_packet_handler):
    """As above. SCS_END is global in the SDK; 0 means STS: the lowest byte first."""

    data_length = 0

    def rxPacket(self, port: SerialPort) -> tuple[list[int], int]:
        packet, result = super().rxPacket(port)
        self.data_length = packet[3] - 2 if result == SUCCESS else 0
        return packet, result


class FeetechBus(ServoBus):
    """The STS protocol by `feetech-servo-sdk`. Its error byte holds hardware errors only."""

    def _packet_handler(self) -> Any:
        scservo_sdk.SCS_SETEND(0)
        return _FeetechHandler()

    def _request(self, address: int, length: int, ids: Sequence[int]) -> int:
        return int(self._handler.syncReadTx(self.port, address, length, list(ids), len(ids)))

    def _hardware_error(self, error: int) -> int:
        return error

    def reboot(self, servo_id: int) -> None:
        packet = [0, 0, servo_id, 2, REBOOT, 0]  # the SDK has no function for it
        self._exchange_checked(
            servo_id, 0, lambda: self._handler.txRxPacket(self.port, list(packet)), "reboot"
        )


BUSES: dict[str, type[ServoBus]] = {"dynamixel_x": DynamixelBus, "feetech_sts": FeetechBus}


def open_bus(config: BusConfig, port: str) -> ServoBus:
    """Open the bus at a serial port.

    Args:
        config: Servo family, ids, baud rate and latency.
        port: Path of the serial port.

    Raises:
        PortLost: The port cannot be opened.
    """
    return BUSES[config.family](config, SerialPort(port, config.baud, config.latency_s))
