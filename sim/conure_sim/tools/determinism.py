"""Check that the same seed and actions give the same observations, bit for bit, in two processes
and two runs.
"""

import hashlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.contract.action import ACTION_SIZE
from conure_core.runtime.processes import TIED

STEPS = 500
DOWNWARD = np.array([0.0, 0.0, -0.15, 0.0, 0.0, 0.0, 0.0])


@dataclass(frozen=True)
class Determinism:
    """The result of a comparison."""

    task: str
    steps: int
    """Length of each run."""
    runs: int
    first_difference: int | None
    """The first step (0: the reset) at which any run differed from the first one; None: at none."""

    @property
    def identical(self) -> bool:
        return self.first_difference is None


def compare_runs(
    task: str,
    steps: int = STEPS,
    seed: int = 0,
    **settings: Any,
) -> Determinism:
    """Compare four runs: in two fresh processes, one in a fresh and one in a used environment.

    Args:
        task: A name of `TASKS`.
        steps: Of each run.
        seed: Of each run.
        **settings: Of the environment; picklable.

    Returns:
        Whether they are equal, and where they differ.
    """
    runs: list[list[str]] = []
    for _ in range(2):
        with ProcessPoolExecutor(1, mp_context=TIED) as pool:
            runs += pool.submit(run_twice, task, steps, seed, settings).result()

    first_difference = None
    for step, digests in enumerate(zip(*runs, strict=True)):
        if len(set(digests)) > 1:
            first_difference = step
            break
    return Determinism(task, steps, len(runs), first_difference)


def run_twice(
    task: str,
    steps: int,
    seed: int,
    settings: dict[str, Any],
) -> list[list[str]]:
    """Run in a fresh environment, and again after a run from another seed.

    Args:
        task: A name of `TASKS`.
        steps: Of each run.
        seed: Of both runs.
        settings: Of the environment.

    Returns:
        The digests of both runs, see `run`.
    """
    from conure_sim.envs.tabletop import TabletopEnv

    env = TabletopEnv(task, **settings)
    first = run(env, steps, seed)
    run(env, min(steps, 50), seed + 1)
    second = run(env, steps, seed)
    env.close()
    return [first, second]


def run(
    env: Any,
    steps: int,
    seed: int,
) -> list[str]:
    """Digest everything that the reset and the steps of a random walk give.

    The walk is drawn towards the table, where there is something to touch. A reset follows the end
    of an episode.

    Args:
        env: A TabletopEnv.
        steps: How many, over all episodes.
        seed: Of the environment and of the walk.

    Returns:
        steps + 1 digests, the first of the reset.
    """
    rng = np.random.default_rng(seed)
    action = np.zeros(ACTION_SIZE)
    observation, info = env.reset(seed=seed)
    digests = [digest(observation, info)]
    for _ in range(steps):
        action = 0.8 * action + 0.6 * rng.normal(size=ACTION_SIZE) + DOWNWARD
        action = np.clip(action, -1.0, 1.0)
        observation, reward, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            observation, info = env.reset()
        digests.append(digest(observation, {**info, "reward": reward}))
    return digests


def digest(observation: dict[str, NDArray[Any]], rest: dict[str, Any]) -> str:
    """Hash an observation and what came with it.

    Args:
        observation: Arrays by name; their type, shape and bytes count.
        rest: Further values by name; their `repr` counts.

    Returns:
        SHA-256, hexadecimal.
    """
    total = hashlib.sha256(repr(sorted(rest.items())).encode())
    for name, array in sorted(observation.items()):
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
