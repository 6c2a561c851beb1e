"""A demonstration as the moments that it passed through, for learners whose episodes begin there.

Source of the idea: Salimans and Chen, Learning Montezuma's Revenge from a Single Demonstration,
arXiv 1812.03381.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import DataError
from conure_training.data.recorded_episodes import (
    SCENE_SETTINGS,
    RecordedEpisode,
    load_recorded_episode,
    save_actions,
)

TOLERANCE = 1e-4
"""By which what is observed (m, rad) may differ when an episode is repeated."""
Observation = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class DemonstrationStates:
    """n steps of one episode and the n + 1 moments around them.

    >>> recorded = load_recorded_episode(Path("out/demos"), episode=3)
    >>> env = recorded.make_environment(images=False)
    >>> demonstration = replay_episode(env, recorded)
    >>> env.restore_snapshot(demonstration.states[-5])
    """

    settings: dict[str, Any]
    """Those of the environment that decide the episode."""
    seed: int
    """Of the reset."""
    options: dict[str, Any]
    """Of the reset."""
    target: int
    """Which object is the target, in the order of the reset."""
    observations: Observation
    """By name, shape (n + 1, ...): before each action, and after the last."""
    actions: NDArray[np.float32]
    """Shape (n, 7), in [-1, 1]."""
    rewards: NDArray[np.float32]
    """Shape (n,)."""
    states: tuple[Any, ...]
    """n + 1 of them: the environment's `restore_snapshot` takes them, or `restore_state` if they
    are exact."""

    def __len__(self) -> int:
        return len(self.actions)

    def save(self, path: Path) -> None:
        """Write start, actions and what was observed, some kilobytes, for `load_recorded_episode`;
        without the states, which a replay gives.
        """
        arrays = {
            "actions": self.actions,
            "rewards": self.rewards,
            "proprio": self.observations["proprio"],
            "state": self.observations["state"],
        }
        save_actions(path, self.settings, (self.seed, self.options, self.target), arrays)


def load_demonstration_states(
    path: Path, episode: int = 0, **others: Any
) -> tuple[Any, DemonstrationStates]:
    """Repeat an episode in an environment made for it.

    Args:
        path: See `load_recorded_episode`.
        episode: Number of the episode in a data set, from 0.
        **others: Settings of the environment beside those that decide the episode: images,
            velocities.

    Returns:
        The environment, and the demonstration.

    Raises:
        DataError: It cannot be read, or no longer replays; says at which step.
    """
    recorded = load_recorded_episode(path, episode)
    env = recorded.make_environment(**others)
    return env, replay_episode(env, recorded)


def replay_episode(
    env: Any,
    recorded: RecordedEpisode,
    exact: bool = False,
) -> DemonstrationStates:
    """Repeat an episode, and save every moment.

    Args:
        env: A TabletopEnv with the episode's settings, with or without images.
        recorded: The episode.
        exact: Whether states are those of `save_state`, exact and slow to restore, instead of
            snapshots.

    Returns:
        The demonstration.

    Raises:
        ConfigError: The environment has other settings, which are named.
        DataError: The episode no longer replays; says at which step it diverged.
    """
    recorded.require_settings(env)
    save = env.save_state if exact else env.save_snapshot
    seed = _begin(env, recorded)
    beginning = env.beginning
    order = env.scene.get_state()

    observations: list[Observation] = [env.observe()]
    states = [save()]
    rewards: list[float] = []
    for step, action in enumerate(recorded.actions, start=1):
        observation, reward, terminated, truncated, _ = env.step(action.astype(np.float64))
        observations.append(observation)
        states.append(save())
        rewards.append(reward)
        ended = (terminated or truncated) and step < len(recorded.actions)
        why = "the episode ended there" if ended else _difference(env, recorded, step, observation)
        if recorded.rewards is not None and recorded.rewards[step - 1] != reward:
            why = f"the reward is {reward:g}, not {recorded.rewards[step - 1]:g}"
        if why:
            raise _diverged(recorded, step, why)

    stacked = {
        name: np.stack([observation[name] for observation in observations])
        for name in observations[0]
    }
    return DemonstrationStates(
        settings={name: env.settings[name] for name in SCENE_SETTINGS},
        seed=seed,
        options=beginning.options,
        target=order[0] if order else 0,
        observations=stacked,
        actions=recorded.actions,
        rewards=np.array(rewards, dtype=np.float32),
        states=tuple(states),
    )


def _begin(env: Any, recorded: RecordedEpisode) -> int:
    """Bring the environment to the recorded start; its seed. Raises: DataError if there is none."""
    differences: list[str] = []
    for seed in recorded.begin(env):
        difference = _difference(env, recorded, 0, env.observe())
        if difference is None:
            return seed
        differences.append(difference)
    raise _diverged(recorded, 0, differences[0])


def _difference(
    env: Any,
    recorded: RecordedEpisode,
    step: int,
    observation: Observation,
) -> str | None:
    """What differs most from the recorded observation before this step; None within TOLERANCE."""
    for name, rows in recorded.observed.items():
        expected = rows[step]
        found = observation[name][: len(expected)]
        apart = np.abs(found - expected) if len(found) == len(expected) else np.array([np.inf])
        if apart.max() > TOLERANCE:
            part = _part(env, int(apart.argmax())) if name == "state" else ""
            return f"{name}{part} differs by {apart.max():.2g}"
    return None


def _part(env: Any, index: int) -> str:
    """Which part of the privileged state this is."""
    names = [name for name, part in env.state_layout.items() if part.start <= index < part.stop]
    return f" ({names[0]})"


def _diverged(recorded: RecordedEpisode, step: int, why: str) -> DataError:
    return DataError(
        f"{recorded.name} no longer replays: it diverged at step {step} of"
        f" {len(recorded.actions)}: {why}; it comes from another version, seed or kind of"
        " processor: record it again"
    )
