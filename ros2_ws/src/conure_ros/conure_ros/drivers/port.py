"""The serial port under both vendors' SDKs."""

import os
import select
import time

import serial
from dynamixel_sdk import PortHandler

from conure_core.errors import RobotError

DRAIN_S = 0.001


class PortLost(RobotError):
    """The serial port is not there, or is there no more."""


class SerialPort(PortHandler):
    """An SDK's port handler that waits without spinning, times out on a steady clock, and drops stale input.

    The SDKs' own handlers poll a port without waiting, which takes a whole core; Feetech's does not clear its input, so
    that an answer that came late would be taken for the next one. `latency_s`: silence, beyond the time that the bytes
    take on the wire, after which a packet counts as lost.
    """

    def __init__(self, path: str, baud: int, latency_s: float) -> None:
        """Raises: PortLost if the port cannot be opened."""
        super().__init__(path)
        self.baudrate, self._latency_s, self._deadline_s = baud, latency_s, 0.0
        try:
            self.ser = serial.Serial(path, baud, timeout=0, exclusive=True)
        except (OSError, ValueError) as error:
            raise PortLost(f"{path}: {error}; is the arm plugged in, and may this user open the port?") from error
        self.is_open, self.tx_time_per_byte = True, 1e4 / baud

    def setPacketTimeout(self, packet_length: int) -> None:
        self._deadline_s = time.monotonic() + packet_length * 10 / self.baudrate + self._latency_s

    def setPacketTimeoutMillis(self, msec: float) -> None:
        self._deadline_s = time.monotonic() + msec / 1e3

    def isPacketTimeout(self) -> bool:
        return time.monotonic() > self._deadline_s

    def readPort(self, length: int) -> bytes:
        """Up to `length` bytes; waits for the first until the packet's deadline. Raises: PortLost at its end.

        The SDKs ask for less than nothing after a packet whose length came spoilt, and see by its checksum that it did.
        """
        if length <= 0:
            return b""
        return self._read(length, max(0.0, self._deadline_s - time.monotonic()))

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
        try:
            return int(self.ser.write(bytes(packet)) or 0)
        except OSError as error:  # serial.SerialException is one
            raise PortLost(f"{self.port_name}: {error}") from error

    def clearPort(self) -> None:
        """Drop what has come in so far."""
        while self._read(4096, 0.0):
            pass

    def drain(self) -> None:
        """Drop what still comes, until the line is quiet: the rest of an exchange that went wrong.

        After a time-out the answer may be on its way; taken for the next one, it would put all that follow off by one.
        """
        quiet_s = self._latency_s if self.isPacketTimeout() else DRAIN_S
        while self._read(4096, quiet_s):
            pass

    def closePort(self) -> None:
        self.is_open = False
        self.ser.close()
