"""The result of a calibration: a YAML file that says where it comes from and what it is worth."""

import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import yaml

from conure_core.config.yaml_fields import read_fields, tuples_as_lists
from conure_core.errors import ConfigError, SpecMismatch
from conure_core.runtime.atomic_files import write_text
from conure_core.runtime.provenance import git_commit

FORMAT = 1
RESULT = "result.yaml"
NORMAL_90 = 1.6449
"""Half width of the nominal 90 % interval in standard deviations, where there are many data."""


@dataclass(frozen=True)
class Quantity:
    """One number that was measured, with its interval."""

    name: str
    """What it is, unit as suffix, such as "focal_x_px"."""
    value: float
    deviation: float
    """Standard deviation."""
    low: float
    """Lower end of the nominal 90 % interval."""
    high: float
    """Upper end of it."""

    @classmethod
    def of(
        cls,
        name: str,
        value: float,
        deviation: float,
        quantile: float = NORMAL_90,
    ) -> "Quantity":
        """Build a quantity with a symmetric interval.

        Args:
            name: What it is, unit as suffix.
            value: The estimate.
            deviation: Its standard deviation, in the same unit.
            quantile: Half width of the 90 % interval in standard deviations.
        """
        half = quantile * deviation
        numbers = (float(number) for number in (value, deviation, value - half, value + half))
        return cls(name, *numbers)


@dataclass(frozen=True)
class Verdict:
    """Whether a result may be used, in a sentence."""

    usable: bool
    sentence: str
    problems: tuple[str, ...] = ()
    """What is wrong with the data, by name; a usable result has warnings here."""


@dataclass(frozen=True)
class Result:
    """The file `result.yaml`."""

    format: int
    """Version of this layout."""
    what: str
    """Which calibration: "camera", "hand_eye", ..."""
    date: str
    """UTC, ISO 8601."""
    version: str
    """Commit of the sources that computed it."""
    data: str
    """Folder of the raw data."""
    data_sha256: str
    """Of the raw data, names and contents."""
    robot: str
    """Name of the arm; empty where the result is of no arm."""
    width_px: int
    """Width of the camera's images; 0 where there is no camera."""
    height_px: int
    quantities: tuple[Quantity, ...]
    not_observable: tuple[str, ...]
    """What these data cannot tell, and why."""
    verdict: Verdict

    def value(self, name: str) -> float:
        """The value of a quantity. Raises: ConfigError if there is none of this name."""
        found = {quantity.name: quantity.value for quantity in self.quantities}
        if name not in found:
            raise ConfigError(f"the result of {self.what} has no '{name}'; it has {list(found)}")
        return found[name]


def new_result(
    what: str,
    folder: Path,
    quantities: tuple[Quantity, ...],
    verdict: Verdict,
    robot: str = "",
    size_px: tuple[int, int] = (0, 0),
    not_observable: tuple[str, ...] = (),
) -> Result:
    """Build a result of the data in a folder, as of the present date and sources.

    Args:
        what: Which calibration.
        folder: The raw data.
        quantities: What was measured.
        verdict: What it is worth.
        robot: Name of the arm, if it is of one.
        size_px: Width and height of the camera's images, if it is of one.
        not_observable: What the data cannot tell, and why.
    """
    when = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Result(
        format=FORMAT,
        what=what,
        date=when,
        version=git_commit(),
        data=str(folder.resolve()),
        data_sha256=data_hash(folder),
        robot=robot,
        width_px=size_px[0],
        height_px=size_px[1],
        quantities=quantities,
        not_observable=not_observable,
        verdict=verdict,
    )


def write_result(path: Path, result: Result) -> None:
    """Write a result, whole or not at all.

    Args:
        path: The YAML file.
        result: What is written.
    """
    write_text(path, yaml.safe_dump(tuples_as_lists(asdict(result)), sort_keys=False, width=100))


def read_result(
    path: Path,
    what: str,
    robot: str = "",
    size_px: tuple[int, int] | None = None,
) -> Result:
    """Read a result for a use.

    Args:
        path: The YAML file.
        what: Which calibration it must be.
        robot: Name of the arm it must be of; empty: any.
        size_px: Width and height of the images it must be for; None: any.

    Raises:
        ConfigError: It is damaged, of another version, or its verdict refuses it; names file and
            field.
        SpecMismatch: It is of another calibration, arm or image size.
    """
    result = read_fields(path, Result)
    if result.format != FORMAT:
        raise ConfigError(f"{path}: format must be {FORMAT}, got {result.format}; calibrate again")
    if not result.verdict.usable:
        raise ConfigError(f"{path}: verdict: not usable: {result.verdict.sentence}")
    found = (result.width_px, result.height_px)
    for name, expected, got in (
        ("what", what, result.what),
        ("robot", robot or result.robot, result.robot),
        ("width_px and height_px", size_px or found, found),
    ):
        if expected != got:
            raise SpecMismatch(f"{path}: {name} must be {expected}, got {got}; calibrate that one")
    return result


def data_hash(folder: Path) -> str:
    """SHA-256 over the names and contents of all files in a folder, in the order of their names."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{path.relative_to(folder)}\0{content}\n".encode())
    return total.hexdigest()
