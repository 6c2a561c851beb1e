"""`conure bench sim`: measure the environments here, as a table and as out/bench/sim.json."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import conure_sim.benchmarks.measurements as measure
from conure_core.cli.bench_report import Row, measure_rows
from conure_core.config.loader import load_config
from conure_core.config.values import BATCH, bounds, check_values
from conure_core.errors import unknown_name
from conure_core.robot.description import load_robot
from conure_sim.benchmarks.collection import collection_minutes
from conure_sim.benchmarks.experts import Cell, expert_rates
from conure_sim.benchmarks.restoring import restore_deviations
from conure_sim.randomization.factors import factors_at_rest, find_randomization
from conure_sim.tasks import TASKS, find_task
from conure_sim.tools.determinism import compare_runs

FIRST_GROUP = ("Lift", "Place", "Push", "Press", "DrawerOpen")
EASY_SUCCESS = {"none": 0.90, "full": 0.75}
HARD_SUCCESS = {"none": 0.70, "full": 0.70}


@dataclass(frozen=True)
class BenchConfig:
    """Configuration of `conure bench sim`; see conf/bench_sim.yaml."""

    out: str
    """The report, a JSON file."""
    rows: list[str]
    """Names of the measurements, in order."""
    task: str
    """Whose environment is measured."""
    arm: str
    """Arm of that environment."""
    arms: list[str]
    """For `delta` and `experts`."""
    image_sizes: list[int] = field(metadata=BATCH)
    """For `speed`, px."""
    physics_substeps: int = field(metadata=BATCH)
    """Physics steps in a control period, for `speed` and `parallel`."""
    steps: int = field(metadata=BATCH)
    """For each image size, and of each process in `parallel`."""
    resets: int = field(metadata=BATCH)
    """For `reset`."""
    memory_resets: int = field(metadata=BATCH)
    """For `memory`."""
    processes: int = field(metadata=bounds(1, 1024))
    """Number of processes that work at once."""
    determinism_tasks: list[str]
    """Empty: every task."""
    determinism_steps: int = field(metadata=BATCH)
    """Length of each run."""
    delta_steps: int = field(metadata=BATCH)
    """Number of actions of each arm."""
    expert_tasks: list[str]
    """Empty: every task."""
    expert_episodes: int = field(metadata=BATCH)
    """Episodes of each arm, task and preset."""
    demonstration_episodes: int = field(metadata=BATCH)
    """Number of episodes that `conure demos` collects."""
    restore_tasks: list[str] = field(default_factory=list)
    """For `restore`; empty: every task."""
    restore_episodes: int = field(default=10, metadata=BATCH)
    """Episodes of each task's expert, for `restore`."""
    randomization: dict[str, Any] = field(default_factory=factors_at_rest)
    """Randomization of the environment whose speed is measured."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if row not in MEASUREMENTS:
                raise unknown_name("row of conure bench sim", row, MEASUREMENTS)
        for task in (
            self.task,
            *self.determinism_tasks,
            *self.expert_tasks,
            *self.restore_tasks,
        ):
            find_task(task)
        for arm in (self.arm, *self.arms):
            load_robot(arm)
        find_randomization(self.randomization)
        check_values(vars(self), type(self))

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the environment whose speed is measured: three convex objects."""
        return {
            "task": self.task,
            "arm": self.arm,
            "randomization": self.randomization,
            "distractors": 2,
        }


def run(overrides: list[str]) -> None:
    """Measure the environments: speed, resets, memory, experts."""
    config = load_config("conure_sim.conf", "bench_sim", BenchConfig, overrides)
    measure_rows(config, MEASUREMENTS)


def _speed(config: BenchConfig) -> Iterator[Row]:
    for size in config.image_sizes:
        settings = {
            **config.settings,
            "image_size": size,
            "physics_substeps": config.physics_substeps,
        }
        ours, bare, busy = measure.step_rates(config.steps, **settings)
        required = 400 if size == 48 and config.physics_substeps == 10 else None
        substeps = f"{config.physics_substeps} substeps"
        name = f"steps/s, {size}x{size}, {substeps} ({busy:.0f} a second of processor time)"
        yield Row(name, ours, "1/s", required)
        yield Row(f"  against a bare PyBullet loop ({bare:.0f}/s)", ours / bare, "", 0.75)


def _state(config: BenchConfig) -> Iterator[Row]:
    """Steps without images, against those with images of the first size and bare physics."""
    substeps = config.physics_substeps
    settings = {**config.settings, "physics_substeps": substeps}
    *_, seen = measure.step_rates(config.steps, **settings, image_size=config.image_sizes[0])
    ours, bare, busy = measure.step_rates(config.steps, **settings, images=False)
    name = f"steps/s, images=false, {substeps} substeps ({busy:.0f} a second of processor time)"
    yield Row(name, ours, "1/s")
    name = f"  against images of {config.image_sizes[0]} px ({seen:.0f}), by processor time"
    yield Row(name, busy / seen, "times")
    yield Row(f"  against bare PyBullet without rendering ({bare:.0f}/s)", ours / bare, "")


