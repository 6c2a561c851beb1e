"""The serial port under both vendors' SDKs."""

import contextlib
import os
import select
import termios
import time
from collections.abc import Iterator

import serial
from dynamixel_sdk import PortHandler

from conure_core.errors import RobotError
from conure_ros.drivers.serial_devices import why_not_open

DRAIN_S = 0.001
DRAINED_S = 0.05
"""Longest time to drop input. A line with endless noise is like one that does not answer.
"""
WRITE_S = 0.1
"""How long a packet may take to leave, beyond its time on the wire. A port that accepts nothing is
lost.
"""
PACKETS_BYTES = 4096
"""More than all servos of a bus send in answer to one instruction."""


class PortLost(RobotError):
    """The serial port is missing or was lost."""


class SerialPort(PortHandler):
    """A port handler for both SDKs. It waits without spinning, times out on a steady clock, and
    drops stale input.

    The SDKs' own handlers poll the port without waiting, which takes a whole core. Feetech's does
    not clear its input: a late answer would be taken for the next one. `latency_s` is the silence,
    beyond the bytes' time on the wire, after which a packet counts as lost.
    """

    def __init__(self, path: str, baud: int, latency_s: float) -> None:
        """Raises: PortLost if the port cannot be opened."""
        super().__init__(path)
        self._latency_s, self._deadline_s, self._taken = latency_s, 0.0, 0
        try:
            self.ser = serial.Serial(path, baud, timeout=0, exclusive=True)
        except (OSError, ValueError) as error:
            raise PortLost(why_not_open(path, error)) from error
        self.is_open = True
        self._note_baud(baud)

    def _note_baud(self, baud: int) -> None:
        self.baudrate, self.tx_time_per_byte = baud, 1e4 / baud

    @contextlib.contextmanager
    def at_baud(self, baud: int) -> Iterator[None]:
        """Within this context talk at another rate, bit/s. Raises: PortLost where the adapter
        refuses it.
        """
        before = self.baudrate
        try:
            self._set_baud(baud)
            yield
        finally:
            self._set_baud(before)

    def _set_baud(self, baud: int) -> None:
        try:
            self.ser.baudrate = baud
        except (OSError, ValueError, termios.error) as error:
            raise PortLost(f"{self.port_name} does not take {baud} bit/s: {error}") from error
        self._note_baud(baud)

    def setPacketTimeout(self, packet_length: int) -> None:
        self.setPacketTimeoutMillis((packet_length * 10 / self.baudrate + self._latency_s) * 1e3)

    def setPacketTimeoutMillis(self, msec: float) -> None:
        self._deadline_s, self._taken = time.monotonic() + msec / 1e3, 0

    def isPacketTimeout(self) -> bool:
        return time.monotonic() > self._deadline_s

    def readPort(self, length: int) -> bytes:
        """Read up to `length` bytes; wait for the first until the packet's deadline. Raises:
        PortLost when the port is unplugged.

        The SDKs ask for a negative length after a packet with a corrupt length, and notice by its
        checksum. They search for a packet's head as long as bytes come, so endless noise is cut
        off.
        """
        if length <= 0 or self._taken > PACKETS_BYTES:
            return b""
        data = self._read(length, max(0.0, self._deadline_s - time.monotonic()))
        self._taken += len(data)
        return data

    def _read(self, length: int, wait_s: float) -> bytes:
        try:
            if not select.select([self.ser.fd], [], [], wait_s)[0]:
                return b""
            data = os.read(self.ser.fd, length)
        except (OSError, TypeError, ValueError) as error:
            raise PortLost(f"{self.port_name}: {error}") from error
        if not data:
            raise PortLost(f"{self.port_name}: unplugged")
        return data

    def writePort(self, packet: list[int]) -> int:
        """Send a packet. Raises: PortLost, also if the port accepts no bytes: an adapter may
        hang.
        """
        data, until_s = (
            bytes(packet),
            time.monotonic() + WRITE_S + len(packet) * self.tx_time_per_byte / 1e3,
        )
        while True:
            data = data[self._write(data) :]
            if not data:
                return len(packet)
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise PortLost(
                    f"{self.port_name} accepts no more bytes; unplug the adapter and plug it in"
                    " again"
                )
            select.select([], [self.ser.fd], [], left_s)

    def _write(self, data: bytes) -> int:
        try:
            return os.write(self.ser.fd, data)
        except BlockingIOError:
            return 0
        except (OSError, TypeError) as error:
            raise PortLost(f"{self.port_name}: {error}") from error

    def clearPort(self) -> None:
        """Drop all pending input."""
        self._drop(0.0)

    def drain(self) -> None:
        """Drop input until the line is quiet: the rest of an exchange that failed.

        After a time-out the answer may still be on its way. Taken for the next answer, it would
        shift all later ones by one.
        """
        self._drop(self._latency_s if self.isPacketTimeout() else DRAIN_S)

    def _drop(self, quiet_s: float) -> None:
        until_s = time.monotonic() + DRAINED_S
        while self._read(PACKETS_BYTES, quiet_s) and time.monotonic() < until_s:
            pass

    def closePort(self) -> None:
        self.is_open = False
        with contextlib.suppress(OSError, termios.error):
            # Otherwise the kernel waits up to half a minute until it is sent.
            self.ser.reset_output_buffer()
        self.ser.close()
