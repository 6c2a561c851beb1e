"""Atari games for deep Q-learning: what counts as success, how rewards are scaled, and a
demonstration whose every action lasts as long as the learner's.
"""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from conure_core.errors import DataError
from conure_training.rl.demo_resets.sources import read_game_actions
from conure_training.rl.dqfd.learner import SEEN
from conure_training.rl.replay import Episode

LONGER = 2
"""Times the demonstration's length that an episode may last."""


def scale_reward(points: float) -> float:
    """sign(r) log(1 + |r|). Source: Hester et al., arXiv 1704.03732, section 5."""
    return float(np.sign(points) * np.log1p(abs(points)))


class UntilScore(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A game that ends once a score is reached, with scaled rewards."""

    def __init__(self, env: Any, score: float, max_steps: int) -> None:
        """Wrap a game.

        Args:
            env: An AtariRam.
            score: Points that are success, and end it.
            max_steps: Actions of an episode.
        """
        super().__init__(env)
        env.unwrapped.success_score = score
        env.unwrapped.max_steps = max_steps

    def step(self, action: Any) -> Any:
        """Hold an action."""
        observation, reward, terminated, truncated, info = self.env.step(int(action))
        ended = terminated or info["is_success"]
        return observation, scale_reward(float(reward)), ended, truncated and not ended, info


def load_game_demonstration(env: Any, path: Path, rewards: int) -> tuple[Episode, float]:
    """Play a demonstration with one action held for the learner's frame skip.

    A demonstration has an action a frame; each block of frames is played by its first or by its
    last, whichever earns the rewards, blocks beginning at any frame of the first one.

    Args:
        env: An AtariRam.
        path: The file, see `read_game_actions`.
        rewards: How many to play until.

    Returns:
        The episode, its rewards scaled, and the points it earns.

    Raises:
        DataError: Held so long, the actions earn no such rewards.
        ConfigError: The file has other actions.
    """
    actions, seed = read_game_actions(path)
    skip = env.unwrapped.frame_skip
    for begin in range(skip):
        padded = np.concatenate([np.zeros((skip - begin) % skip, actions.dtype), actions])
        blocks = padded[: len(padded) // skip * skip].reshape(-1, skip)
        for which in (-1, 0):
            found = _play(env, blocks[:, which], rewards, seed)
            if found is not None:
                return found
    raise DataError(
        f"{path} earns no {rewards} rewards with actions of {skip} frames each; give fewer"
        " method.rewards, or a demonstration whose actions last so long"
    )


def _play(env: Any, actions: Any, rewards: int, seed: int) -> tuple[Episode, float] | None:
    observation, _ = env.reset(seed=seed)
    seen = [observation]
    points: list[float] = []
    for action in actions:
        observation, earned, terminated, truncated, _ = env.step(int(action))
        seen.append(observation)
        points.append(earned)
        if np.count_nonzero(points) == rewards:
            scaled = [scale_reward(value) for value in points]
            episode = Episode(
                observations={SEEN: torch.from_numpy(np.stack(seen))},
                action=torch.from_numpy(actions[: len(points)].astype(np.float32))[:, None],
                reward=torch.tensor(scaled),
                terminated=True,
            )
            return episode, sum(points)
        if terminated or truncated:
            return None
    return None
