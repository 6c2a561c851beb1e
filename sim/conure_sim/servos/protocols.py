"""The servos' side of two serial protocols: parse instruction packets, build status packets.

Sources: ROBOTIS e-Manual, DYNAMIXEL Protocol 2.0; Feetech, communication protocol manual of SCS and
STS servos.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

PING = 0x01
READ = 0x02
WRITE = 0x03
REBOOT = 0x08
SYNC_READ = 0x82
SYNC_WRITE = 0x83
BROADCAST = 0xFE
STATUS = 0x55
HEADER = b"\xff\xff\xfd\x00"
CRC_POLYNOMIAL = 0x8005


@dataclass(frozen=True)
class Instruction:
    """One instruction packet."""

    servo_id: int
    """BROADCAST: all."""
    code: int
    """PING, READ, ..."""
    parameters: bytes
    wire_bytes: int
    """Its length on the wire."""
    intact: bool = True
    """Whether its checksum is right."""


class ServoProtocol(Protocol):
    """The packets of a family of servos."""

    address_bytes: int
    """Size of an address, and of a length, in an instruction."""
    ping_answer: bool
    """Whether the answer to a ping holds the model number."""

    def instructions(self, buffer: bytearray) -> Iterator[Instruction]:
        """Take every whole packet from the front of the buffer, and drop noise before a header."""
        ...

    def status(
        self,
        servo_id: int,
        error: int,
        data: bytes,
    ) -> bytes:
        """Build a status packet.

        Args:
            servo_id: Who answers.
            error: Error byte, 0 for none.
            data: What was read.

        Returns:
            The bytes on the wire.
        """
        ...


def crc16(data: bytes) -> int:
    """CRC-16 with polynomial x^16 + x^15 + x^2 + 1, from 0, highest bit first."""
    crc = 0
    for byte in data:
        index = (crc >> 8) ^ byte
        crc = ((crc << 8) & 0xFFFF) ^ CRC_TABLE[index]
    return crc


def _crc_of_byte(byte: int) -> int:
    crc = byte << 8
    for _ in range(8):
        polynomial = CRC_POLYNOMIAL if crc & 0x8000 else 0
        crc = ((crc << 1) ^ polynomial) & 0xFFFF
    return crc


CRC_TABLE = [_crc_of_byte(byte) for byte in range(256)]


class DynamixelProtocol:
    """FF FF FD 00, id, length (2), instruction, parameters, CRC (2). FF FF FD after the length is
    stuffed with another FD.
    """

    address_bytes = 2
    ping_answer = True

    def instructions(self, buffer: bytearray) -> Iterator[Instruction]:
        while True:
            start = buffer.find(HEADER)
            if start < 0:
                del buffer[: max(0, len(buffer) - len(HEADER) + 1)]
                return
            del buffer[:start]
            if len(buffer) < 7:
                return
            total = 7 + int.from_bytes(buffer[5:7], "little")
            if total < 10:
                del buffer[:4]
                continue
            if len(buffer) < total:
                return
            packet = bytes(buffer[:total])
            del buffer[:total]
            intact = crc16(packet[:-2]) == int.from_bytes(packet[-2:], "little")
            body = packet[7:-2].replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")
            yield Instruction(packet[4], body[0], body[1:], total, intact)

    def status(
        self,
        servo_id: int,
        error: int,
        data: bytes,
    ) -> bytes:
        body = bytes([STATUS, error]) + data
        body = body.replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")
        length = (len(body) + 2).to_bytes(2, "little")
        packet = HEADER + bytes([servo_id]) + length + body
        return packet + crc16(packet).to_bytes(2, "little")


class FeetechProtocol:
    """FF FF, id, length, instruction, parameters, checksum: the complement of the sum of all bytes
    after the header.
    """

    address_bytes = 1
    ping_answer = False

    def instructions(self, buffer: bytearray) -> Iterator[Instruction]:
        while True:
            start = buffer.find(b"\xff\xff")
            if start < 0:
                del buffer[: max(0, len(buffer) - 1)]
                return
            del buffer[:start]
            if len(buffer) < 4:
                return
            total = 4 + buffer[3]
            if buffer[2] == 0xFF or total < 6:
                del buffer[:1]
                continue
            if len(buffer) < total:
                return
            packet = bytes(buffer[:total])
            del buffer[:total]
            intact = _complement(packet[2:-1]) == packet[-1]
            yield Instruction(packet[2], packet[4], packet[5:-1], total, intact)

    def status(
        self,
        servo_id: int,
        error: int,
        data: bytes,
    ) -> bytes:
        body = bytes([servo_id, len(data) + 2, error]) + data
        return b"\xff\xff" + body + bytes([_complement(body)])


def _complement(data: bytes) -> int:
    return ~sum(data) & 0xFF
