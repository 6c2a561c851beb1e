"""Same seed, same actions: the same observations, whatever ran before and wherever it runs."""

import numpy as np
import pytest

from conure_sim.envs.tabletop import TabletopEnv
from conure_sim.tasks import TASKS
from conure_sim.tools.determinism import compare_runs, digest, run, run_twice

HARDEST = "full"


@pytest.mark.parametrize("task", TASKS)
def test_an_environment_s_past_leaves_no_trace_after_a_reset(task):
    fresh, used = run_twice(task, 50, 3, {"randomization": HARDEST})
    assert fresh == used


def test_two_processes_and_run_twice_give_identical_observations():
    result = compare_runs(next(iter(TASKS)), steps=120, seed=1, randomization=HARDEST)
    assert (result.runs, result.first_difference) == (4, None)


def test_a_difference_of_one_bit_is_seen():
    env = TabletopEnv(randomization="light")
    observation, info = env.reset(seed=0)
    same = {name: array.copy() for name, array in observation.items()}
    assert digest(observation, info) == digest(same, info)
    same["state"][5] = np.nextafter(same["state"][5], np.float32(9))
    assert digest(observation, info) != digest(same, info)
    assert run(env, 5, seed=0) != run(env, 5, seed=1)
