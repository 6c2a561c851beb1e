"""What `conure bench sim` measures of the environments; each function gives plain figures."""

import time
from typing import Any

import numpy as np
import psutil
import pybullet

from conure_core.contract.action import ACTION_SIZE
from conure_core.runtime.processes import TIED
from conure_sim.envs.tabletop import TabletopEnv
from conure_sim.tools.tracking import Tracking, free_space_tracking
from conure_sim.vision.rendering import render_view

BLOCKS = 10
WARM_UP = 5
MEGABYTE = 1e6


def step_rates(steps: int, **settings: Any) -> tuple[float, float, float]:
    """Steps a second of `env.step`, of a bare PyBullet loop in the same scenes, and of `env.step`
    by processor time.

    The loop sends the same joint targets, one motor command a step, runs the same substeps and
    renders the same image; it neither solves inverse kinematics nor checks, observes or degrades
    anything. The two take turns, block by block, so that whatever else the machine does slows both.
    """
    env, rng = TabletopEnv(**settings), np.random.default_rng(0)
    taken, busy_s = np.zeros((BLOCKS, 2)), 0.0
    block = max(1, steps // BLOCKS)
    for index in range(BLOCKS):
        actions = rng.uniform(-0.5, 0.5, (block, ACTION_SIZE))
        env.reset(seed=index)
        targets = []
        began, busy_s = time.perf_counter(), busy_s - time.process_time()
        for action in actions:
            env.step(action)
            targets.append(env.world.set_point.tolist())
        taken[index, 0], busy_s = time.perf_counter() - began, busy_s + time.process_time()
        env.reset(seed=index)
        began = time.perf_counter()
        for target in targets:
            _bare_step(env, target)
        taken[index, 1] = time.perf_counter() - began
    env.close()
    ours, bare = BLOCKS * block / taken.sum(axis=0)
    return float(ours), float(bare), BLOCKS * block / busy_s


def _bare_step(env: TabletopEnv, target: list[float]) -> None:
    world = env.world
    world.client.setJointMotorControlArray(
        world.body, world.driven, pybullet.POSITION_CONTROL, targetPositions=target
    )
    for _ in range(env.period_steps):
        world.client.stepSimulation()
    render_view(world.client, world.camera, world.appearance)


def reset_median_s(resets: int, **settings: Any) -> float:
    """Median time of a reset, s."""
    env = TabletopEnv(**settings)
    taken = []
    for seed in range(resets + WARM_UP):
        began = time.perf_counter()
        env.reset(seed=seed)
        taken.append(time.perf_counter() - began)
    env.close()
    return float(np.median(taken[WARM_UP:]))


def memory_growth_mb(resets: int, **settings: Any) -> float:
    """Growth of the process's resident memory over so many resets, after a tenth as many to warm
    up, MB.
    """
    env, process = TabletopEnv(**settings), psutil.Process()
    for seed in range(resets // 10):
        env.reset(seed=seed)
    before = process.memory_info().rss
    for seed in range(resets):
        env.reset(seed=seed)
    grown = process.memory_info().rss - before
    env.close()
    return float(grown / MEGABYTE)


def parallel_rate(processes: int, steps: int, **settings: Any) -> float:
    """Steps a second of so many processes together, an environment each, from a common start."""
    barrier, results = TIED.Barrier(processes), TIED.Queue()
    workers = [
        TIED.Process(
            target=_step_together, args=(barrier, results, steps, seed, settings), daemon=True
        )
        for seed in range(processes)
    ]
    for worker in workers:
        worker.start()
    slowest = max(results.get(timeout=600) for _ in workers)
    for worker in workers:
        worker.join()
    return processes * steps / slowest


def _step_together(
    barrier: Any, results: Any, steps: int, seed: int, settings: dict[str, Any]
) -> None:
    env, rng = TabletopEnv(**settings), np.random.default_rng(seed)
    env.reset(seed=seed)
    barrier.wait(timeout=300)
    began = time.perf_counter()
    for step in range(steps):
        env.step(rng.uniform(-0.5, 0.5, ACTION_SIZE))
        if step % env.max_steps == env.max_steps - 1:
            env.reset()
    results.put(time.perf_counter() - began)


def tracking(steps: int, **settings: Any) -> Tracking:
    """How closely random end-effector deltas in free space are reached."""
    env = TabletopEnv(**settings)
    found = free_space_tracking(env, steps, seed=2)
    env.close()
    return found
