"""One simulated servo: its registers, what may be written when, its encoder, its errors."""

from conure_core.servos.registers import Family, Register

MEMORY_BYTES = 256
RESULT_FAIL, INSTRUCTION_ERROR, CRC_ERROR, LIMIT_ERROR, ACCESS_ERROR = 1, 2, 3, 6, 7
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
}
WATCHDOG_RAN_OUT = 255
GUARDED = ("goal_", "profile_")
SUPPLY_V = 12.0


class SimulatedServo:
    """`shaft_counts` is where the shaft truly is, in counts that never wrap; registers show what
    the servo knows.
    """

    def __init__(self, family: Family, servo_id: int, model: str, shaft_counts: float) -> None:
        self.family, self.servo_id = family, servo_id
        self.memory = bytearray(MEMORY_BYTES)
        self.stuck: frozenset[str] = frozenset()  # registers that writing does not change
        self.set("model_number", family.models[model].number)
        for name, value in FACTORY.items():
            if name in family.registers:
                self.set(name, value)
        self.set("operating_mode", family.modes["position"])
        self.set("present_voltage", round(SUPPLY_V / family.voltage_unit_v))
        self.shaft_counts = shaft_counts
        self.reboot()

    def get(self, name: str) -> int:
        register = self.family.register(name)
        return register.decode(self.memory[register.address : register.address + register.size])

    def set(self, name: str, value: int) -> None:
        """Put a value into a register, whether or not the bus may write it."""
        register = self.family.register(name)
        self.memory[register.address : register.address + register.size] = register.encode(value)

    @property
    def torque(self) -> bool:
        return bool(self.get("torque_enable"))

    def power_cycle(self, shaft_counts: float) -> None:
        """Off, the shaft put there, and on again."""
        self.shaft_counts = shaft_counts
        self.reboot()

    def reboot(self) -> None:
        """As after power on: no torque, no error, and turns that nobody remembers."""
        self.set("torque_enable", 0)
        self.set("hardware_error", 0)
        for name, value in self.family.at_rest.items():
            self.set(name, value)
        for name, largest in self.family.full.items():
            self.set(name, self.get(largest))
        self._forgotten_turns = (
            int(self.shaft_counts // self.family.counts_per_turn) * self.family.counts_per_turn
        )
        self.measure(self.shaft_counts, 0.0)
        self.set("goal_position", self.get("present_position"))

    def measure(self, shaft_counts: float, speed_units: float) -> None:
        """Let the shaft be there: position and velocity show in the registers. No current is
        simulated.
        """
        self.shaft_counts, turn = shaft_counts, self.family.counts_per_turn
        counts = (
            round(shaft_counts)
            - self._forgotten_turns
            + self.family.homing_sign * self.get("homing_offset")
        )
        self.set("present_position", counts % turn if self._single_turn() else counts)
        self.set("present_velocity", round(speed_units))
        if self.get("present_temperature") > self.get("temperature_limit"):
            self.fail(4)

    def goal_shaft_counts(self) -> float:
        """Where the shaft is to be, in the counts of `shaft_counts`: by numbers, within the servo's
        own limits.
        """
        goal, present = self.get("goal_position"), self.get("present_position")
        if self._single_turn():
            low, high = self._position_limits()
            goal = min(max(goal, low), high)
        return round(self.shaft_counts) + goal - present

    def fail(self, error_bit: int) -> None:
        """A hardware error: the servo lets go until it is rebooted."""
        self.set("hardware_error", self.get("hardware_error") | error_bit)
        self.set("torque_enable", 0)

    def _single_turn(self) -> bool:
        modes = [self.family.modes[mode] for mode in self.family.single_turn]
        return (
            self.get("operating_mode") in modes and self._position_limits() != self.family.no_limits
        )

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
        return bytes(self.memory[address : address + length])

    def write(self, address: int, data: bytes) -> int:
        """Write as the bus does; returns the error number, 0 for none. What is refused changes
        nothing.
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
            self.memory[address:end] = data
        return 0

    def _refusal(self, name: str, register: Register, address: int, data: bytes) -> int:
        if name.startswith(READ_ONLY) or (register.eeprom and self.torque):
            return ACCESS_ERROR
        start = register.address - address
        if start < 0 or start + register.size > len(data):
            return LIMIT_ERROR
        value = register.decode(data[start : start + register.size])
        if name == "torque_enable" and value and self.get("hardware_error"):
            return RESULT_FAIL
        if name == "goal_position" and self._single_turn() and not self._takes_goal(value):
            return LIMIT_ERROR
        ran_out = (
            "bus_watchdog" in self.family.registers and self.get("bus_watchdog") == WATCHDOG_RAN_OUT
        )
        return LIMIT_ERROR if ran_out and name.startswith(GUARDED) else 0

    def _takes_goal(self, value: int) -> bool:
        """A Dynamixel servo refuses a goal beyond its limits; a Feetech servo takes it and stops at
        them.
        """
        low, high = self._position_limits()
        if self.family.name == "dynamixel_x":
            return low <= value <= high
        return 0 <= value < self.family.counts_per_turn
