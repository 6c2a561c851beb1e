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
    """The project's progress bar: task, items done, elapsed time, time left, a note."""
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
    """The processes that do blocks of work."""

    name: str = ENGINES[0]
    """`processes` of this machine, or `ray`."""

    workers: int = 0
    """Number of processes; 0: one a core. A Ray cluster that runs already uses its own CPUs."""

    ray_address: str = ""
    """HOST:PORT of a running Ray cluster, or "auto"; empty: one on this machine, for this run."""

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise unknown_name("engine", self.name, ENGINES)
        if self.ray_address and self.name != "ray":
            raise ConfigError(
                f"ray_address='{self.ray_address}' needs engine=ray, got engine={self.name}"
            )


class EngineSettings(Protocol):
    """The fields of every configuration that has blocks of work, see `Engine`."""

    @property
    def engine(self) -> str: ...
    @property
    def workers(self) -> int: ...
    @property
    def ray_address(self) -> str: ...


def make_engine(settings: EngineSettings) -> Engine:
    """Make the engine of a configuration. Raises: ConfigError for an unknown one."""
    return Engine(settings.engine, settings.workers, settings.ray_address)


def run_blocks(
    work: Callable[[Block], Result],
    blocks: Sequence[Block],
    engine: Engine,
    label: str,
    size: Callable[[Block], int],
) -> Iterator[tuple[Block, Result]]:
    """Do blocks of work in parallel, with a progress bar.

    Args:
        work: Called once a block, in a fresh process of one thread; must be importable there.
        blocks: What `work` takes, one at a time; hashable and picklable.
        engine: Where it runs.
        label: The progress bar's text.
        size: Items in a block, which the progress bar counts.

    Yields:
        (block, work(block)), in the order in which they end.

    Raises:
        WorkerError: A worker died; the exceptions of `work` pass through.
    """
    workers = worker_count(engine.workers)
    if engine.name == "ray":
        results = run_on_cluster(work, blocks, workers, engine.ray_address)
    else:
        results = run_on_processes(work, blocks, workers)
    with progress_bar() as bar, closing(results):
        total = sum(map(size, blocks))
        task = bar.add_task(label, total=total, note="")
        for block, result in results:
            bar.advance(task, size(block))
            yield block, result
