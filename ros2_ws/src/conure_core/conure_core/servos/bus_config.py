"""The serial bus of an arm: which servo drives which joint, and what the driver asks of it."""

import os
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from conure_core.config.yaml_fields import (
    bounded,
    checked_fields,
    read_mapping,
    read_yaml,
    require_bounds,
)
from conure_core.errors import ConfigError, unknown_name
from conure_core.robot.description import RobotConfig, base_file, load_robot, robot_file
from conure_core.servos.registers import FAMILIES, OTHER_TABLE, Family, Model

IDS = range(0, 253)
SIMULATED = "sim"
FIELDS = {
    "homing_offset": "homing_offset_counts",
    "current_limit": "current_limit_ma",
    "min_position_limit": "min_position_counts",
    "max_position_limit": "max_position_counts",
    "operating_mode": "mode",
}
"""Fields of a servo in the robot's file that set a register, by the register's name."""


@dataclass(frozen=True)
class ServoConfig:
    """One servo. angle (rad) = direction * (counts - zero_counts) * 2 pi / counts_per_turn; 0 where
    the joint is at 0.

    Two servos that name the same joint drive it together, the first one is measured. `mode`: an
    operating mode of the family; empty: extended_position where the family has it, else position.
    `homing_offset_counts` is what the servo's own register is to hold. `current_limit_ma` 0 leaves
    the servo's limit as it is; so does -1 of `min_position_counts` and `max_position_counts`, its
    own limits in a single turn. A model that Conure does not know has its `model_number`, and with
    a current limit `current_unit_ma`, the unit of its current registers. A finger is driven through
    a crank c (`crank_m`) and a rod r (`rod_m`) on a line through the servo's axis:
    x = c sin(a) + sqrt(r^2 - c^2 cos^2(a)). A jaw that swings on the servo's axis has a lever, from
    axis to tip (`lever_m`): x = lever a, the arc of its tip.
    """

    joint: str
    id: int
    model: str
    direction: int = 1
    zero_counts: int = bounded(-1_000_000, 1_000_000, default=2048)
    mode: str = ""
    homing_offset_counts: int = bounded(-1_044_479, 1_044_479, default=0)
    current_limit_ma: float = bounded(0.0, 20_000.0, default=0.0)
    min_position_counts: int = bounded(-1, 1_000_000, default=-1)
    max_position_counts: int = bounded(-1, 1_000_000, default=-1)
    crank_m: float = bounded(0.0, 1.0, default=0.0)
    rod_m: float = bounded(0.0, 1.0, default=0.0)
    lever_m: float = bounded(0.0, 1.0, default=0.0)
    model_number: int = bounded(0, 65_535, default=0)
    current_unit_ma: float = bounded(0.0, 100.0, default=0.0)

    def __post_init__(self) -> None:
        try:
            require_bounds(self)
        except ConfigError as error:
            raise ConfigError(f"servo {self.id}: {error}") from error


