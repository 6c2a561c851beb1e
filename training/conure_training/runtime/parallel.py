"""Work in blocks, on processes of this machine or on a Ray cluster, with a progress bar."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from conure_core.errors import ConfigError, unknown_name
from conure_core.runtime.processes import Block, Result, run_on_processes, worker_count
from conure_training.runtime.ray_cluster import run_on_cluster

ENGINES = ("processes", "ray")


def progress_bar() -> Progress:
    """The project's progress bar: what, how far, how long since, how long to go."""
    return Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )


@dataclass(frozen=True)
class Engine:
    """What runs the blocks: `processes` of this machine, or `ray`; `ray_address` empty: a cluster
    here, for this alone.

    `workers` 0: one a core. On a cluster that runs already its CPUs count, not `workers`.
    """

    name: str = ENGINES[0]
    workers: int = 0
    ray_address: str = ""

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise unknown_name("engine", self.name, ENGINES)
        if self.ray_address and self.name != "ray":
            raise ConfigError(
                f"ray_address='{self.ray_address}' needs engine=ray, got engine={self.name}"
            )


class EngineSettings(Protocol):
    """What every configuration with blocks of work has."""

    @property
    def engine(self) -> str: ...
    @property
    def workers(self) -> int: ...
    @property
    def ray_address(self) -> str: ...


def engine_of(settings: EngineSettings) -> Engine:
    """The engine that a configuration asks for. Raises: ConfigError for an unknown one."""
    return Engine(settings.engine, settings.workers, settings.ray_address)


def run_blocks(
    work: Callable[[Block], Result],
    blocks: Sequence[Block],
    engine: Engine,
    label: str,
    size: Callable[[Block], int],
) -> Iterator[tuple[Block, Result]]:
    """(block, work(block)) as they end. `work` must be importable; each worker is a fresh process
    of one thread.
    """
    workers = worker_count(engine.workers)
    if engine.name == "ray":
        results = run_on_cluster(work, blocks, workers, engine.ray_address)
    else:
        results = run_on_processes(work, blocks, workers)
    with progress_bar() as bar, closing(results):
        task = bar.add_task(label, total=sum(map(size, blocks)), note="")
        for block, result in results:
            bar.advance(task, size(block))
            yield block, result
