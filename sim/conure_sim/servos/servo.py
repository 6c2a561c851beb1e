"""One simulated servo: registers, rules of writing, encoder, errors."""

from conure_core.servos.registers import Family, Register

MEMORY_BYTES = 256
RESULT_FAIL = 1
INSTRUCTION_ERROR = 2
CRC_ERROR = 3
LIMIT_ERROR = 6
ACCESS_ERROR = 7
ALERT = 0x80
READ_ONLY = ("model_number", "hardware_error", "present_")
FACTORY = {
    "return_delay": 250,
    "temperature_limit": 80,
    "present_temperature": 35,
    "secondary_id": 255,
    "max_position_limit": 4095,
    "pwm_limit": 885,
    "max_torque": 1000,
    "lock": 1,
}
WATCHDOG_RAN_OUT = 255
OVERHEATING = 4
GUARDED = ("goal_", "profile_")
SUPPLY_V = 12.0


class SimulatedServo:
    """The registers of a servo, and its shaft.

    `shaft_counts` is the true position of the shaft, in counts that never wrap; registers show what
    the servo knows.
    """

    def __init__(
        self,
        family: Family,
        servo_id: int,
        model_number: int,
        shaft_counts: float,
    ) -> None:
        self.family = family
        self.servo_id = servo_id
        self.memory = bytearray(MEMORY_BYTES)
        self.stuck: frozenset[str] = frozenset()  # registers that writing does not change
        self._kept: dict[str, int] = {}  # what locked settings are again without power
        self.set("model_number", model_number)
        for name, value in FACTORY.items():
            if name in family.registers:
                self.set(name, value)
        self.set("operating_mode", family.modes["position"])
        self.set("present_voltage", round(SUPPLY_V / family.voltage_unit_v))
        self.shaft_counts = shaft_counts
        self.reboot()

    def get(self, name: str) -> int:
        """The value of a register."""
        register = self.family.register(name)
        return register.decode(self.memory[register.address : register.address + register.size])

    def set(self, name: str, value: int) -> None:
        """Set a register, whether or not the bus may write it.

        Args:
            name: Of the register.
            value: In the register's unit.
        """
        register = self.family.register(name)
        self.memory[register.address : register.address + register.size] = register.encode(value)

    @property
    def torque(self) -> bool:
        """Whether the motor holds."""
        return bool(self.get("torque_enable"))

    def power_cycle(self, shaft_counts: float) -> None:
        """Switch off, move the shaft there, and switch on."""
        self.shaft_counts = shaft_counts
        self.reboot()

    def reboot(self) -> None:
        """Set the state after power on: no torque, no error, no memory of whole turns."""
        for name, value in self._kept.items():
            self.set(name, value)
        self._kept.clear()
        if "lock" in self.family.registers:
            self.set("lock", 1)
        self.set("torque_enable", 0)
        self.set("hardware_error", 0)
        for name, value in self.family.at_rest.items():
            self.set(name, value)
        for name, largest in self.family.full.items():
            self.set(name, self.get(largest))

        turn = self.family.counts_per_turn
        self._forgotten_turns = int(self.shaft_counts // turn) * turn
        self.measure(self.shaft_counts, 0.0)
        self.set("goal_position", self.get("present_position"))

    def measure(self, shaft_counts: float, speed_units: float) -> None:
        """Move the shaft, and update position and velocity in the registers.

        No current is simulated. A servo that is too hot fails here.

        Args:
            shaft_counts: True position of the shaft, in counts that never wrap.
            speed_units: Its velocity, in the unit of the register.
        """
        self.shaft_counts = shaft_counts
        offset = self.family.homing_sign * self.get("homing_offset")
        counts = round(shaft_counts) - self._forgotten_turns + offset
        if self._is_single_turn():
            counts %= self.family.counts_per_turn
        self.set("present_position", counts)
        self.set("present_velocity", round(speed_units))
        if self.get("present_temperature") > self.get("temperature_limit"):
            self.fail(OVERHEATING)

    def goal_shaft_counts(self) -> float:
        """The goal of the shaft, in the counts of `shaft_counts`, within the servo's own limits."""
        goal = self.get("goal_position")
        present = self.get("present_position")
        if self._is_single_turn():
            low, high = self._position_limits()
            goal = min(max(goal, low), high)
        return round(self.shaft_counts) + goal - present

    def fail(self, error_bit: int) -> None:
        """Raise a hardware error: the servo has no torque until it is rebooted."""
        self.set("hardware_error", self.get("hardware_error") | error_bit)
        self.set("torque_enable", 0)

    def _is_single_turn(self) -> bool:
        modes = [self.family.modes[mode] for mode in self.family.single_turn]
        if self.get("operating_mode") not in modes:
            return False
        return self._position_limits() != self.family.no_limits

    def _position_limits(self) -> tuple[int, int]:
        return self.get("min_position_limit"), self.get("max_position_limit")

    def error_byte(self, error: int = 0) -> int:
        """The error of a status packet: Dynamixel adds an alert bit, Feetech sends the hardware
        error itself.
        """
        hardware = self.get("hardware_error")
        if self.family.name == "dynamixel_x":
            return error | (ALERT if hardware else 0)
        return hardware

    def read(self, address: int, length: int) -> bytes:
        """Read memory as the bus does.

        Args:
            address: Of the first byte.
            length: Number of bytes.

        Returns:
            The bytes.
        """
        return bytes(self.memory[address : address + length])

    def write(self, address: int, data: bytes) -> int:
        """Write memory as the bus does; a refused write changes nothing.

        Args:
            address: Of the first byte.
            data: The bytes.

        Returns:
            The error number, 0 for none.
        """
        end = address + len(data)
        touched = {
            name: register
            for name, register in self.family.registers.items()
            if register.address < end and address < register.address + register.size
        }
        for name, register in touched.items():
            error = self._refusal(name, register, address, data)
            if error:
                return error
        if not self.stuck & touched.keys():
            self._remember_locked(touched)
            self.memory[address:end] = data
        return 0

    def _remember_locked(self, touched: dict[str, Register]) -> None:
        """A Feetech servo that is locked heeds what is written to its settings until its power goes
        off.
        """
        if "lock" in self.family.registers and self.get("lock"):
            for name in touched:
                if self.family.register(name).eeprom:
                    self._kept.setdefault(name, self.get(name))

    def _refusal(
        self,
        name: str,
        register: Register,
        address: int,
        data: bytes,
    ) -> int:
        """The error number of writing one register, 0 for none."""
        if name.startswith(READ_ONLY) or (register.eeprom and self.torque):
            return ACCESS_ERROR
        start = register.address - address
        if start < 0 or start + register.size > len(data):
            return LIMIT_ERROR

        value = register.decode(data[start : start + register.size])
        if name == "torque_enable" and value and self.get("hardware_error"):
            return RESULT_FAIL
        if name == "goal_position" and self._is_single_turn() and not self._accepts_goal(value):
            return LIMIT_ERROR
        return LIMIT_ERROR if name.startswith(GUARDED) and self._watchdog_ran_out() else 0

    def _watchdog_ran_out(self) -> bool:
        if "bus_watchdog" not in self.family.registers:
            return False
        return self.get("bus_watchdog") == WATCHDOG_RAN_OUT

    def _accepts_goal(self, value: int) -> bool:
        """A Dynamixel servo refuses a goal beyond its limits; a Feetech servo accepts it and stops
        at them.
        """
        low, high = self._position_limits()
        if self.family.name == "dynamixel_x":
            return low <= value <= high
        return 0 <= value < self.family.counts_per_turn
