"""Blocks of work on a Ray cluster of two workers: the same data, whoever dies meanwhile, and
nothing left behind.
"""

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError
from conure_training.data import collect as collecting
from conure_training.data.collect import DemosConfig, collect
from conure_training.data.demonstrations import ARRAYS, load_demonstrations
from conure_training.runtime.parallel import Engine, run_blocks

RAY = Engine("ray", workers=2)
BUSY = "ray::_work_on_block"
LONG_RUN = """
import time
from conure_training.runtime.parallel import Engine, run_blocks
list(run_blocks(time.sleep, [600, 600], Engine("ray", workers=2), "sleep", int))
"""


def descendants(pid: int) -> list[psutil.Process]:
    return [one for one in psutil.Process(pid).children(recursive=True) if alive(one)]


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def config(out: Path, *words: str) -> DemosConfig:
    return load_config(
        "conure_training.conf", "demos", DemosConfig, [f"out={out}", "workers=2", *words]
    )


def kill_first_busy_worker(killed: list[int], until: threading.Event) -> None:
    while not until.is_set() and not killed:
        for process in descendants(os.getpid()):
            if title(process).startswith(BUSY):
                killed.append(process.pid)
                os.kill(process.pid, signal.SIGKILL)
                return
        time.sleep(0.05)


@pytest.mark.slow
def test_collection_survives_a_killed_worker_without_losing_or_repeating_an_episode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "BLOCK_EPISODES", 3)
    episodes = ["episodes={Lift: 6, PlaceInTray: 3, PlaceInBox: 0}"]
    killed, until = [], threading.Event()
    killer = threading.Thread(target=kill_first_busy_worker, args=(killed, until))
    killer.start()
    try:
        found = load_demonstrations(collect(config(tmp_path / "ray", *episodes, "engine=ray")))
    finally:
        until.set()
        killer.join()
    expected = load_demonstrations(collect(config(tmp_path / "processes", *episodes)))
    assert len(killed) == 1
    assert len(set(found.seed)) == len(found.seed) == 9
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_cluster_of_one_s_own_listens_on_loopback_alone_and_ends_with_the_work() -> None:
    results, addresses, folders = {}, set(), []
    for block, result in run_blocks(math.sqrt, [1.0, 4.0, 9.0, 16.0], RAY, "roots", lambda _: 1):
        results[block] = result
        ours = descendants(os.getpid())
        for process in [psutil.Process(), *ours]:
            with contextlib.suppress(psutil.NoSuchProcess):
                sockets = process.net_connections("tcp")
                addresses |= {one.laddr.ip for one in sockets if one.status == psutil.CONN_LISTEN}
        folders += [word for one in ours for word in title(one).split("=") if "conure-ray-" in word]
    assert results == {1.0: 1.0, 4.0: 2.0, 9.0: 3.0, 16.0: 4.0}
    assert addresses
    assert addresses <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    assert not [title(one) for one in descendants(os.getpid()) if "ray" in title(one)]
    assert folders
    assert not [folder for folder in folders if Path(folder.split()[0]).exists()]


def test_an_error_in_a_block_arrives_as_itself() -> None:
    with pytest.raises(ValueError, match=r"math domain|nonnegative"):
        list(run_blocks(math.sqrt, [-1.0], RAY, "roots", lambda _: 1))


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_no_process_of_the_cluster_outlives_the_one_that_started_it(ending: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", LONG_RUN], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    deadline_s = time.monotonic() + 60
    while not any(title(one).startswith(BUSY) for one in descendants(parent.pid)):
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    cluster = descendants(parent.pid)
    if ending == signal.SIGKILL:  # Ray's own two agents notice it too, but take about a minute
        cluster = [one for one in cluster if not title(one).strip().endswith("Agent")]
    parent.send_signal(ending)
    parent.wait(timeout=30)
    _, left = psutil.wait_procs(cluster, timeout=30)
    assert not [title(one) for one in left]


def test_engines_and_addresses_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'ray'"):
        config(tmp_path, "engine=rey")
    with pytest.raises(ConfigError, match="needs engine=ray"):
        config(tmp_path, "ray_address=auto")
    with pytest.raises(ConfigError, match=r"no Ray cluster answers at '127.0.0.1:1'"):
        list(run_blocks(abs, [1], Engine("ray", ray_address="127.0.0.1:1"), "none", abs))
