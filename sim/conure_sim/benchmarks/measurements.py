"""Measurements of the environments for `conure bench sim`; each function returns plain numbers."""

import time
from typing import Any, cast

import numpy as np
import psutil
import pybullet

from conure_core.contract.action import ACTION_SIZE
from conure_core.runtime.processes import TIED
from conure_sim.envs.tabletop import TabletopEnv
from conure_sim.physics.bullet_world import BulletWorld
from conure_sim.tools.tracking import Tracking, measure_free_space_tracking
from conure_sim.vision.rendering import render_view

BLOCKS = 10
WARM_UP = 5
MEGABYTE = 1e6


def step_rates(steps: int, **settings: Any) -> tuple[float, float, float]:
    """Steps a second of `env.step`, of a bare PyBullet loop in the same scenes, and of `env.step`
    by processor time.

    The loop sends the same joint targets, one motor command a step, runs the same substeps and
    renders the same image; it neither solves inverse kinematics nor checks, observes or degrades
    anything. The two take turns, block by block, so that other load on the machine slows both.
    """
    env = TabletopEnv(**settings)
    rng = np.random.default_rng(0)
    block = max(1, steps // BLOCKS)
    env_s = 0.0
    processor_s = 0.0
    bare_s = 0.0

    for seed in range(BLOCKS):
        actions = rng.uniform(-0.5, 0.5, (block, ACTION_SIZE))
        env.reset(seed=seed)
        targets = []
        began = time.perf_counter()
        began_processor = time.process_time()
        for action in actions:
            env.step(action)
            targets.append(env.world.set_point.tolist())
        env_s += time.perf_counter() - began
        processor_s += time.process_time() - began_processor

        env.reset(seed=seed)
        began = time.perf_counter()
        for target in targets:
            _bare_step(env, target)
        bare_s += time.perf_counter() - began
    env.close()

    total = BLOCKS * block
    return total / env_s, total / bare_s, total / processor_s


def _bare_step(env: TabletopEnv, target: list[float]) -> None:
    world = cast(BulletWorld, env.world)
    world.client.setJointMotorControlArray(
        world.body, world.driven, pybullet.POSITION_CONTROL, targetPositions=target
    )
    for _ in range(env.period_steps):
        world.client.stepSimulation()
    if env.images:
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
    """Growth of the process's resident memory over resets, MB, after a tenth as many to warm up."""
    env = TabletopEnv(**settings)
    process = psutil.Process()
    for seed in range(resets // 10):
        env.reset(seed=seed)
    before = process.memory_info().rss
    for seed in range(resets):
        env.reset(seed=seed)
    grown = process.memory_info().rss - before
    env.close()
    return float(grown / MEGABYTE)


def parallel_rate(
    processes: int,
    steps: int,
    **settings: Any,
) -> float:
    """Step environments in several processes from a common start.

    Args:
        processes: How many, an environment each.
        steps: Of each.
        **settings: Of the environments.

    Returns:
        Steps a second of all together, by the slowest.
    """
    barrier = TIED.Barrier(processes)
    results = TIED.Queue()
    workers = []
    for seed in range(processes):
        arguments = (barrier, results, steps, seed, settings)
        workers.append(TIED.Process(target=_step_together, args=arguments, daemon=True))
    for worker in workers:
        worker.start()
    slowest_s = max(results.get(timeout=600) for _ in workers)
    for worker in workers:
        worker.join()
    return processes * steps / slowest_s


def _step_together(
    barrier: Any, results: Any, steps: int, seed: int, settings: dict[str, Any]
) -> None:
    env = TabletopEnv(**settings)
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    barrier.wait(timeout=300)
    began = time.perf_counter()
    for step in range(steps):
        env.step(rng.uniform(-0.5, 0.5, ACTION_SIZE))
        if step % env.max_steps == env.max_steps - 1:
            env.reset()
    results.put(time.perf_counter() - began)


def tracking(steps: int, **settings: Any) -> Tracking:
    """The tracking error of random end-effector deltas in free space."""
    env = TabletopEnv(**settings)
    found = measure_free_space_tracking(env, steps, seed=2)
    env.close()
    return found
