"""Where a demonstration comes from: a file of actions, or a data set of `conure demos`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.config.values import LARGEST
from conure_core.errors import ConfigError, DataError
from conure_core.runtime.atomic_files import damaged
from conure_training.data.atari import AtariRam
from conure_training.data.collect import begin_recorded_episode
from conure_training.data.demonstrations import load_demonstrations
from conure_training.rl.demo_resets.demonstration import Demonstration, replay

TOLERANCE = 1e-5
"""Between a recorded observation and the same one replayed: they are saved as float32."""


def load_demonstration(
    env: Any, path: Path, episode: int, restores: bool = True, rewards: int = 0
) -> Demonstration:
    """Replay a demonstration in an environment, and keep every state that it passes through.

    Args:
        env: Of the demonstration's task and settings, its observations vectors.
        path: A folder of `conure demos`, or an .npz file: `actions`, one a step, (n, 7) or (n,), of
            an Atari game one a frame; and `seed` of the reset before them, 0 without one.
        episode: Which one of the folder's.
        restores: Whether its states are to be restored.
        rewards: It is cut after so many; 0: after the last.

    Returns:
        The demonstration.

    Raises:
        ConfigError: The environment cannot restore a state, or needs other actions.
        DataError: There is no such demonstration, or it no longer replays: says at which step.
    """
    if restores and not hasattr(env, "restore_state"):
        raise ConfigError(
            f"demo_resets needs an environment with save_state and restore_state, {env} has none;"
            " give method.curriculum=guided, which goes there from the true start"
        )
    if path.suffix == ".npz":
        return _replay_file(env, path, restores, rewards).until_last_reward()
    return _replay_recorded(env, path, episode).until_last_reward()


def _replay_file(env: Any, path: Path, restores: bool, rewards: int) -> Demonstration:
    actions, seed = _read_actions(path)
    discrete = hasattr(env.action_space, "n")
    if discrete != (actions.ndim == 1):
        kind = "one number each" if discrete else f"{env.action_space.shape[0]} values each"
        raise ConfigError(f"{path}: expected actions of {kind}, got the shape {actions.shape}")
    observation, _ = env.reset(seed=seed)
    if isinstance(env.unwrapped, AtariRam):
        skip = env.unwrapped.frame_skip
        actions = actions[: len(actions) // skip * skip].reshape(-1, skip)
    return replay(env, observation, actions, seed, keep_states=restores, rewards=rewards)


def _read_actions(path: Path) -> tuple[NDArray[Any], int]:
    try:
        with np.load(path) as file:
            actions = np.asarray(file["actions"])
            seed = int(file["seed"]) if "seed" in file else 0
    except FileNotFoundError as error:
        raise DataError(f"no demonstration at {path}; give method.demonstration=FILE") from error
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise damaged(path, error, "give an .npz file with `actions`") from error
    if actions.ndim not in (1, 2) or not len(actions) or not 0 <= seed <= LARGEST:
        raise DataError(f"{path}: expected actions (n,) or (n, A), got {actions.shape}")
    return actions, seed


def _replay_recorded(env: Any, path: Path, episode: int) -> Demonstration:
    data = load_demonstrations(path, images=False)
    if episode >= len(data.ends):
        raise DataError(
            f"{path} holds {len(data.ends)} episodes; give method.episode below that, got {episode}"
        )
    task = data.tasks[data.task[episode]]
    if task != env.unwrapped.settings["task"]:
        raise DataError(
            f"{path}: episode {episode} is one of {task}; give task={task}, or another episode"
        )
    steps = slice(data.starts[episode], data.ends[episode])
    recorded = np.concatenate([data.state[steps], data.final_state[episode][None]])
    seed = int(data.seed[episode])
    first = begin_recorded_episode(env.unwrapped, path, seed, recorded[0])["state"]
    compare = _comparison(path, episode, recorded)
    return replay(env, first, data.action[steps], seed, compare)


def _comparison(
    path: Path, episode: int, recorded: NDArray[np.float32]
) -> Callable[[int, NDArray[np.float32]], None]:
    """What refuses a replay that is elsewhere than the recording."""

    def compare(step: int, observation: NDArray[np.float32]) -> None:
        expected = recorded[step]
        apart = float(np.nanmax(np.abs(observation - expected)))
        if apart > TOLERANCE:
            raise DataError(
                f"{path}: episode {episode} no longer replays: at step {step} the state is"
                f" {apart:.2g} from the recorded one; collect it again with conure demos"
            )

    return compare
