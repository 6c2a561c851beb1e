"""Work in parallel processes, in blocks; an interrupted run leaves no process behind."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

Block = TypeVar("Block")
Result = TypeVar("Result")


def worker_count(wanted: int) -> int:
    """The number of processes: as configured, or one a core."""
    return wanted if wanted > 0 else len(os.sched_getaffinity(0))


def run_on_processes(
    work: Callable[[Block], Result], blocks: Sequence[Block], workers: int
) -> Generator[tuple[Block, Result], None, None]:
    """(block, work(block)) as they end. `work` must be importable; each worker is a fresh process of one thread.

    Closing it before its end kills the workers.
    """
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
