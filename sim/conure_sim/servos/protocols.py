"""The servos' side of two serial protocols: instruction packets in, status packets out. Pure.

Sources: ROBOTIS e-Manual, DYNAMIXEL Protocol 2.0; Feetech, communication protocol manual of SCS and
STS servos.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

PING, READ, WRITE, REBOOT, SYNC_READ, SYNC_WRITE = 0x01, 0x02, 0x03, 0x08, 0x82, 0x83
BROADCAST = 0xFE
STATUS = 0x55
HEADER = b"\xff\xff\xfd\x00"
CRC_POLYNOMIAL = 0x8005


@dataclass(frozen=True)
class Instruction:
    """One instruction packet; `intact`: its checksum was right. `wire_bytes`: its length on the
    wire.
    """

    servo_id: int
    code: int
    parameters: bytes
    wire_bytes: int
    intact: bool = True


class ServoProtocol(Protocol):
    """`address_bytes`: size of an address, and of a length, in an instruction. `ping_answer`: the
    model is in it.
    """

    address_bytes: int
    ping_answer: bool

    def instructions(self, buffer: bytearray) -> Iterator[Instruction]:
        """Every whole packet at the front of the buffer, taken out of it; noise before a header is
        dropped.
        """
        ...

    def status(self, servo_id: int, error: int, data: bytes) -> bytes:
        """A status packet."""
        ...


def crc16(data: bytes) -> int:
    """CRC-16 with polynomial x^16 + x^15 + x^2 + 1, from 0, highest bit first."""
    crc = 0
    for byte in data:
        crc = ((crc << 8) & 0xFFFF) ^ CRC_TABLE[(crc >> 8) ^ byte]
    return crc


def _crc_of_byte(byte: int) -> int:
    crc = byte << 8
    for _ in range(8):
        crc = ((crc << 1) ^ (CRC_POLYNOMIAL if crc & 0x8000 else 0)) & 0xFFFF
    return crc


CRC_TABLE = [_crc_of_byte(byte) for byte in range(256)]


class DynamixelProtocol:
    """FF FF FD 00, id, length (2), instruction, parameters, CRC (2); FF FF FD after the length is
    stuffed with FD.
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

    def status(self, servo_id: int, error: int, data: bytes) -> bytes:
        body = (bytes([STATUS, error]) + data).replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")
        packet = HEADER + bytes([servo_id]) + (len(body) + 2).to_bytes(2, "little") + body
        return packet + crc16(packet).to_bytes(2, "little")


class FeetechProtocol:
    """FF FF, id, length, instruction, parameters, checksum: the complement of the sum of all behind
    the header.
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

    def status(self, servo_id: int, error: int, data: bytes) -> bytes:
        body = bytes([servo_id, len(data) + 2, error]) + data
        return b"\xff\xff" + body + bytes([_complement(body)])


def _complement(data: bytes) -> int:
    return ~sum(data) & 0xFF
