"""Episodes that begin in the states of many demonstrations of one task."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from conure_core.errors import DataError
from conure_training.data.demonstrations import load_demonstrations
from conure_training.rl.demo_resets.curriculum import FixedCurriculum, ReverseCurriculum
from conure_training.rl.demo_resets.demonstration import Demonstration
from conure_training.rl.demo_resets.optimizer import ResetOptimizer
from conure_training.rl.demo_resets.sources import load_demonstration
from conure_training.rl.demo_resets.worker import TRUE_START, ResetRule, ResetWorker
from conure_training.rl.on_policy.loop import Curriculum, TrueStart
from conure_training.rl.visuomotor.config import VisuomotorConfig


def load_task_demonstrations(
    env: Any, path: Path, task: str, count: int
) -> tuple[Demonstration, ...]:
    """Replay the first demonstrations of a task, and keep every state.

    Args:
        env: Of the task, with the settings that they were collected with.
        path: The folder of `conure demos`.
        task: Name of the task.
        count: How many.

    Returns:
        The demonstrations.

    Raises:
        ConfigError: The environment has other settings, which are named.
        DataError: There are fewer, or one no longer replays.
    """
    data = load_demonstrations(path, images=False)
    episodes = np.flatnonzero([data.tasks[number] == task for number in data.task])
    if len(episodes) < count:
        raise DataError(
            f"{path} holds {len(episodes)} episodes of {task}, method.trajectories asks for"
            f" {count}; give fewer, or collect more by conure demos +episodes.{task}={count}"
        )
    return tuple(load_demonstration(env, path, int(episode)) for episode in episodes[:count])


class DemonstrationStarts(ResetWorker):
    """An environment that begins a share of its episodes near tau* of one of many demonstrations,
    the others at its own start.

    Demonstrations differ in length, so tau* and `info["start"]` count steps on a common clock on
    which all of them end together: one that is shorter by n steps begins at n.
    """

    def __init__(
        self, env: Any, demonstrations: Sequence[Demonstration], rule: ResetRule, share: float
    ) -> None:
        """Wrap an environment.

        Args:
            env: With `save_state` and `restore_state`.
            demonstrations: Of this environment.
            rule: Where episodes begin.
            share: Of episodes that begin in a demonstration's state.
        """
        super().__init__(env, demonstrations[0], rule)
        self.demonstrations = demonstrations
        self.share = share
        self.longest = longest(demonstrations)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: Draws the demonstration, and the step in it.
            options: `reset_point`: tau* on the common clock.

        Returns:
            See ResetWorker.
        """
        rng = np.random.default_rng(None if seed is None else (seed, 1))
        point = (options or {}).get("reset_point", TRUE_START)
        if point == TRUE_START or rng.random() >= self.share:
            return super().reset(seed=seed, options={"reset_point": TRUE_START})
        self.demonstration = self.demonstrations[int(rng.integers(len(self.demonstrations)))]
        late = self.longest - len(self.demonstration)
        observation, _ = super().reset(seed=seed, options={"reset_point": max(0, point - late)})
        self.about = {"start": self.start + late}
        return observation, dict(self.about)


def longest(demonstrations: Sequence[Demonstration]) -> int:
    """Steps of the longest one."""
    return max(len(item) for item in demonstrations)


def reset_rule(config: VisuomotorConfig, demonstrations: Sequence[Demonstration]) -> ResetRule:
    """Say where episodes begin within the demonstrations.

    Args:
        config: The method's settings.
        demonstrations: The run's.

    Returns:
        The rule; an episode fails at the environment's time limit alone.
    """
    steps = longest(demonstrations)
    return ResetRule(
        window=steps if config.curriculum == "uniform" else config.window,
        burn_in=config.burn_in if config.memory else 0,
        lag=NEVER,
    )


NEVER = 1_000_000


def make_curriculum(
    config: VisuomotorConfig, demonstrations: Sequence[Demonstration]
) -> Curriculum:
    """Decide where episodes begin.

    Args:
        config: The method's settings.
        demonstrations: The run's; none without demonstration resets.

    Returns:
        What the loop asks for every reset's options.
    """
    if not config.resets:
        return TrueStart()
    last = longest(demonstrations) - 1
    if config.curriculum == "uniform":
        return FixedCurriculum(last)
    return ReverseCurriculum(ResetOptimizer(last, config.schedule))