@dataclass(frozen=True)
class BusConfig:
    """All servos of one arm on one port.

    rate_hz: cycles of reading and writing. latency_s: the longest silence, beyond the time on the
    wire, before a packet counts as lost; an FTDI adapter needs its latency timer at 1 ms for the
    default. retries: within a cycle, of what did not come. lost_s: silence after which a servo is
    lost. max_temperature_c: the arm stops above it. max_disagreement_rad: how far two servos of one
    joint may be apart before they would work against each other.
    """

    family: str
    port: str
    servos: tuple[ServoConfig, ...]
    baud: int = bounded(9600, 10_000_000, default=1_000_000)
    rate_hz: float = bounded(1.0, 1000.0, default=100.0)
    latency_s: float = bounded(0.0, 1.0, above=True, default=0.004)
    retries: int = bounded(0, 20, default=2)
    lost_s: float = bounded(0.01, 30.0, default=0.25)
    health_period_s: float = bounded(0.01, 60.0, default=0.5)
    max_temperature_c: float = bounded(20.0, 120.0, default=70.0)
    max_disagreement_rad: float = bounded(0.001, 1.0, default=0.05)

    def __post_init__(self) -> None:
        require_bounds(self)
        if self.family not in FAMILIES:
            raise unknown_name("servo family", self.family, FAMILIES)
        ids = self.ids
        wrong = {number for number in ids if ids.count(number) > 1 or number not in IDS}
        if wrong:
            raise ConfigError(
                f"servo ids must be different and in 0..{IDS[-1]}, got {sorted(wrong)}"
            )
        if not self.port:
            raise ConfigError("port must be the path of a device, got ''")
        for servo in self.servos:
            self._require_model(servo)
            self._require_position_limits(servo)
            if servo.crank_m and not 0 < servo.crank_m < servo.rod_m:
                raise ConfigError(f"servo {servo.id}: rod_m must be longer than crank_m")
            if servo.lever_m and servo.crank_m:
                raise ConfigError(f"servo {servo.id}: lever_m goes without crank_m")
            self._require_settings(servo)

    def _require_model(self, servo: ServoConfig) -> None:
        """Refuse a model, mode, direction or current limit that the family does not have."""
        table = self.table
        self._require_known_model(servo)
        if servo.mode and servo.mode not in table.modes:
            raise unknown_name(f"mode of servo {servo.id}", servo.mode, table.modes)
        if servo.direction not in (-1, 1):
            raise ConfigError(
                f"direction of servo {servo.id} must be 1 or -1, got {servo.direction}"
            )
        if servo.current_limit_ma and not self.model(servo).current_unit_ma:
            raise ConfigError(
                f"servo {servo.id}: a {servo.model} has no current limit; leave current_limit_ma"
                " out (of a model that Conure does not know, give current_unit_ma too)"
            )

    def _require_known_model(self, servo: ServoConfig) -> None:
        known = self.table.models.get(servo.model)
        if known and (servo.model_number, servo.current_unit_ma) != (0, 0.0):
            raise ConfigError(
                f"servo {servo.id}: a {servo.model} has model number {known.number}; leave"
                " model_number and current_unit_ma out"
            )
        if OTHER_TABLE.match(servo.model):
            raise ConfigError(
                f"servo {servo.id}: a {servo.model} has another control table than the X series,"
                " which Conure does not drive; let its own driver do so (arm=external)"
            )
        if not known and not servo.model_number:
            error = unknown_name(f"model of servo {servo.id}", servo.model, self.table.models)
            raise ConfigError(f"{error} One of the same control table may give its model_number.")

    def _require_settings(self, servo: ServoConfig) -> None:
        """Refuse a value that a register of this model does not take: a servo would refuse it half
        way, or heed another one.
        """
        for name, value in self.settings(servo).items():
            lowest, highest = self.takes(servo, name)
            if not lowest <= value <= highest:
                field = FIELDS.get(name, name)
                raise ConfigError(
                    f"servo {servo.id}: {field} must be"
                    f" {self._in_field_units(servo, name, lowest)} to"
                    f" {self._in_field_units(servo, name, highest)} for a {servo.model} in mode"
                    f" '{self.mode(servo)}' (its register {name} takes {lowest} to {highest}),"
                    f" got {getattr(servo, field, value)}"
                )

    def takes(self, servo: ServoConfig, name: str) -> tuple[int, int]:
        """Find the lowest and highest value that a servo takes in a register.

        Args:
            servo: The servo, for its model and mode.
            name: Name of the register in the family's table.

        Returns:
            Both ends, in the register's unit.

        Raises:
            ConfigError: There is no register of this name.
        """
        register = self.table.register(name)
        lowest, highest = register.takes or register.holds
        if name == "current_limit":
            highest = self.model(servo).largest_current or highest
        if name == "homing_offset" and self.is_single_turn(servo):
            largest = self.table.single_turn_offset
            lowest, highest = max(lowest, -largest), min(highest, largest)
        return lowest, highest

    def _in_field_units(self, servo: ServoConfig, name: str, value: int) -> str:
        """Write a register's value in the unit of the file's field."""
        if name != "current_limit":
            return str(value)
        return f"{value * self.model(servo).current_unit_ma:g}"

    def _require_position_limits(self, servo: ServoConfig) -> None:
        turn = self.table.counts_per_turn
        lowest = servo.min_position_counts
        highest = servo.max_position_counts
        if (lowest, highest) != (-1, -1) and not 0 <= lowest < highest < turn:
            raise ConfigError(
                f"servo {servo.id}: min_position_counts and max_position_counts must be given both,"
                f" the smaller first, in 0..{turn - 1}, got {lowest} and {highest}"
            )

    @property
    def table(self) -> Family:
        """Control table of the servos' family."""
        return FAMILIES[self.family]

    @property
    def period_s(self) -> float:
        """Time of one cycle of reading and writing, s."""
        return 1.0 / self.rate_hz

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids of the servos, in their order."""
        return tuple(servo.id for servo in self.servos)

    def model(self, servo: ServoConfig) -> Model:
        """Find the number and the current unit of a servo's model."""
        given = Model(servo.model_number, servo.current_unit_ma)
        return self.table.models.get(servo.model, given)

    def mode(self, servo: ServoConfig) -> str:
        """Name the operating mode that a servo is to have."""
        if servo.mode:
            return servo.mode
        return "extended_position" if "extended_position" in self.table.modes else "position"

    def is_single_turn(self, servo: ServoConfig) -> bool:
        """Tell whether a servo's goals must lie within one turn."""
        return self.mode(servo) in self.table.single_turn

    def settings(self, servo: ServoConfig) -> dict[str, int]:
        """List what the registers of a servo must hold before its torque is switched on, by
        name.
        """
        table = self.table
        settings = {
            **table.always,
            "operating_mode": table.modes[self.mode(servo)],
            "homing_offset": servo.homing_offset_counts,
        }
        if servo.current_limit_ma:
            unit_ma = self.model(servo).current_unit_ma
            settings["current_limit"] = round(servo.current_limit_ma / unit_ma)
        if servo.max_position_counts > 0:
            settings["min_position_limit"] = servo.min_position_counts
            settings["max_position_limit"] = servo.max_position_counts
        return settings

    def label(self, servo_id: int) -> str:
        """'elbow (servo 4)', for messages."""
        for servo in self.servos:
            if servo.id == servo_id:
                return f"{servo.joint} (servo {servo.id})"
        return "no servo"

    def require_joints(self, robot: RobotConfig) -> None:
        """Refuse a robot whose joints are not those that the servos drive.

        Raises:
            ConfigError: Names joints without a servo, or servos without a joint.
        """
        driven = {servo.joint for servo in self.servos}
        joints = set(robot.command_names)
        missing = joints - driven
        unknown = driven - joints
        if missing or unknown:
            raise ConfigError(
                f"bus of {robot.name}: no servo for {sorted(missing)}, no joint for"
                f" {sorted(unknown)}"
            )


