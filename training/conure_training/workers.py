"""Work in parallel processes, in blocks, with a progress bar; an interrupted run leaves no process behind."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from conure_core.errors import ConfigError, unknown_name
from conure_training.cluster import run_on_cluster

ENGINES = ("processes", "ray")
Block = TypeVar("Block")
Result = TypeVar("Result")


def worker_count(wanted: int) -> int:
    """The number of processes: as configured, or one a core."""
    return wanted if wanted > 0 else len(os.sched_getaffinity(0))


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
    """What runs the blocks: `processes` of this machine, or `ray`; `ray_address` empty: a cluster here, for this alone.

    `workers` 0: one a core. On a cluster that runs already its CPUs count, not `workers`.
    """

    name: str = ENGINES[0]
    workers: int = 0
    ray_address: str = ""

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise unknown_name("engine", self.name, ENGINES)
        if self.ray_address and self.name != "ray":
            raise ConfigError(f"ray_address='{self.ray_address}' needs engine=ray, got engine={self.name}")


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
    work: Callable[[Block], Result], blocks: Sequence[Block], engine: Engine, label: str, size: Callable[[Block], int]
) -> Iterator[tuple[Block, Result]]:
    """(block, work(block)) as they end. `work` must be importable; each worker is a fresh process of one thread."""
    workers = worker_count(engine.workers)
    if engine.name == "ray":
        results = run_on_cluster(work, blocks, workers, engine.ray_address)
    else:
        results = _run_on_processes(work, blocks, workers)
    with progress_bar() as bar, closing(results):
        task = bar.add_task(label, total=sum(map(size, blocks)), note="")
        for block, result in results:
            bar.advance(task, size(block))
            yield block, result


def _run_on_processes(
    work: Callable[[Block], Result], blocks: Sequence[Block], workers: int
) -> Generator[tuple[Block, Result], None, None]:
    with _one_thread(), _pool(multiprocessing.get_context("spawn"), workers) as pool:
        futures = {pool.submit(work, block): block for block in blocks}
        for future in as_completed(futures):
            yield futures[future], future.result()


class _pool:
    """A process pool that, when its block fails or is interrupted, kills its workers instead of waiting for them."""

    def __init__(self, context: Any, workers: int) -> None:
        self._pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_ignore_interrupt)

    def __enter__(self) -> ProcessPoolExecutor:
        return self._pool

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is not None:
            for process in list((self._pool._processes or {}).values()):
                process.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupt() -> None:
    """Ctrl-C reaches the whole process group; the parent decides what becomes of its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _one_thread:
    """Workers inherit one-thread maths libraries: processes fill the cores already."""

    NAMES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in self.NAMES}
        os.environ.update(dict.fromkeys(self.NAMES, "1"))

    def __exit__(self, *_: Any) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def use_threads() -> Iterator[None]:
    """Let torch use every core for a while, as training alone may; elsewhere one thread is faster."""
    before = torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
