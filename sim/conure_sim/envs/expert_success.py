"""How often the scripted experts succeed."""

from dataclasses import dataclass
from typing import Any

import gymnasium

from conure_sim.envs.sensors import Sensors


@dataclass(frozen=True)
class SuccessRate:
    """Successes of an expert over as many episodes; `steps`: mean length of the solved ones,
    control periods.
    """

    task: str
    episodes: int
    successes: int
    steps: float
    failed_seeds: tuple[int, ...]

    @property
    def rate(self) -> float:
        """The share of successes."""
        return self.successes / max(1, self.episodes)


def success_rate(
    task: str,
    arm: str = "wx250s",
    randomization: str = "none",
    episodes: int = 200,
    first_seed: int = 0,
    **options: Any,
) -> SuccessRate:
    """Run a task's expert; `options` are further settings of the environment, such as
    objects='test'.

    Raises: ConfigError for an unknown task, arm or preset.
    """
    env: Any = gymnasium.make(
        f"conure/{task}-v0", arm=arm, randomization=randomization, image_size=16, **options
    ).unwrapped
    env.sensors = Sensors(
        env.world, {}, depth=False, segmentation=False
    )  # experts act on the state, nobody looks
    seeds = range(first_seed, first_seed + episodes)
    lengths = {seed: _steps_to_success(env, seed) for seed in seeds}
    env.close()
    solved = [steps for steps in lengths.values() if steps is not None]
    failed = tuple(seed for seed, steps in lengths.items() if steps is None)
    return SuccessRate(task, episodes, len(solved), sum(solved) / max(1, len(solved)), failed)


def _steps_to_success(env: Any, seed: int) -> int | None:
    """Control periods until the expert succeeds; None if it does not."""
    env.reset(seed=seed)
    expert = env.task.expert(env.scene)
    for step in range(env.max_steps):
        if env.step(expert.action())[2]:
            return step + 1
    return None
