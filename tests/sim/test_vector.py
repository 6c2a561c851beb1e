"""Environments in processes: what single ones give, and nothing left behind when something
fails.
"""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from conure_core.errors import ConfigError, UnsafeCommand, WorkerError
from conure_sim.envs.tabletop import TabletopEnv
from conure_sim.envs.vector import make_vector

LONG_RUN = """
import sys
import numpy as np
from conure_sim.envs.vector import make_vector
if __name__ == "__main__":
    with make_vector("Lift", 2) as envs:
        envs.reset(seed=0)
        print(*[process.pid for process in envs.processes], flush=True)
        while True:
            envs.step(np.zeros((2, 7)))
"""


def wait_until_gone(pids, seconds=20.0):
    """The processes that are still there at the end of that time; a zombie is gone."""
    deadline, left = time.monotonic() + seconds, pids
    while left and time.monotonic() < deadline:
        left = [
            pid
            for pid in left
            if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"
        ]
        time.sleep(0.05)
    return left


def test_environments_in_processes_give_what_single_ones_give():
    actions, singles = np.random.default_rng(0).uniform(-1, 1, (6, 2, 7)).astype(np.float32), []
    for index in range(2):
        env = TabletopEnv("PlaceInTray", randomization="light")
        singles.append(
            [env.reset(seed=4 + index)[0], *(env.step(action[index])[0] for action in actions)]
        )
        env.close()
    with make_vector("PlaceInTray", 2, randomization="light") as envs:
        pids = [process.pid for process in envs.processes]
        together = [envs.reset(seed=4)[0], *(envs.step(action)[0] for action in actions)]
        for index in range(2):
            for single, several in zip(singles[index], together, strict=True):
                for name in single:
                    np.testing.assert_array_equal(single[name], several[name][index])
        states = envs.call("save_state")
        assert [state.settings["task"] for state in states] == ["PlaceInTray"] * 2
    assert not wait_until_gone(pids)


def test_a_bad_action_names_its_environment_and_all_go_on():
    with make_vector("Lift", 2) as envs:
        envs.reset(seed=0)
        with pytest.raises(UnsafeCommand, match="environment 1"):
            envs.step(np.array([np.zeros(7), np.full(7, np.nan)]))
        with pytest.raises(UnsafeCommand, match=r"\(2, 7\)"):
            envs.step(np.zeros((3, 7)))
        assert envs.step(np.zeros((2, 7)))[0]["image"].shape == (2, 48, 48, 3)


def test_an_error_in_a_worker_names_its_environment_and_closes_all():
    envs = make_vector("Lift", 2)
    pids = [process.pid for process in envs.processes]
    with pytest.raises(WorkerError, match=r"environment 0: ConfigError.*unknown object 'spoon'"):
        envs.reset(options={"target": "spoon"})
    assert not wait_until_gone(pids)


def test_a_killed_worker_is_named_and_the_others_end():
    envs = make_vector("Lift", 2)
    pids = [process.pid for process in envs.processes]
    envs.reset(seed=0)
    os.kill(pids[1], signal.SIGKILL)
    with pytest.raises(WorkerError, match="environment 1 with exit code -9"):
        for _ in range(3):
            envs.step(np.zeros((2, 7)))
    assert not wait_until_gone(pids)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_one_that_made_it(ending):
    command = [sys.executable, "-c", LONG_RUN]
    parent = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    pids = [int(word) for word in parent.stdout.readline().split()[-2:]]
    assert len(pids) == 2
    if ending == signal.SIGINT:
        os.killpg(parent.pid, ending)
    else:
        parent.send_signal(ending)
    parent.wait(timeout=20)
    assert not wait_until_gone(pids)


def test_unknown_names_and_sizes_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'NextStep'"):
        make_vector("Lift", 2, autoreset="NextStp")
    with pytest.raises(ConfigError, match="at least 1"):
        make_vector("Lift", 0)
    with pytest.raises(ConfigError, match="light"):
        make_vector("Lift", 2, randomization="lite")