@cache
def load_bus(name: str) -> BusConfig:
    """Load the bus of the robot of this name, or of the YAML file at this path.

    A bus with a field `like`, the path of another robot's file, is that file's with the fields that
    it gives itself.

    Raises:
        ConfigError: The robot has no bus, or one that cannot be used.
    """
    path = robot_file(name)
    own = read_mapping(path)
    if "bus" not in own:
        raise ConfigError(f"{path} has no field 'bus'; copy {robot_file('wx250s_serial')}")
    bus = checked_fields(_with_base(own["bus"], path), BusConfig, f"{path}: bus", path.parent)
    bus.require_joints(load_robot(name))
    return bus


def _with_base(bus: Any, path: Path) -> Any:
    if not isinstance(bus, dict) or "like" not in bus:
        return bus
    own = dict(bus)
    like = own.pop("like")
    base = read_yaml(base_file(path, like, "bus: like"))
    of_base = base.get("bus") if isinstance(base, dict) else None
    if not isinstance(of_base, dict) or "like" in of_base:
        raise ConfigError(f"{path}: bus: like: {like} has no bus of its own")
    return {**of_base, **own}


def port_path(
    port: str,
    bus: BusConfig,
    domain: str = "",
) -> Path:
    """Find the serial port of a bus.

    Args:
        port: Path of a device; `sim`: the simulated servos' place, which one ROS domain shares;
            empty: the bus's own port.
        bus: The bus, which may be for simulated servos only.
        domain: ROS domain of the simulated servos; empty: this process's.

    Returns:
        The path of the device, or of the simulated servos' place; nothing need exist there.

    Raises:
        ConfigError: The port is a real arm's, and the robot's limits are for simulated servos.
    """
    if bus.port == SIMULATED and port not in ("", SIMULATED):
        raise ConfigError(
            f"port {port}: this robot's limits are for simulated servos only (its bus has port:"
            f" {SIMULATED}); take the file without '_sim', or a copy of it"
        )
    port = port or bus.port
    if port == SIMULATED:
        domain = domain or os.environ.get("ROS_DOMAIN_ID", "0")
        return Path(tempfile.gettempdir()) / f"conure-servos-{os.getuid()}-{domain}"
    return Path(port)
