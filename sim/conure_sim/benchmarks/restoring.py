"""Measure how fast a moment is restored, and how far what follows a snapshot differs from what
followed the moment itself.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from conure_core.errors import ConureError
from conure_core.types import Array
from conure_sim.envs.tabletop import TabletopEnv
from conure_sim.physics.bullet_world import BulletWorld

MOMENTS = 5
REPEATS = 5
GRACE_STEPS = 10
"""Control periods beyond a demonstration's end in which its success may still come."""


@dataclass(frozen=True)
class RestoreTimes:
    """Median times of the processor, ms: other load on the machine does not count."""

    exact: float
    """`restore_state`."""
    same_scene: float
    """`restore_snapshot` in the scene of the snapshot."""
    other_scene: float
    """`restore_snapshot` in another scene, which is rebuilt."""


@dataclass(frozen=True)
class Deviation:
    """How what follows a snapshot differs from what followed the moment, with the same actions."""

    moments: int
    """How many were restored."""
    identical: float
    """Share after which everything is the same, to the bit."""
    median_mm: float
    """Median over moments of the largest distance of a body, after the demonstration's last
    action."""
    p90_mm: float
    """Its 90th percentile."""
    successes: float
    """Share after which the demonstration still succeeds."""


@dataclass(frozen=True)
class _Moment:
    """A moment in a successful demonstration, and what followed."""

    seed: int
    snapshot: Any
    state: Any
    actions: list[Array]
    physics: Array
    positions: Array


def restore_deviations(
    task: str, episodes: int, **settings: Any
) -> tuple[RestoreTimes, Deviation, Deviation]:
    """Restore moments of an expert's episodes and repeat the actions that followed.

    Args:
        task: A name of `TASKS`.
        episodes: How many of the expert's episodes; those that fail do not count.
        **settings: Of the environment.

    Returns:
        The times, and the deviation after restoring in place and after rebuilding the scene.

    Raises:
        ConureError: The expert never succeeded.
    """
    env = TabletopEnv(task, images=False, **settings)
    in_place: list[tuple[bool, float, bool]] = []
    rebuilt: list[tuple[bool, float, bool]] = []
    times: list[tuple[float, float, float]] = []
    for seed in range(episodes):
        for moment in _moments(env, seed):
            times.append(_times(env, moment))
            env.restore_snapshot(moment.snapshot)
            in_place.append(_follow(env, moment))
            env.restore_snapshot(moment.snapshot, rebuild=True)
            rebuilt.append(_follow(env, moment))
    env.close()
    if not times:
        raise ConureError(
            f"{task}: the expert succeeded in none of {episodes} episodes, so there is nothing to"
            " restore; ask for more: restore_episodes"
        )
    medians = np.median(np.array(times), axis=0)
    return RestoreTimes(*medians.tolist()), _deviation(in_place), _deviation(rebuilt)


def _moments(env: TabletopEnv, seed: int) -> list[_Moment]:
    """Moments evenly spread over one episode of the expert; none of an episode that fails."""
    env.reset(seed=seed)
    expert = env.task.expert(env.scene)
    saved: list[tuple[Any, Any]] = []
    actions: list[Array] = []
    success = truncated = False
    while not (success or truncated):
        saved.append((env.save_snapshot(), env.save_state()))
        actions.append(expert.action())
        _, _, success, truncated, _ = env.step(actions[-1])
    if not success:
        return []

    physics = env.world.physics()
    positions = _positions(env)
    chosen = np.unique(np.linspace(1, len(actions) - 1, MOMENTS).astype(int))
    moments: list[_Moment] = []
    for step in chosen.tolist():
        snapshot, state = saved[step]
        moments.append(_Moment(seed, snapshot, state, actions[step:], physics, positions))
    return moments


def _times(env: TabletopEnv, moment: _Moment) -> tuple[float, float, float]:
    """Times of the three ways to restore, ms."""
    exact = _median_ms(lambda: env.restore_state(moment.state), 1)
    same = _median_ms(lambda: env.restore_snapshot(moment.snapshot), REPEATS)
    env.reset(seed=moment.seed + 1)
    other = _median_ms(lambda: env.restore_snapshot(moment.snapshot), 1)
    return exact, same, other


def _median_ms(call: Callable[[], None], repeats: int) -> float:
    taken: list[float] = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
    return 1e3 * float(np.median(taken))


def _follow(env: TabletopEnv, moment: _Moment) -> tuple[bool, float, bool]:
    """Repeat what followed: whether it is identical, the largest distance (mm), success."""
    success = False
    for action in moment.actions:
        _, _, success, _, _ = env.step(action)
    identical = np.array_equal(env.world.physics(), moment.physics)
    distances = np.linalg.norm(_positions(env) - moment.positions, axis=1)
    for _ in range(GRACE_STEPS):
        if success:
            break
        _, _, success, _, _ = env.step(moment.actions[-1])
    return identical, 1e3 * float(distances.max()), success


def _positions(env: TabletopEnv) -> Array:
    """Positions of all bodies, (n, 3) m."""
    world = cast(BulletWorld, env.world)
    client = world.client
    bodies = range(client.getNumBodies())
    return np.array([client.getBasePositionAndOrientation(body)[0] for body in bodies])


def _deviation(rows: list[tuple[bool, float, bool]]) -> Deviation:
    """Summary of at least one moment."""
    identical, distances_mm, successes = (np.array(column) for column in zip(*rows, strict=True))
    return Deviation(
        moments=len(rows),
        identical=float(identical.mean()),
        median_mm=float(np.median(distances_mm)),
        p90_mm=float(np.quantile(distances_mm, 0.9)),
        successes=float(successes.mean()),
    )
