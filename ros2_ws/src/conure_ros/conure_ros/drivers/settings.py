"""What servos keep without power: read, compared, written with the old values kept in a file, and
put back.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from conure_core.errors import RobotError
from conure_core.servos.bus_config import BusConfig
from conure_core.servos.stored_settings import (
    Registers,
    StoredSettings,
    new_file,
    unfinished_file,
)
from conure_ros.drivers.servo_bus import ServoBus, ServoRefused, ServoSilent

FOLDER = Path("out/servos")
RESTORE = "conure servos restore"
LOCKED, UNLOCKED = 1, 0
BAUDS = (57_600, 115_200, 1_000_000, 2_000_000, 3_000_000, 4_000_000)
"""Rates that servos are commonly set to, bit/s."""


@dataclass(frozen=True)
class Change:
    """A register of a servo that holds `old` and is to hold `new`, in its own unit."""

    servo_id: int
    register: str
    old: int
    new: int

    def __str__(self) -> str:
        return f"{self.register} {self.old} -> {self.new}"


def read_settings(bus: ServoBus, names: Mapping[int, Iterable[str]]) -> Registers:
    """Read registers of several servos.

    Args:
        bus: An open bus.
        names: Names of registers by servo id.

    Returns:
        What they hold.

    Raises:
        ServoSilent: A servo does not answer.
    """
    return {
        servo_id: {name: bus.read(servo_id, name) for name in registers}
        for servo_id, registers in names.items()
    }


def find_changes(held: Registers, wanted: Registers) -> list[Change]:
    """List the registers that differ.

    Args:
        held: What the servos hold, at least the wanted registers.
        wanted: What they are to hold.

    Returns:
        Changes, those of a servo in a row.
    """
    return [
        Change(servo_id, name, held[servo_id][name], value)
        for servo_id, registers in wanted.items()
        for name, value in registers.items()
        if held[servo_id][name] != value
    ]


def describe(config: BusConfig, changes: Iterable[Change]) -> list[str]:
    """Describe changes to a person, one text a servo.

    Args:
        config: The bus, for the servos' names.
        changes: Those of a servo in a row.

    Returns:
        Texts such as 'waist (servo 1): return_delay 250 -> 0, operating_mode 3 -> 4'.
    """
    return [
        f"{config.label(servo_id)}: {', '.join(map(str, some))}"
        for servo_id, some in groupby(changes, lambda change: change.servo_id)
    ]


def require_limp(bus: ServoBus, changes: Iterable[Change]) -> None:
    """Refuse to change a servo that has torque, before anything is written.

    Args:
        bus: An open bus.
        changes: To be written.

    Raises:
        RobotError: Names the servos and what is to be changed.
    """
    changes = list(changes)
    ids = dict.fromkeys(change.servo_id for change in changes)
    holding = [servo_id for servo_id in ids if bus.read(servo_id, "torque_enable")]
    texts = describe(bus.config, (change for change in changes if change.servo_id in holding))
    if texts:
        raise RobotError(
            f"{'; '.join(texts)}: settings change only without torque, and it is on; nothing was"
            " written. Support the arm, and see torque_off"
        )


def write_changes(bus: ServoBus, changes: Iterable[Change]) -> None:
    """Write registers in EEPROM, servo by servo; each is read back, and each servo locked again.

    Args:
        bus: An open bus; the servos have no torque.
        changes: Those of a servo in a row.

    Raises:
        ServoSilent: A servo does not answer.
        ServoRefused: A servo refuses a value, or does not keep it.
    """
    for servo_id, some in groupby(changes, lambda change: change.servo_id):
        with _unlocked(bus, servo_id):
            for change in some:
                bus.write(servo_id, change.register, change.new)
                kept = bus.read(servo_id, change.register)
                if kept != change.new:
                    raise ServoRefused(
                        f"{bus.config.label(servo_id)} was told {change}, and still holds {kept}"
                    )


@contextmanager
def _unlocked(bus: ServoBus, servo_id: int) -> Iterator[None]:
    if "lock" not in bus.table.registers:
        yield
        return
    try:
        bus.write(servo_id, "lock", UNLOCKED)
        yield
    finally:
        _lock(bus, servo_id)


def _lock(bus: ServoBus, servo_id: int) -> None:
    try:
        bus.write(servo_id, "lock", LOCKED)
    except ServoSilent as error:
        raise ServoSilent(
            f"{error}; its settings may be unlocked: start again once it answers, which locks them"
        ) from error


def lock_all(bus: ServoBus) -> None:
    """Lock the settings of servos that another program, or a killed one, left unlocked.

    Raises: ServoSilent.
    """
    if "lock" not in bus.table.registers:
        return
    for servo_id in bus.config.ids:
        if bus.read(servo_id, "lock") != LOCKED:
            bus.write(servo_id, "lock", LOCKED)


@dataclass(frozen=True)
class SettingsWriter:
    """Writes settings of an arm's servos, and keeps what they held in a file of the arm's own."""

    robot: str
    folder: Path = FOLDER
    report: Callable[[str], None] = field(default=print)
    """Receives one line for each servo, and one for the file."""

    def write(self, bus: ServoBus, held: Registers, wanted: Registers) -> None:
        """Keep what the servos hold, then write what differs.

        An interrupted run leaves its file unfinished: the next one goes on with it, so that it
        always holds what the servos held before the first.

        Args:
            bus: An open bus.
            held: What the servos hold.
            wanted: What they are to hold, the same registers.

        Raises:
            RobotError: A servo has torque, does not answer or refuses; or the file cannot be
                written, and then nothing is changed.
        """
        changes = find_changes(held, wanted)
        require_limp(bus, changes)
        path, stored = self._keep(bus, held, wanted)
        self.report(f"the servos' old settings are in {path}; {RESTORE} {path} puts them back")
        for text in describe(bus.config, changes):
            self.report(f"writing {text}")
        write_changes(bus, changes)
        stored.finish(path)

    def _keep(
        self, bus: ServoBus, held: Registers, wanted: Registers
    ) -> tuple[Path, StoredSettings]:
        begun = unfinished_file(self.folder, self.robot, held, wanted)
        if begun is not None:
            return begun
        path = new_file(self.folder, self.robot)
        as_reached = replace(bus.config, port=bus.port.port_name)
        stored = StoredSettings(self.robot, as_reached, held)
        try:
            stored.write(path)
        except OSError as error:
            raise RobotError(
                f"{path} cannot be written ({error.strerror}): give another settings_folder;"
                " nothing was written to the servos"
            ) from error
        return path, stored


def restore(
    bus: ServoBus,
    stored: StoredSettings,
    report: Callable[[str], None] = print,
) -> list[Change]:
    """Put settings back. A run that was interrupted is repeated as a whole.

    Args:
        bus: An open bus of these servos.
        stored: What they are to hold.
        report: Receives one line for each servo.

    Returns:
        What was changed.

    Raises:
        RobotError: A servo has torque, does not answer, refuses, or is of another model; before the
            first write, unless a servo refuses or falls silent.
    """
    with bus.patient():
        require_models(bus)
        lock_all(bus)
        held = read_settings(bus, stored.registers)
        changes = find_changes(held, stored.registers)
        require_limp(bus, changes)
        for text in describe(bus.config, changes):
            report(f"writing {text}")
        write_changes(bus, changes)
    return changes


def require_models(bus: ServoBus) -> None:
    """Check that each servo is of the model that the bus says.

    Raises:
        ServoSilent: One does not answer.
        RobotError: One is of another model; names both.
    """
    config = bus.config
    for servo in config.servos:
        number = _model_number(bus, servo.id)
        if number != config.model(servo).number:
            names = {model.number: name for name, model in bus.table.models.items()}
            raise RobotError(
                f"{config.label(servo.id)} is a {names.get(number, f'model {number}')},"
                f" expected a {servo.model}; correct the id or the model in the robot's file"
            )


def _model_number(bus: ServoBus, servo_id: int) -> int:
    """The number of a servo's model. Raises: ServoSilent naming the baud rate at which it does
    answer.
    """
    try:
        return bus.ping(servo_id)
    except ServoSilent as error:
        silent = error
    factory = bus.table.factory_baud
    rates = (rate for rate in (factory, *BAUDS) if rate != bus.config.baud)
    for rate in dict.fromkeys(rates):
        if bus.answers_at(servo_id, rate):
            origin = ", as it comes from the factory" if rate == factory else ""
            raise ServoSilent(
                f"{bus.config.label(servo_id)} answers at {rate} bit/s{origin}, and the robot's"
                f" file says baud: {bus.config.baud}; set the servos to {bus.config.baud} with the"
                f" vendor's tool, or write baud: {rate} into the file"
            ) from silent
    raise silent
