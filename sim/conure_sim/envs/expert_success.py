"""Measure how often the scripted experts succeed."""

from dataclasses import dataclass
from typing import Any

import gymnasium

from conure_sim.envs.rollout import expert, rollout


@dataclass(frozen=True)
class SuccessRate:
    """Successes of an expert over several episodes."""

    task: str
    episodes: int
    successes: int
    steps: float
    """Mean length of the successful episodes, control periods; 0 without any."""
    failed_seeds: tuple[int, ...]

    @property
    def rate(self) -> float:
        """The share of successes, 0 to 1."""
        return self.successes / max(1, self.episodes)


def success_rate(
    task: str,
    arm: str = "wx250s",
    randomization: str = "none",
    episodes: int = 200,
    first_seed: int = 0,
    **options: Any,
) -> SuccessRate:
    """Measure how often a task's expert succeeds.

    Args:
        task: A name of `TASKS`.
        arm: Name of a robot, or the path of its YAML file.
        randomization: A preset, or the path of a YAML file.
        episodes: How many.
        first_seed: Episode k has the seed first_seed + k.
        **options: Further settings of the environment, such as objects='test'.

    Returns:
        The successes, and the seeds that failed.

    Raises:
        ConfigError: A task, arm or preset is unknown.
    """
    env: Any = gymnasium.make(
        f"conure/{task}-v0", arm=arm, randomization=randomization, images=False, **options
    ).unwrapped
    lengths: list[int] = []
    failed: list[int] = []
    for seed in range(first_seed, first_seed + episodes):
        result = rollout(env, expert, seed)
        if result.success:
            lengths.append(result.steps)
        else:
            failed.append(seed)
    env.close()

    mean_steps = sum(lengths) / max(1, len(lengths))
    return SuccessRate(task, episodes, len(lengths), mean_steps, tuple(failed))
