"""`conure bench calibration`: the solvers against the truth, as a table and as a JSON file."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, product

import numpy as np

from conure_calibration.benchmarks.arm_cases import reference_arm
from conure_calibration.benchmarks.camera_cases import camera_errors
from conure_calibration.benchmarks.hand_eye_cases import (
    FAULTS,
    MOUNTS,
    HandEyeErrors,
    fault_found,
    hand_eye_errors,
)
from conure_calibration.benchmarks.motion_cases import draw_latency, motion_errors
from conure_calibration.latency.solve import solve_latency
from conure_core.cli.bench_report import Row, measure_rows
from conure_core.config.loader import load_config
from conure_core.config.values import COUNT, SEED, check_values
from conure_core.errors import unknown_name

OFFSETS_DEG = (1.0, 3.0)
CAMERA_MM = {1.0: (2.5, 5.0), 3.0: (3.0, 6.0)}
"""Required median and 90th percentile of the camera's error, by the offsets' size in degrees."""
COVERED = (0.85, 0.95)


@dataclass(frozen=True)
class BenchConfig:
    """Configuration of `conure bench calibration`; see conf/bench_calibration.yaml."""

    out: str
    """The report, a JSON file."""
    rows: list[str]
    """Names of the measurements, in order."""
    cases: int = field(metadata=COUNT)
    """Random cases of each row, of each mount and size of offsets."""
    seed: int = field(metadata=SEED)
    """Of the first case; the next one has the next."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        for row in self.rows:
            if row not in MEASUREMENTS:
                raise unknown_name("row of conure bench calibration", row, MEASUREMENTS)

    @property
    def seeds(self) -> range:
        """A seed for each case."""
        return range(self.seed, self.seed + self.cases)


def run(overrides: list[str]) -> None:
    """Measure the calibration's solvers against a truth that they are not told."""
    config = load_config("conure_calibration.conf", "bench_calibration", BenchConfig, overrides)
    measure_rows(config, MEASUREMENTS)


def _spread(
    name: str,
    values: Sequence[float],
    unit: str,
    median_at_most: float | None = None,
    p90_at_most: float | None = None,
) -> Iterator[Row]:
    """Median and 90th percentile of some cases."""
    median = float(np.median(values))
    p90 = float(np.percentile(values, 90))
    yield Row(f"{name}, median", median, unit, at_most=median_at_most)
    yield Row(f"{name}, 90th percentile", p90, unit, at_most=p90_at_most)


def _share(covered: Sequence[tuple[bool, ...]]) -> float:
    """Share of all intervals of all cases that hold the truth."""
    return float(np.mean(list(chain.from_iterable(covered))))


def _coverage(name: str, covered: Sequence[tuple[bool, ...]]) -> Iterator[Row]:
    yield Row(f"{name}: 90 % intervals that hold the truth", _share(covered), "", *COVERED)


def _intrinsics(config: BenchConfig) -> Iterator[Row]:
    cases = [camera_errors(seed) for seed in config.seeds]
    focal = [case.focal_percent for case in cases]
    centre = [case.centre_px for case in cases]
    held_out = [case.held_out_px for case in cases]
    yield from _spread("focal length error", focal, "%", 0.3)
    yield from _spread("principal point error", centre, "px", 2.0)
    yield from _spread("held-out reprojection", held_out, "px", 0.3)
    share = _share([case.covered for case in cases])
    note = "wide here: they allow for detectors' biases, of which rendered images have little"
    name = "intrinsics: 90 % intervals that hold the truth"
    yield Row(name, share, "", *COVERED, note=note)


def _hand_eye(config: BenchConfig) -> Iterator[Row]:
    for mount, offset_deg in product(MOUNTS, OFFSETS_DEG):
        cases = _hand_eye_cases(config, mount, offset_deg)
        name = f"{mount}, offsets {offset_deg:g} deg"
        yield from _camera_rows(name, cases, offset_deg)
        offsets = list(chain.from_iterable(case.offsets_deg for case in cases))
        worst = [max(case.offsets_deg) for case in cases]
        yield from _spread(f"{name}: joint offset error", offsets, "deg", 0.3)
        yield from _spread(f"{name}: the same, worst joint", worst, "deg")


