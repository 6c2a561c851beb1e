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
from conure_core.servos.registers import FAMILIES, Family

IDS = range(0, 253)
SIMULATED = "sim"


@dataclass(frozen=True)
class ServoConfig:
    """One servo. angle (rad) = direction * (counts - zero_counts) * 2 pi / counts_per_turn; 0 where
    the joint is at 0.

    Two servos that name the same joint drive it together, the first one is measured. `mode`: an
    operating mode of the family; empty: extended_position where the family has it, else position.
    `homing_offset_counts` is what the servo's own register is to hold. `current_limit_ma` 0 leaves
    the servo's limit as it is; so does -1 of `min_position_counts` and `max_position_counts`, its
    own limits in a single turn. A finger is driven through a crank c (`crank_m`) and a rod r
    (`rod_m`) on a line through the servo's axis: x = c sin(a) + sqrt(r^2 - c^2 cos^2(a)). A jaw
    that swings on the servo's axis has a lever, from axis to tip (`lever_m`): x = lever a, the arc
    of its tip.
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
    joint may be apart before they would fight.
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
        ids = [servo.id for servo in self.servos]
        wrong = sorted({number for number in ids if ids.count(number) > 1 or number not in IDS})
        if wrong:
            raise ConfigError(f"servo ids must be different and in 0..{IDS[-1]}, got {wrong}")
        if not self.port:
            raise ConfigError("port must be the path of a device, got ''")
        for servo in self.servos:
            if servo.model not in self.table.models:
                raise unknown_name(f"model of servo {servo.id}", servo.model, self.table.models)
            if servo.mode and servo.mode not in self.table.modes:
                raise unknown_name(f"mode of servo {servo.id}", servo.mode, self.table.modes)
            if servo.direction not in (-1, 1):
                raise ConfigError(
                    f"direction of servo {servo.id} must be 1 or -1, got {servo.direction}"
                )
            if servo.current_limit_ma and not self.table.models[servo.model].current_unit_ma:
                raise ConfigError(
                    f"servo {servo.id}: a {servo.model} has no current limit; leave"
                    " current_limit_ma out"
                )
            self._require_position_limits(servo)
            if servo.crank_m and not 0 < servo.crank_m < servo.rod_m:
                raise ConfigError(f"servo {servo.id}: rod_m must be longer than crank_m")
            if servo.lever_m and servo.crank_m:
                raise ConfigError(f"servo {servo.id}: lever_m goes without crank_m")
            self._require_settings(servo)

    def _require_settings(self, servo: ServoConfig) -> None:
        for name, value in self.settings(servo).items():
            try:
                self.table.register(name).encode(value)
            except ConfigError as error:
                raise ConfigError(f"servo {servo.id}: {name}: {error}") from error

    def _require_position_limits(self, servo: ServoConfig) -> None:
        turn, limits = (
            self.table.counts_per_turn,
            (servo.min_position_counts, servo.max_position_counts),
        )
        if limits != (-1, -1) and not 0 <= limits[0] < limits[1] < turn:
            raise ConfigError(
                f"servo {servo.id}: min_position_counts and max_position_counts must be given both,"
                f" the smaller first, in 0..{turn - 1}, got {limits[0]} and {limits[1]}"
            )

    @property
    def table(self) -> Family:
        return FAMILIES[self.family]

    @property
    def period_s(self) -> float:
        return 1.0 / self.rate_hz

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(servo.id for servo in self.servos)

    def mode(self, servo: ServoConfig) -> str:
        """The operating mode that a servo is to have."""
        return servo.mode or (
            "extended_position" if "extended_position" in self.table.modes else "position"
        )

    def is_single_turn(self, servo: ServoConfig) -> bool:
        """Whether its goals must lie within one turn."""
        return self.mode(servo) in self.table.single_turn

    def settings(self, servo: ServoConfig) -> dict[str, int]:
        """What the registers of a servo must hold before its torque is switched on."""
        settings = {**self.table.always, "operating_mode": self.table.modes[self.mode(servo)]}
        settings["homing_offset"] = servo.homing_offset_counts
        if servo.current_limit_ma:
            unit_ma = self.table.models[servo.model].current_unit_ma
            settings["current_limit"] = round(servo.current_limit_ma / unit_ma)
        if servo.max_position_counts > 0:
            settings["min_position_limit"] = servo.min_position_counts
            settings["max_position_limit"] = servo.max_position_counts
        return settings

    def label(self, servo_id: int) -> str:
        """'elbow (servo 4)', for messages."""
        return next(
            (f"{servo.joint} (servo {servo.id})" for servo in self.servos if servo.id == servo_id),
            "no servo",
        )

    def require_joints(self, robot: RobotConfig) -> None:
        """Raises: ConfigError naming joints without a servo, or servos without a joint."""
        driven = {servo.joint for servo in self.servos}
        missing, unknown = set(robot.command_names) - driven, driven - set(robot.command_names)
        if missing or unknown:
            raise ConfigError(
                f"bus of {robot.name}: no servo for {sorted(missing)}, no joint for"
                f" {sorted(unknown)}"
            )


@cache
def load_bus(name: str) -> BusConfig:
    """The bus of the robot of this name, or of the YAML file at this path. Raises: ConfigError if
    it has none.

    A bus with a field `like`, the path of another robot's file, is that file's with the fields that
    it gives itself.
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
    base = read_yaml(base_file(path, bus["like"], "bus: like"))
    if not isinstance(base, dict) or not isinstance(base.get("bus"), dict) or "like" in base["bus"]:
        raise ConfigError(f"{path}: bus: like: {bus['like']} has no bus of its own")
    return {**base["bus"], **{key: value for key, value in bus.items() if key != "like"}}


def port_path(port: str, bus: BusConfig, domain: str = "") -> Path:
    """Where the port is: the bus's own for an empty text, and for `sim` a place that one ROS domain
    shares.

    `domain`: that domain; empty: this process's. Raises: ConfigError for the port of a real arm, if
    the robot's limits are for simulated servos.
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
