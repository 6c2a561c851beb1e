"""Where a demonstration comes from: a recorded episode, or a file of actions of an Atari game."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.config.values import LARGEST
from conure_core.errors import ConfigError, DataError
from conure_core.runtime.atomic_files import damaged
from conure_training.data.atari import AtariRam
from conure_training.data.demonstration_states import replay_episode
from conure_training.data.recorded_episodes import load_recorded_episode
from conure_training.rl.demo_resets.demonstration import Demonstration, replay


def load_demonstration(
    env: Any, path: Path, episode: int, restores: bool = True, rewards: int = 0
) -> Demonstration:
    """Replay a demonstration in an environment, and keep every state that it passes through.

    Args:
        env: Of the demonstration's task and settings, from `make_vector_environment`.
        path: What `load_recorded_episode` reads; of an Atari game an .npz file: `actions` (n,), one
            a frame, and `seed` of the reset before them, 0 without one.
        episode: Which one of a folder's.
        restores: Whether its states are to be restored.
        rewards: A game is cut after so many; 0: after the last.

    Returns:
        The demonstration.

    Raises:
        ConfigError: The environment cannot restore a state, needs other actions, or has other
            settings, which are named.
        DataError: There is no such demonstration, or it no longer replays: says at which step.
    """
    if restores and not hasattr(env, "restore_state"):
        raise ConfigError(
            f"demo_resets needs an environment with save_state and restore_state, {env} has none;"
            " give method.curriculum=guided, which goes there from the true start"
        )
    if isinstance(env.unwrapped, AtariRam):
        return _replay_game(env, path, restores, rewards).until_last_reward()
    return _replay_recorded(env, path, episode).until_last_reward()


def _replay_recorded(env: Any, path: Path, episode: int) -> Demonstration:
    found = replay_episode(env.unwrapped, load_recorded_episode(path, episode))
    return Demonstration(
        observations=env.observation(found.observations),
        rewards=found.rewards,
        actions=tuple(found.actions.astype(np.float64)),
        seed=found.seed,
        states=found.states,
        options=found.options,
        target=found.target,
    )


def _replay_game(env: Any, path: Path, restores: bool, rewards: int) -> Demonstration:
    actions, seed = read_game_actions(path)
    observation, _ = env.reset(seed=seed)
    skip = env.unwrapped.frame_skip
    frames = actions[: len(actions) // skip * skip].reshape(-1, skip)
    return replay(env, observation, frames, seed, keep_states=restores, rewards=rewards)


def read_game_actions(path: Path) -> tuple[NDArray[Any], int]:
    """Read a game's demonstration: actions (n,), one a frame, and the seed of the reset before it.
    Raises: DataError, ConfigError.
    """
    try:
        with np.load(path) as file:
            actions = np.asarray(file["actions"])
            seed = int(file["seed"]) if "seed" in file else 0
    except FileNotFoundError as error:
        raise DataError(f"no demonstration at {path}; give method.demonstration=FILE") from error
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise damaged(path, error, "give an .npz file with `actions`") from error
    if actions.ndim != 1:
        raise ConfigError(
            f"{path}: expected actions of one number each, got the shape {actions.shape}"
        )
    if not len(actions) or not 0 <= seed <= LARGEST:
        raise DataError(
            f"{path}: expected actions and a seed from 0, got {len(actions)} actions, seed {seed}"
        )
    return actions, seed
