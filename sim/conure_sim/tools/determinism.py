"""Does the same seed with the same actions give the same observations, bit for bit, in two
processes and two runs?
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
    """What was compared, and the first step (0: the reset) at which any run differed from the
    first; None: at none.
    """

    task: str
    steps: int
    runs: int
    first_difference: int | None

    @property
    def identical(self) -> bool:
        return self.first_difference is None


def compare_runs(task: str, steps: int = STEPS, seed: int = 0, **settings: Any) -> Determinism:
    """Four runs: two fresh processes, each with one run in a fresh environment and one in a used
    environment.

    `settings`: keyword arguments of the environment, picklable.
    """
    runs: list[list[str]] = []
    for _ in range(2):
        with ProcessPoolExecutor(1, mp_context=TIED) as pool:
            runs += pool.submit(two_runs, task, steps, seed, settings).result()
    differing = [
        step for step, digests in enumerate(zip(*runs, strict=True)) if len(set(digests)) > 1
    ]
    return Determinism(task, steps, len(runs), differing[0] if differing else None)


def two_runs(task: str, steps: int, seed: int, settings: dict[str, Any]) -> list[list[str]]:
    """Digests of a run in a fresh environment, and of one after that and a run from another
    seed.
    """
    from conure_sim.envs.tabletop import TabletopEnv

    env = TabletopEnv(task, **settings)
    first = run(env, steps, seed)
    run(env, min(steps, 50), seed + 1)
    second = run(env, steps, seed)
    env.close()
    return [first, second]


def run(env: Any, steps: int, seed: int) -> list[str]:
    """A digest of everything that a step or a reset gives, for each; finished episodes go on with a
    reset.

    The actions are a random walk from the seed, drawn towards the table, where there is something
    to touch.
    """
    rng, action = np.random.default_rng(seed), np.zeros(ACTION_SIZE)
    observation, info = env.reset(seed=seed)
    digests = [digest(observation, info)]
    for _ in range(steps):
        action = np.clip(0.8 * action + 0.6 * rng.normal(size=ACTION_SIZE) + DOWNWARD, -1.0, 1.0)
        observation, reward, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            observation, info = env.reset()
        digests.append(digest(observation, {**info, "reward": reward}))
    return digests


def digest(observation: dict[str, NDArray[Any]], rest: dict[str, Any]) -> str:
    """SHA-256 of every array's name, type, shape and bytes, and of what else came with them."""
    total = hashlib.sha256(repr(sorted(rest.items())).encode())
    for name, array in sorted(observation.items()):
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