def _camera_rows(
    name: str,
    cases: list[HandEyeErrors],
    offset_deg: float,
) -> Iterator[Row]:
    """The camera's place, by us and by Park and Martin alone, and the tool's at other poses."""
    ours = [case.camera_mm for case in cases]
    park = [case.camera_park_mm for case in cases]
    held_out = [case.held_out_mm for case in cases]
    ratio = float(np.median(park) / np.median(ours))
    smallest = offset_deg == OFFSETS_DEG[0]
    least_ratio = 4.0 if smallest else None
    most_held_out_mm = 1.2 if smallest else None
    yield from _spread(f"{name}: camera error", ours, "mm", *CAMERA_MM[offset_deg])
    yield from _spread(f"{name}: the same, Park alone", park, "mm")
    yield Row(f"{name}: Park's error over ours, medians", ratio, "times", least_ratio)
    yield from _spread(f"{name}: held-out tool error", held_out, "mm", most_held_out_mm)
    note = "Cramer-Rao: no unbiased solver does better with these poses and this noise"
    for what in ("camera", "held_out"):
        bound_mm = float(np.median([getattr(case, f"{what}_bound_mm") for case in cases]))
        row = f"{name}: median {what.replace('_', '-')} error that the noise leaves"
        yield Row(row, bound_mm, "mm", note=note)


def _intervals(config: BenchConfig) -> Iterator[Row]:
    for mount, offset_deg in product(MOUNTS, (0.0, *OFFSETS_DEG)):
        cases = _hand_eye_cases(config, mount, offset_deg)
        name = f"{mount}, offsets {offset_deg:g} deg"
        yield from _coverage(f"{name}, camera", [case.covered for case in cases])
        yield from _coverage(f"{name}, joints", [case.offsets_covered for case in cases])


def _hand_eye_cases(
    config: BenchConfig,
    mount: str,
    offset_deg: float,
) -> list[HandEyeErrors]:
    offset_rad = float(np.radians(offset_deg))
    return [_hand_eye_case(seed, mount, offset_rad) for seed in config.seeds]


@cache
def _hand_eye_case(
    seed: int,
    mount: str,
    offset_rad: float,
) -> HandEyeErrors:
    """A case, solved once: two rows share it."""
    return hand_eye_errors(seed, mount, offset_rad)


def _faults(config: BenchConfig) -> Iterator[Row]:
    """Twice as many cases as elsewhere, over all kinds of faults."""
    by_fault: dict[str, list[bool]] = {fault: [] for fault in FAULTS}
    for index in range(2 * config.cases):
        turn, kind = divmod(index, len(FAULTS))
        fault = FAULTS[kind]
        mount = MOUNTS[turn % 2]
        by_fault[fault].append(fault_found(config.seed + index, fault, mount))
    for fault, found in by_fault.items():
        if found:
            share = float(np.mean(found))
            yield Row(f"{fault}: refused or found by name", share, "", 1.0)
    good = [fault_found(seed, "none", MOUNTS[seed % 2]) for seed in config.seeds]
    share = float(np.mean(good))
    yield Row("good sets that are accused of nothing", share, "", 0.95)


def _latency(config: BenchConfig) -> Iterator[Row]:
    errors: dict[str, list[float]] = {"camera": [], "feedback": [], "command": []}
    for seed in config.seeds:
        recording, (*true, _) = draw_latency(np.random.default_rng(seed))
        found = solve_latency(recording)
        delays = (found.camera, found.feedback_s, found.command_s)
        for name, delay, seconds in zip(errors, delays, true, strict=True):
            error = abs(delay.seconds - seconds) if delay else np.inf
            errors[name].append(1000 * error)
    for name, values in errors.items():
        yield from _spread(f"{name} delay error, 30 Hz", values, "ms", 5.0, 5.0)


def _dynamics(config: BenchConfig) -> Iterator[Row]:
    _, arm = reference_arm()
    cases = [motion_errors(seed, arm) for seed in config.seeds]
    held_out = [case.held_out_deg for case in cases]
    tool = [case.tool_ratio for case in cases]
    backlash = [case.backlash_deg for case in cases]
    yield from _spread("held-out joint error", held_out, "deg", 0.1)
    name = "tool error against an uncalibrated simulator"
    yield from _spread(name, tool, "", 1 / 3, 1 / 3)
    yield from _spread("backlash error", backlash, "deg")


MEASUREMENTS: dict[str, Callable[[BenchConfig], Iterator[Row]]] = {
    "intrinsics": _intrinsics,
    "hand_eye": _hand_eye,
    "intervals": _intervals,
    "faults": _faults,
    "latency": _latency,
    "dynamics": _dynamics,
}
