"""Control tables of two servo families: where a value lies, how it is written, what its unit is.

Sources: ROBOTIS e-Manual, control tables of the X series (Protocol 2.0); Feetech,
STS3215 memory table.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from conure_core.errors import ConfigError, unknown_name

RPM = 2 * math.pi / 60


@dataclass(frozen=True)
class Register:
    """`size` bytes from `address` on, the lowest first.

    `sign_bit`: None for unsigned, "two" for two's complement, else the bit that says minus beside a
    magnitude. `eeprom`: kept without power, and writable only while the torque is off. `takes`:
    lowest and highest value that the servo takes; None: all that the bytes hold.
    """

    address: int
    size: int
    sign_bit: int | Literal["two"] | None = None
    eeprom: bool = False
    takes: tuple[int, int] | None = None

    @property
    def holds(self) -> tuple[int, int]:
        """Lowest and highest value that the bytes hold."""
        if self.sign_bit is None:
            return 0, (1 << 8 * self.size) - 1
        if self.sign_bit == "two":
            highest = (1 << (8 * self.size - 1)) - 1
            return -highest - 1, highest
        highest = (1 << self.sign_bit) - 1
        return -highest, highest

    def encode(self, value: int) -> bytes:
        """Encode a value as `size` bytes, the lowest first.

        Raises:
            ConfigError: The value does not fit; names the range.
        """
        lowest, highest = self.holds
        if not lowest <= value <= highest:
            raise ConfigError(
                f"the register at {self.address} takes {lowest} to {highest}, got {value}"
            )
        raw = value
        if self.sign_bit == "two":
            raw = value & ((1 << 8 * self.size) - 1)
        elif self.sign_bit is not None and value < 0:
            raw = -value | 1 << self.sign_bit
        return raw.to_bytes(self.size, "little")

    def decode(self, data: bytes | bytearray) -> int:
        """Decode the value of `size` bytes."""
        raw = int.from_bytes(data, "little", signed=self.sign_bit == "two")
        if isinstance(self.sign_bit, int) and raw & 1 << self.sign_bit:
            return -(raw & ~(1 << self.sign_bit))
        return raw


@dataclass(frozen=True)
class Model:
    """Number that the servo reports, mA of one unit of its current registers (0: it measures none),
    and the largest current limit, in this unit (0: not known, or none).
    """

    number: int
    current_unit_ma: float
    largest_current: int = 0


@dataclass(frozen=True)
class Family:
    """Servos that share a protocol and a control table.

    `state` is the block of registers read in every cycle, `health` those read now and then: first
    and last name. `errors` says what a set bit of `hardware_error` means. `always`: settings that
    every servo gets at configuration. `at_rest` and `full`: registers that another program may have
    left until the power goes off. They are written before the torque is switched on: with a value,
    and with what the register of the servo's largest value holds. `no_limits`: smallest and largest
    position in the servo's own limits that stand for none. `homing_sign`: whether the homing offset
    is added to what the encoder says, or taken away. `single_turn`: modes in which goals must lie
    in [0, counts_per_turn). `single_turn_offset`: the largest homing offset that a servo heeds in
    these modes. `factory_baud`: bit/s of a servo that nobody set up.
    """

    name: str
    registers: Mapping[str, Register]
    models: Mapping[str, Model]
    modes: Mapping[str, int]
    single_turn: tuple[str, ...]
    homing_sign: int
    single_turn_offset: int
    counts_per_turn: int
    factory_baud: int
    velocity_unit_rad_s: float
    voltage_unit_v: float
    state: tuple[str, str]
    health: tuple[tuple[str, str], ...]
    errors: Mapping[int, str]
    always: Mapping[str, int]
    no_limits: tuple[int, int] | None
    at_rest: Mapping[str, int]
    full: Mapping[str, str]

    def register(self, name: str) -> Register:
        """Find a register by name.

        Raises:
            ConfigError: There is none of this name; lists the registers.
        """
        if name not in self.registers:
            raise unknown_name(f"register of {self.name}", name, self.registers)
        return self.registers[name]

    def block(self, ends: tuple[str, str]) -> tuple[int, int]:
        """Compute address and length, bytes, of a block of registers."""
        first, last = map(self.register, ends)
        length = last.address + last.size - first.address
        return first.address, length

    def value(
        self,
        name: str,
        ends: tuple[str, str],
        data: bytes,
    ) -> int:
        """Decode one register out of a block's bytes.

        Args:
            name: The register.
            ends: Names of the first and the last register of the block.
            data: The block's bytes, the first register's first.

        Returns:
            The value in the register's own unit.

        Raises:
            ConfigError: There is no register of one of these names.
        """
        register = self.register(name)
        address, _ = self.block(ends)
        start = register.address - address
        return register.decode(data[start : start + register.size])

    def values(self, ends: tuple[str, str], data: bytes) -> dict[str, int]:
        """Decode every register that lies wholly in a block.

        Args:
            ends: Names of the first and the last register of the block.
            data: The block's bytes, the first register's first.

        Returns:
            Values in the registers' own units, by name.

        Raises:
            ConfigError: There is no register of one of these names.
        """
        address, length = self.block(ends)
        end = address + length
        inside = (
            name
            for name, register in self.registers.items()
            if address <= register.address and register.address + register.size <= end
        )
        return {name: self.value(name, ends, data) for name in inside}

    def error_texts(self, bits: int) -> str:
        """'overload, overheating', or the empty text for 0."""
        texts = [text for bit, text in self.errors.items() if bits & bit]
        rest = bits & ~sum(self.errors)
        if rest:
            texts.append(f"unknown error {rest:#04x}")
        return ", ".join(texts)


X_MODELS = {
    "XH430-W350": Model(1000, 2.69, 648),
    "XD430-T350": Model(1001, 2.69, 648),
    "XH430-W210": Model(1010, 2.69, 648),
    "XD430-T210": Model(1011, 2.69, 648),
    "XM430-W350": Model(1020, 2.69, 1193),
    "XM430-W210": Model(1030, 2.69, 1193),
    "XH430-V350": Model(1040, 1.34, 689),
    "XH430-V210": Model(1050, 1.34, 689),
    "XL430-W250": Model(1060, 0.0),
    "XC430-W150": Model(1070, 0.0),
    "XC430-W240": Model(1080, 0.0),
    "2XL430-W250": Model(1090, 0.0),
    "XH540-W270": Model(1100, 2.69, 2047),
    "XD540-T270": Model(1101, 2.69, 2047),
    "XH540-W150": Model(1110, 2.69, 2047),
    "XD540-T150": Model(1111, 2.69, 2047),
    "XM540-W270": Model(1120, 2.69, 2047),
    "XM540-W150": Model(1130, 2.69, 2047),
    "XH540-V270": Model(1140, 2.69, 2047),
    "XH540-V150": Model(1150, 2.69, 2047),
    "2XC430-W250": Model(1160, 0.0),
    "XW540-T260": Model(1170, 2.69, 2047),
    "XW540-T140": Model(1180, 2.69, 2047),
    "XL330-M077": Model(1190, 1.0, 1750),
    "XL330-M288": Model(1200, 1.0, 1750),
    "XC330-T181": Model(1210, 1.0, 910),
    "XC330-T288": Model(1220, 1.0, 910),
    "XC330-M181": Model(1230, 1.0, 1800),
    "XC330-M288": Model(1240, 1.0, 1800),
}
"""Dynamixel X with one control table. Sources: ROBOTIS e-Manual, X series, a page a model; numbers
and units as in ROBOTIS's dynamixel_hardware_interface and Dynamixel2Arduino.
"""
OTHER_TABLE = re.compile(r"(?i)^(?:XL-?320|AX|RX|EX|DX|MX)")
"""Dynamixels of other series, whose registers lie elsewhere."""

DYNAMIXEL_X = Family(
    name="dynamixel_x",
    registers={
        "model_number": Register(0, 2, eeprom=True),
        "return_delay": Register(9, 1, eeprom=True, takes=(0, 254)),
        "drive_mode": Register(10, 1, eeprom=True, takes=(0, 13)),
        "operating_mode": Register(11, 1, eeprom=True, takes=(0, 16)),
        "secondary_id": Register(12, 1, eeprom=True),
        "homing_offset": Register(20, 4, "two", eeprom=True, takes=(-1_044_479, 1_044_479)),
        "temperature_limit": Register(31, 1, eeprom=True),
        "pwm_limit": Register(36, 2, eeprom=True),
        "current_limit": Register(38, 2, eeprom=True, takes=(1, 2047)),
        "max_position_limit": Register(48, 4, eeprom=True, takes=(0, 4095)),
        "min_position_limit": Register(52, 4, eeprom=True, takes=(0, 4095)),
        "torque_enable": Register(64, 1),
        "hardware_error": Register(70, 1),
        "bus_watchdog": Register(98, 1),
        "goal_pwm": Register(100, 2, "two"),
        "profile_acceleration": Register(108, 4),
        "profile_velocity": Register(112, 4),
        "goal_position": Register(116, 4, "two"),
        "present_current": Register(126, 2, "two"),
        "present_velocity": Register(128, 4, "two"),
        "present_position": Register(132, 4, "two"),
        "present_voltage": Register(144, 2),
        "present_temperature": Register(146, 1),
    },
    models=X_MODELS,
    modes={"position": 3, "extended_position": 4},
    single_turn=("position",),
    homing_sign=1,
    single_turn_offset=1024,
    counts_per_turn=4096,
    factory_baud=57_600,
    velocity_unit_rad_s=0.229 * RPM,
    voltage_unit_v=0.1,
    state=("present_current", "present_position"),
    health=(("present_voltage", "present_temperature"), ("torque_enable", "hardware_error")),
    errors={
        1: "input voltage",
        4: "overheating",
        8: "motor encoder",
        16: "electrical shock",
        32: "overload",
    },
    # The second servo of a joint is driven by goals of its own, so nobody listens to another's id.
    always={"return_delay": 0, "drive_mode": 0, "secondary_id": 255},
    # The watchdog first: once it has run out, it keeps the others from being written.
    at_rest={"bus_watchdog": 0, "profile_acceleration": 0, "profile_velocity": 0},
    no_limits=None,
    full={"goal_pwm": "pwm_limit"},
)

FEETECH_STS = Family(
    name="feetech_sts",
    registers={
        "model_number": Register(3, 2, eeprom=True),
        "return_delay": Register(7, 1, eeprom=True, takes=(0, 253)),
        "min_position_limit": Register(9, 2, eeprom=True, takes=(0, 4095)),
        "max_position_limit": Register(11, 2, eeprom=True, takes=(0, 4095)),
        "temperature_limit": Register(13, 1, eeprom=True),
        "max_torque": Register(16, 2, eeprom=True),
        "current_limit": Register(28, 2, eeprom=True, takes=(1, 511)),
        "homing_offset": Register(31, 2, 11, eeprom=True),
        "operating_mode": Register(33, 1, eeprom=True, takes=(0, 3)),
        "torque_enable": Register(40, 1),
        "profile_acceleration": Register(41, 1),
        "goal_position": Register(42, 2, 15),
        "goal_time": Register(44, 2),
        "profile_velocity": Register(46, 2),
        "torque_limit": Register(48, 2),
        "lock": Register(55, 1),
        "present_position": Register(56, 2, 15),
        "present_velocity": Register(58, 2, 15),
        "present_voltage": Register(62, 1),
        "present_temperature": Register(63, 1),
        "hardware_error": Register(65, 1),
        "present_current": Register(69, 2, 15),
    },
    models={"STS3215": Model(777, 6.5, 511)},
    modes={"position": 0},
    single_turn=("position",),
    homing_sign=-1,
    single_turn_offset=2047,
    counts_per_turn=4096,
    factory_baud=1_000_000,
    velocity_unit_rad_s=2 * math.pi / 4096,
    voltage_unit_v=0.1,
    state=("present_position", "present_velocity"),
    health=(("torque_enable", "hardware_error"),),
    errors={
        1: "input voltage",
        2: "motor encoder",
        4: "overheating",
        8: "over-current",
        32: "overload",
    },
    always={"return_delay": 0},
    at_rest={"profile_acceleration": 0, "profile_velocity": 0, "goal_time": 0},
    no_limits=(0, 0),
    full={"torque_limit": "max_torque"},
)

FAMILIES = {family.name: family for family in (DYNAMIXEL_X, FEETECH_STS)}
