"""Work in parallel processes, in blocks, and processes that end with the one that started them.

Every child of a verb is tied to its parent: however the parent ends, SIGKILL included, no process
is left behind.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, TypeVar

from conure_core.errors import WorkerError

Block = TypeVar("Block")
Result = TypeVar("Result")
PR_SET_PDEATHSIG = 1
LOST_PARENT = 1
"""Exit status of a child whose parent is gone."""
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def worker_count(wanted: int) -> int:
    """Compute the number of processes: as configured, or one a core where that is 0 or less."""
    return wanted if wanted > 0 else len(os.sched_getaffinity(0))


def run_on_processes(
    work: Callable[[Block], Result],
    blocks: Sequence[Block],
    workers: int,
) -> Generator[tuple[Block, Result], None, None]:
    """Work on blocks in parallel, each worker a fresh process of one thread.

    Closing the generator before its end kills the workers.

    Args:
        work: A function that a fresh process can import.
        blocks: What it is called with, each once; must be picklable, as its results.
        workers: Number of processes, 1 or more; see `worker_count`.

    Yields:
        (block, work(block)), in the order in which they end.

    Raises:
        WorkerError: A worker was killed.
    """
    with one_thread(), _pool(workers) as pool:
        futures = {pool.submit(work, block): block for block in blocks}
        for future in as_completed(futures):
            try:
                result = future.result()
            except BrokenProcessPool as error:
                raise WorkerError(
                    "a worker process was killed, perhaps for want of memory; give fewer workers"
                    " and run the same command again"
                ) from error
            yield futures[future], result


class _pool:
    """A process pool that, when its block fails or is interrupted, kills its workers instead of
    waiting for them.
    """

    def __init__(self, workers: int) -> None:
        self._pool = tied_pool(workers)

    def __enter__(self) -> ProcessPoolExecutor:
        return self._pool

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is not None:
            for process in list((self._pool._processes or {}).values()):
                process.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)


def tied_pool(workers: int) -> ProcessPoolExecutor:
    """Make a pool of processes that end with this one and leave Ctrl-C to it."""
    return ProcessPoolExecutor(workers, mp_context=TIED, initializer=_ignore_interrupt)


def _ignore_interrupt() -> None:
    """Ctrl-C reaches the whole process group; the parent decides what becomes of its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class one_thread:
    """Workers that start inside inherit one-thread maths: processes fill the cores already."""

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


# Children that end with their parent.


def end_with_parent() -> None:
    """Tie this child of `multiprocessing` to its parent: from now on it ends when its parent does,
    however that comes.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), name="parent", daemon=True).start()


def ended_with_this_process(number: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """Make a `preexec_fn` for subprocess.Popen that ties the child to this process.

    Call it, as Popen, in the thread that lives as long as the child: the kernel watches the thread.

    Args:
        number: The signal that the child gets when this process ends, however that comes.

    Returns:
        The function that the child runs before its program.
    """
    parent = os.getpid()

    def prepare() -> None:
        signal.signal(number, signal.SIG_DFL)
        _killed_with(parent, number)

    return prepare


def _killed_with(parent: int, number: int) -> None:
    _prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it ended before the kernel was asked
        os._exit(LOST_PARENT)


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os._exit(LOST_PARENT)


class _Tie:
    """What a child unpickles first: it is tied to its parent before it imports what its work needs.

    By the kernel, which reaches a process in any state, but watches the thread that started it: so
    this is for children of the main thread alone.
    """

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[int, ...]]:
        if threading.current_thread() is threading.main_thread():
            return _killed_with, (os.getpid(), int(signal.SIGKILL))
        return int, ()


class TiedProcess(SpawnProcess):
    """A spawned process that ends with its parent."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        # Before all else: attributes are unpickled in the order in which they were set.
        self._tie = _Tie()
        super().__init__(*arguments, **named)

    def start(self) -> None:
        """Whole: cut short by Ctrl-C, it would leave a child that never hears what it is for, and
        complains. So would one that nobody knows of yet: it is killed.
        """
        try:
            with _signals_later():
                super().start()
        except BaseException:
            if self.pid is not None:
                self.kill()
            raise

    def run(self) -> None:
        """Run the work in the child, tied to its parent."""
        end_with_parent()
        super().run()


@contextlib.contextmanager
def _signals_later() -> Iterator[None]:
    """SIGINT and SIGTERM that come meanwhile take effect at its end. In the main thread, which they
    interrupt.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    deferred = {number: handler for number, handler in before.items() if callable(handler)}
    for number in deferred:
        signal.signal(number, lambda came, _: noted.append(came))
    try:
        yield
    finally:
        for number, handler in deferred.items():
            signal.signal(number, handler)
        for came in noted:
            signal.raise_signal(came)


class TiedContext(SpawnContext):
    """Where multiprocessing wants a context: spawned processes that end with their parent."""

    Process = TiedProcess


TIED = TiedContext()
