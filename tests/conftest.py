"""What all tests share."""

import fcntl
import gc
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

ROOT = Path(__file__).resolve().parent.parent
REAL_TIME = {"pytest.mark.ros": "gw0", "pytest.mark.nodes": "gw1"}
"""What a file says whose tests keep real time, and the worker on which such files take turns."""
NICENESS = 12
"""Of everything else: trainings take what real time leaves of two cores."""
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")

# Read when numpy and torch are first imported. Of two workers on two cores, each with threads on
# both, every product waits for the scheduler: see FreeCores.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
STRICTEST = "tests/ros/test_faults.py"
"""Judges milliseconds, so that it comes when no other file keeps real time any more."""
TRIED_TOGETHER = ("tests/test_readme.py", "tests/test_examples.py")

# Nothing outside out/ is written to. Two busy cores make single examples slow: time is the job of
# pytest-timeout.
set_hypothesis_home_dir(ROOT / "out" / "cache" / "hypothesis")
settings.register_profile("conure", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("conure")

# In the background of a shell processes ignore Ctrl-C, under `nohup` SIGHUP, and so would those that
# tests start and send these signals to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


class RealTimeInTurn(LoadScopeScheduling):
    """The tests of a file share a worker, so that its fixtures are made once.

    Files that keep real time are begun first, for they take longest: graphs of processes one after
    the other, and beside them, one after the other, what takes a fraction of a core.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file in TRIED_TOGETHER:
            return TRIED_TOGETHER[0]
        return real_time(file) or file

    def _assign_work_unit(self, node: WorkerController) -> None:
        for mark, worker in REAL_TIME.items():
            if mark in self.workqueue:
                self.workqueue.move_to_end(mark, last=node.gateway.id != worker)
        super()._assign_work_unit(node)


@cache
def real_time(file: str) -> str:
    """The mark of a file, named from the repository's root, whose tests keep real time, or ''."""
    text = (ROOT / file).read_text()
    return next((mark for mark in REAL_TIME if mark in text), "")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A worker stands back behind the other one's real time once it has done its own."""
    if WORKER and os.nice(0) < NICENESS and not real_time(item.nodeid.partition("::")[0]):
        os.nice(NICENESS - os.nice(0))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that no worker ends long before the other."""
    if WORKER:
        items.sort(key=lambda item: place_in_turn(item.nodeid.partition("::")[0]))


def place_in_turn(file: str) -> int:
    """Real time, then trainings and what the README does, then simulations, then the rest."""
    if real_time(file):
        return 1 if file == STRICTEST else 0
    if file in TRIED_TOGETHER:
        return 2
    folders = [file.startswith(f"tests/{name}/") for name in ("training", "sim")]
    return 2 + [*folders, True].index(True)


@pytest.fixture(autouse=True)
def nothing_of_an_earlier_test_is_printed(request: pytest.FixtureRequest) -> None:
    """rclpy prints the failure of a task that nobody waited for when its memory is freed, which can
    be in another test.
    """
    if "rclpy" in sys.modules and {"capsys", "capfd"} & set(request.fixturenames):
        gc.collect()


@pytest.fixture(scope="session")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working tree in which every command of the README has been run, at toy size."""
    from tests.readme_commands import try_all  # torch, which most tests do without

    return try_all(tmp_path_factory.mktemp("tried"))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return RealTimeInTurn(config, log)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`made_once(name, make)`: a path that `make(path)` filled, once for all parallel workers.

    Whoever comes first makes it, the others wait. Nobody writes there afterwards.
    """
    folder = tmp_path_factory.getbasetemp()
    if WORKER:
        folder = folder.parent

    def made(name: str, make: Callable[[Path], object]) -> Path:
        path, finished = folder / name, folder / f"{name}.finished"
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not finished.exists():
                shutil.rmtree(path, ignore_errors=True)
                make(path)
                finished.touch()
        return path

    return made
