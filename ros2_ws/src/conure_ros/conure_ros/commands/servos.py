"""`conure servos restore FILE [port=DEVICE]`: put back what an arm's servos held before
`write_settings=true`.
"""

from dataclasses import replace
from pathlib import Path

from conure_core.errors import ConfigError
from conure_core.servos.bus_config import port_path
from conure_core.servos.stored_settings import read_stored
from conure_ros.drivers.servo_bus import open_bus
from conure_ros.drivers.settings import FOLDER, RESTORE, restore

USAGE = f"{RESTORE} FILE [port=DEVICE]"
PORT = "port="


def run(words: list[str]) -> None:
    """Put back what an arm's servos kept without power, from the file that Conure made.

    Raises: ConfigError, DataError, RobotError; nothing was written unless the message says so.
    """
    if not words or not {"-h", "--help"}.isdisjoint(words):
        print(
            f"{USAGE}\n\nFILE: one below {FOLDER}/ROBOT, written by write_settings=true.\n"
            "port: where the servos are; by default where they were then. The arm must be limp."
        )
        return
    ports = [word.removeprefix(PORT) for word in words if word.startswith(PORT)]
    files = [word for word in words if not word.startswith(PORT)]
    if len(files) != 1 or len(ports) > 1:
        raise ConfigError(f"expected one FILE, got {', '.join(words)}; {USAGE}")
    stored = read_stored(Path(files[0]).expanduser())
    bus_config = stored.bus
    if ports:
        bus_config = replace(bus_config, port=ports[0])
    bus = open_bus(bus_config, str(port_path("", bus_config)))
    try:
        changes = restore(bus, stored)
    finally:
        bus.close()
    count = len({change.servo_id for change in changes})
    what = f"{len(changes)} settings of {count} servos were put back"
    print(what if changes else "the servos hold these settings: nothing was written")
