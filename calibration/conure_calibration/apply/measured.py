"""The results of all calibrations of one arm, read for use."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conure_calibration.results.result import RESULT, Quantity, Result, read_result
from conure_core.errors import ConfigError, SpecMismatch
from conure_core.robot.description import RobotConfig

OF_AN_ARM = ("hand_eye", "joints", "dynamics", "scene")
CALIBRATIONS = ("camera", "hand_eye", "joints", "latency", "dynamics", "scene")


@dataclass(frozen=True)
class Measured:
    """What is known of one arm and its camera."""

    robot: RobotConfig
    folder: Path
    """Holds a folder for each calibration."""
    results: dict[str, Result]
    """Those that there are, by calibration."""

    def find(self, what: str, name: str) -> Quantity | None:
        """A quantity of a calibration; None where it was not measured."""
        if what not in self.results:
            return None
        found = {quantity.name: quantity for quantity in self.results[what].quantities}
        return found.get(name)

    def value(self, what: str, name: str) -> float:
        """The value of a quantity; 0 where it was not measured."""
        found = self.find(what, name)
        return 0.0 if found is None else found.value

    @property
    def offsets(self) -> tuple[Quantity, ...]:
        """The joint offsets, deg, of `joints`, or else those of `hand_eye`."""
        what = "joints" if "joints" in self.results else "hand_eye"
        found = self.results[what].quantities if what in self.results else ()
        return tuple(quantity for quantity in found if quantity.name.startswith("offset_"))


def read_measured(
    folder: Path,
    robot: RobotConfig,
    wanted: Sequence[str] = (),
) -> Measured:
    """Read the results in a folder.

    Args:
        folder: Holds WHAT/result.yaml, as `conure calibrate WHAT` writes them.
        robot: The arm they must be of.
        wanted: Which calibrations; empty: those that are there.

    Raises:
        ConfigError: There is none, a wanted one is missing, one is damaged, or its verdict refuses
            it.
        SpecMismatch: One is of another arm, or its images have another size than the camera's.
    """
    there = [what for what in CALIBRATIONS if (folder / what / RESULT).is_file()]
    if not there:
        names = ", ".join(CALIBRATIONS)
        raise ConfigError(
            f"{folder} has no WHAT/{RESULT} with WHAT of {names}; run conure calibrate WHAT first"
        )
    missing = [what for what in wanted if what not in there]
    if missing:
        raise ConfigError(
            f"{folder / missing[0] / RESULT} is missing; run conure calibrate {missing[0]} first"
        )
    results: dict[str, Result] = {}
    for what in wanted or there:
        path = folder / what / RESULT
        name = robot.name if what in OF_AN_ARM else ""
        size = None
        if what == "hand_eye" and "camera" in results:
            size = (results["camera"].width_px, results["camera"].height_px)
        try:
            results[what] = read_result(path, what, name, size)
        except (ConfigError, SpecMismatch) as error:
            others = ",".join(other for other in wanted or there if other != what)
            raise type(error)(f"{error}, or leave it out: what=[{others}]") from error
    return Measured(robot, folder, results)