def _restore(config: BenchConfig) -> Iterator[Row]:
    for task in config.restore_tasks or list(TASKS):
        times, in_place, rebuilt = restore_deviations(task, config.restore_episodes, arm=config.arm)
        yield Row(f"{task}: restore_state, exact", times.exact, "ms")
        yield Row(f"{task}: snapshot, same scene", times.same_scene, "ms", at_most=5.0)
        yield Row(f"{task}: snapshot, scene rebuilt", times.other_scene, "ms")
        for name, found in (("in place", in_place), ("rebuilt", rebuilt)):
            note = f"of {found.moments} moments, the same actions"
            first = f"{task}, {name}"
            yield Row(f"{first}: identical to the bit", found.identical, "", note=note)
            yield Row(f"{first}: median distance at the end", found.median_mm, "mm", note=note)
            yield Row(f"{first}: 90th percentile of it", found.p90_mm, "mm", note=note)
            yield Row(f"{first}: succeeds as before", found.successes, "", note=note)


def _reset(config: BenchConfig) -> Iterator[Row]:
    milliseconds = 1e3 * measure.reset_median_s(config.resets, **config.settings)
    name = f"reset, median of {config.resets}, randomization {config.randomization['name']}"
    yield Row(name, milliseconds, "ms", at_most=5.0)


def _memory(config: BenchConfig) -> Iterator[Row]:
    grown = measure.memory_growth_mb(config.memory_resets, **config.settings)
    yield Row(f"memory growth over {config.memory_resets} resets", grown, "MB", at_most=20.0)


def _parallel(config: BenchConfig) -> Iterator[Row]:
    settings = {**config.settings, "physics_substeps": config.physics_substeps}
    one = measure.parallel_rate(1, config.steps, **settings)
    together = measure.parallel_rate(config.processes, config.steps, **settings)
    name = f"{config.processes} processes against one ({one:.0f}/s)"
    yield Row(name, together / one, "times", at_least=0.9 * config.processes)


def _determinism(config: BenchConfig) -> Iterator[Row]:
    for task in config.determinism_tasks or list(TASKS):
        settings = {**config.settings, "task": task}
        found = compare_runs(steps=config.determinism_steps, **settings)
        name = f"{task}: {config.determinism_steps} steps alike in two processes, two runs each"
        yield Row(name, float(found.identical), "", 1.0)


def _delta(config: BenchConfig) -> Iterator[Row]:
    for arm in config.arms:
        found = measure.tracking(config.delta_steps, task=config.task, arm=arm)
        commanded = ~found.changed
        note = f"{commanded.sum()} of {len(commanded)} steps; the safety gate altered the others"
        distance_mm = float(1e3 * found.distance_m[commanded].max())
        angle_deg = float(np.degrees(found.angle_rad[commanded].max()))

        name = f"{arm}: end-effector delta, largest distance left"
        yield Row(name, distance_mm, "mm", at_most=3.0, note=note)
        name = f"{arm}: end-effector delta, largest turn left"
        yield Row(name, angle_deg, "deg", at_most=1.0, note=note)


def _experts(config: BenchConfig) -> Iterator[Row]:
    required: dict[Cell, float] = {}
    for arm in config.arms:
        for task in config.expert_tasks or list(TASKS):
            for preset, rate in _required_rates(task).items():
                required[Cell(arm, task, preset)] = rate

    kept = Path(config.out).with_suffix(".experts.json")
    rates = expert_rates(list(required), config.expert_episodes, config.processes, kept)
    for cell, rate in rates:
        yield Row(cell.name, rate, "", required[cell])


def _required_rates(task: str) -> dict[str, float]:
    """The required success rate of a task's expert under each preset."""
    easy = task.startswith(FIRST_GROUP) and task != "PlaceInDrawer"
    return EASY_SUCCESS if easy else HARD_SUCCESS


def _demonstrations(config: BenchConfig) -> Iterator[Row]:
    name = f"minutes for 50,000 transitions, 48x48, {config.processes} processes"
    folder = Path(config.out).parent / "demonstrations"
    try:
        minutes = collection_minutes(
            config.task, config.arm, config.demonstration_episodes, config.processes, folder
        )
    except ModuleNotFoundError as error:
        note = f"not measured: {error.name} is not there; pip install 'conure[training]'"
        yield Row(name, None, "min", note=note)
        return
    yield Row(name, minutes, "min", at_most=4.0)


MEASUREMENTS: dict[str, Callable[[BenchConfig], Iterator[Row]]] = {
    "speed": _speed,
    "state": _state,
    "reset": _reset,
    "memory": _memory,
    "parallel": _parallel,
    "determinism": _determinism,
    "restore": _restore,
    "delta": _delta,
    "experts": _experts,
    "demonstrations": _demonstrations,
}
