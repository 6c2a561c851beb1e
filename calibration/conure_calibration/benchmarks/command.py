"""`conure bench calibration`: the solvers against the truth, as a table and as a JSON file."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

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
    yield Row(f"{name}, median", float(np.median(values)), unit, at_most=median_at_most)
    yield Row(
        f"{name}, 90th percentile", float(np.percentile(values, 90)), unit, at_most=p90_at_most
    )


def _coverage(name: str, covered: Sequence[tuple[bool, ...]]) -> Iterator[Row]:
    share = float(np.mean([inside for case in covered for inside in case]))
    yield Row(f"{name}: 90 % intervals that hold the truth", share, "", *COVERED)


def _intrinsics(config: BenchConfig) -> Iterator[Row]:
    cases = [camera_errors(seed) for seed in config.seeds]
    yield from _spread("focal length error", [case.focal_percent for case in cases], "%", 0.3)
    yield from _spread("principal point error", [case.centre_px for case in cases], "px", 2.0)
    yield from _spread("held-out reprojection", [case.held_out_px for case in cases], "px", 0.3)
    share = float(np.mean([inside for case in cases for inside in case.covered]))
    note = "wide here: they allow for detectors' biases, of which rendered images have little"
    name = "intrinsics: 90 % intervals that hold the truth"
    yield Row(name, share, "", *COVERED, note=note)


def _hand_eye(config: BenchConfig) -> Iterator[Row]:
    for mount in MOUNTS:
        for offset_deg in OFFSETS_DEG:
            cases = _hand_eye_cases(config, mount, offset_deg)
            name = f"{mount}, offsets {offset_deg:g} deg"
            ours = [case.camera_mm for case in cases]
            park = [case.camera_park_mm for case in cases]
            yield from _spread(f"{name}: camera error", ours, "mm", *CAMERA_MM[offset_deg])
            yield from _spread(f"{name}: the same, Park alone", park, "mm")
            ratio = float(np.median(park) / np.median(ours))
            asked = 4.0 if offset_deg == OFFSETS_DEG[0] else None
            yield Row(f"{name}: Park's error over ours, medians", ratio, "times", asked)
            held_out = [case.held_out_mm for case in cases]
            limit = 1.2 if offset_deg == OFFSETS_DEG[0] else None
            yield from _spread(f"{name}: held-out tool error", held_out, "mm", limit)
            offsets = [error for case in cases for error in case.offsets_deg]
            yield from _spread(f"{name}: joint offset error", offsets, "deg", 0.3)
            worst = [max(case.offsets_deg) for case in cases]
            yield from _spread(f"{name}: the same, worst joint", worst, "deg")


def _intervals(config: BenchConfig) -> Iterator[Row]:
    for mount in MOUNTS:
        for offset_deg in (0.0, *OFFSETS_DEG):
            cases = _hand_eye_cases(config, mount, offset_deg)
            name = f"{mount}, offsets {offset_deg:g} deg"
            yield from _coverage(f"{name}, camera", [case.covered for case in cases])
            yield from _coverage(f"{name}, joints", [case.offsets_covered for case in cases])


def _hand_eye_cases(config: BenchConfig, mount: str, offset_deg: float) -> list[HandEyeErrors]:
    key = (config.seed, config.cases, mount, offset_deg)
    if key not in _solved:
        _solved[key] = [
            hand_eye_errors(seed, mount, float(np.radians(offset_deg))) for seed in config.seeds
        ]
    return _solved[key]


_solved: dict[tuple[int, int, str, float], list[HandEyeErrors]] = {}
"""Cases that two rows share."""


def _faults(config: BenchConfig) -> Iterator[Row]:
    """Twice as many cases as elsewhere, over all kinds of faults."""
    by_fault: dict[str, list[bool]] = {fault: [] for fault in FAULTS}
    for index in range(2 * config.cases):
        fault = FAULTS[index % len(FAULTS)]
        mount = MOUNTS[index // len(FAULTS) % 2]
        by_fault[fault].append(fault_found(config.seed + index, fault, mount))
    for fault, found in by_fault.items():
        if found:
            yield Row(f"{fault}: refused or found by name", float(np.mean(found)), "", 1.0)
    good = [fault_found(seed, "none", MOUNTS[seed % 2]) for seed in config.seeds]
    yield Row("good sets that are accused of nothing", float(np.mean(good)), "", 0.95)


def _latency(config: BenchConfig) -> Iterator[Row]:
    errors: dict[str, list[float]] = {"camera": [], "feedback": [], "command": []}
    for seed in config.seeds:
        recording, true = draw_latency(np.random.default_rng(seed))
        found = solve_latency(recording)
        delays = (found.camera, found.feedback_s, found.command_s)
        for name, delay, seconds in zip(errors, delays, true[:3], strict=True):
            errors[name].append(1000 * abs(delay.seconds - seconds) if delay else np.inf)
    for name, values in errors.items():
        yield from _spread(f"{name} delay error, 30 Hz", values, "ms", 5.0, 5.0)


def _dynamics(config: BenchConfig) -> Iterator[Row]:
    _, chain = reference_arm()
    cases = [motion_errors(seed, chain) for seed in config.seeds]
    yield from _spread("held-out joint error", [case.held_out_deg for case in cases], "deg", 0.1)
    name = "tool error against an uncalibrated simulator"
    yield from _spread(name, [case.tool_ratio for case in cases], "", 1 / 3, 1 / 3)
    yield from _spread("backlash error", [case.backlash_deg for case in cases], "deg")


MEASUREMENTS: dict[str, Callable[[BenchConfig], Iterator[Row]]] = {
    "intrinsics": _intrinsics,
    "hand_eye": _hand_eye,
    "intervals": _intervals,
    "faults": _faults,
    "latency": _latency,
    "dynamics": _dynamics,
}
