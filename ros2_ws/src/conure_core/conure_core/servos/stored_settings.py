"""What the servos of an arm keep without power, in a file: written before it is changed, read to
put it back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from conure_core.config.yaml_fields import checked_fields
from conure_core.errors import ConfigError, DataError
from conure_core.runtime.atomic_files import read_json, write_json
from conure_core.servos.bus_config import BusConfig, ServoConfig

FORMAT = 1
REMEDY = "take another of the arm's files"
NEVER_WRITTEN = ("model_number",)
LINE = ("family", "port", "baud", "latency_s", "retries", "lost_s")
"""Fields of a bus that say how its servos are reached."""
IDENTITY = ("joint", "id", "model", "model_number", "current_unit_ma")
Registers = Mapping[int, Mapping[str, int]]
"""Raw register values by servo id and register name."""


@dataclass(frozen=True)
class StoredSettings:
    """Registers as the servos of an arm held them. `finished`: all that was to be written after
    them was written.
    """

    robot: str
    bus: BusConfig
    registers: Registers
    finished: bool = False

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            OSError: The disk refused.
        """
        servos = [
            {name: getattr(servo, name) for name in IDENTITY}
            | {"registers": dict(self.registers[servo.id])}
            for servo in self.bus.servos
        ]
        data = {
            "format": FORMAT,
            "robot": self.robot,
            "finished": self.finished,
            **{name: getattr(self.bus, name) for name in LINE},
            "servos": servos,
        }
        write_json(path, data)

    def finish(self, path: Path) -> None:
        """Note in the file that everything was written."""
        replace(self, finished=True).write(path)


def read_stored(path: Path) -> StoredSettings:
    """Read a file of settings.

    Args:
        path: The file, as `StoredSettings.write` left it.

    Returns:
        The settings; every value fits its register.

    Raises:
        ConfigError: There is no such file.
        DataError: It is damaged, or no file of settings; names the field.
    """
    try:
        data = read_json(path, REMEDY)
        return _parsed(data, path)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file; conure up names the file when it writes settings"
        ) from None
    except ConfigError as error:
        raise DataError(f"{error}; {REMEDY}") from error


def _parsed(data: Any, path: Path) -> StoredSettings:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ConfigError(f"{path} is not a file of servo settings of format {FORMAT}")
    rest = {key: value for key, value in data.items() if key not in ("format", "robot", "finished")}
    servos = rest.get("servos")
    if not isinstance(servos, list) or not all(isinstance(servo, dict) for servo in servos):
        raise ConfigError(f"{path}: servos must be a list of servos")
    rest["servos"] = [
        {key: value for key, value in servo.items() if key != "registers"} for servo in servos
    ]
    bus = checked_fields(rest, BusConfig, str(path), path.parent)
    pairs = zip(bus.servos, servos, strict=True)
    registers = {servo.id: _registers(bus, servo, given, path) for servo, given in pairs}
    return StoredSettings(str(data.get("robot")), bus, registers, data.get("finished") is True)


def _registers(
    bus: BusConfig, servo: ServoConfig, given: dict[str, Any], path: Path
) -> dict[str, int]:
    """The registers of one servo. Raises: ConfigError for one that is not kept without power, or a
    value that does not fit.
    """
    values = given.get("registers")
    where = f"{path}: servo {servo.id}"
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: registers must hold register names and values")
    for name, value in values.items():
        register = bus.table.registers.get(name)
        if register is None or not register.eeprom or name in NEVER_WRITTEN:
            raise ConfigError(f"{where}: {name} is not a setting of {bus.family}")
        if not isinstance(value, int) or isinstance(value, bool):
            raise ConfigError(f"{where}: {name} must be a whole number, got {value!r}")
        lowest, highest = register.holds
        if not lowest <= value <= highest:
            raise ConfigError(f"{where}: {name} must be {lowest} to {highest}, got {value}")
    return values


def new_file(folder: Path, robot: str) -> Path:
    """Name a file for settings that does not exist yet.

    Args:
        folder: Of all arms.
        robot: Name of the arm, which has a folder there.

    Returns:
        A path that ends in the present time, UTC.
    """
    moment = datetime.now(timezone.utc)
    return folder / robot / f"{moment:%Y%m%dT%H%M%S.%fZ}.json"


def unfinished_file(
    folder: Path, robot: str, held: Registers, wanted: Registers
) -> tuple[Path, StoredSettings] | None:
    """Find the file of a run that was interrupted while it wrote to these servos.

    It holds what the servos held before that run, and so what is to be put back.

    Args:
        folder: Of all arms.
        robot: Name of the arm.
        held: What the servos hold.
        wanted: What they are to hold, the same registers.

    Returns:
        The newest file and its content, if it is not finished and every register holds what the
        file says or what is wanted; else None.
    """
    paths = sorted((folder / robot).glob("*.json"))
    try:
        stored = read_stored(paths[-1]) if paths else None
    except (ConfigError, DataError):
        return None
    if stored is None or stored.finished or stored.registers.keys() != held.keys():
        return None
    for servo_id, before in stored.registers.items():
        now, then = held[servo_id], wanted[servo_id]
        if before.keys() != now.keys():
            return None
        if any(now[name] not in (before[name], then[name]) for name in before):
            return None  # of another arm of this name
    return paths[-1], stored
