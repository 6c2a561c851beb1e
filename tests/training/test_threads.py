"""Torch computes on the cores that other processes leave free."""

import os
import subprocess
import sys
import time

import pytest
import torch

from conure_training.runtime import cpu_threads as threads
from conure_training.runtime.cpu_threads import FreeCores, Reading, free_cores


@pytest.fixture(autouse=True)
def three_threads():
    """As many threads as the tests below begin with."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("others_s", "own_s", "cores", "expected"),
    [
        (0.0, 20.0, 2, 2),  # what this process uses itself is not another's
        (1.9, 18.0, 2, 2),
        (2.1, 17.0, 2, 1),
        (10.0, 10.0, 2, 1),
        (40.0, 0.0, 2, 1),
        (30.0, 50.0, 8, 5),
    ],
)
def test_others_keep_the_cores_that_they_use(others_s, own_s, cores, expected) -> None:
    before, after = Reading(5.0, 100.0, 30.0), Reading(15.0, 100.0 + others_s + own_s, 30.0 + own_s)
    assert free_cores(before, after, cores) == expected


def test_threads_follow_what_others_do_and_are_as_before_afterwards(monkeypatch) -> None:
    others_s = iter([0.0, 0.0, 30.0, 30.0])
    clock = iter([0.0, 10.0, 20.0, 30.0])
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(threads, "FIRST_LOOK_S", 0.0)
    monkeypatch.setattr(threads, "LOOK_EVERY_S", -1e9)
    monkeypatch.setattr(Reading, "now", lambda: Reading(next(clock), next(others_s), 0.0))
    with FreeCores() as cores:
        assert torch.get_num_threads() == 2
        cores.look()
        assert torch.get_num_threads() == 1
        cores.look()
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 3
    clock, others_s = iter([40.0, 50.0]), iter([30.0, 30.0])
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: {1})
    with FreeCores():
        assert torch.get_num_threads() == 1  # no more than this process may use


def test_one_thread_beside_work_on_every_core(monkeypatch) -> None:
    monkeypatch.setattr(threads, "FIRST_LOOK_S", 0.3)
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        time.sleep(1.0)  # an interpreter starts
        with FreeCores():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        for process in busy:
            process.kill()
            process.wait()
