"""Demonstrations in discrete actions: a table of actions, and episodes of its numbers.

An expert that acts through the table shows exactly what can be learned. The actions of a folder of
`conure demos` are replaced by the nearest of the table, though their observations were not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from conure_core.errors import ConfigError, DataError
from conure_core.runtime.atomic_files import damaged, replacing
from conure_sim.envs.rollout import act_until_done, expert
from conure_training.data.demonstrations import load_demonstrations
from conure_training.data.discrete_actions import Table, axis_actions, cluster_actions, nearest
from conure_training.rl.config import RunConfig
from conure_training.rl.dqfd.config import DqfdConfig
from conure_training.rl.dqfd.learner import SEEN
from conure_training.rl.replay import Episode
from conure_training.runtime.arrays import UNREADABLE

FILE = "demonstrations.npz"
"""Of a run whose expert showed something, in its `out`."""
FIRST_SEED = 4_000_000
MOST_FAILURES = 20
"""In a row, before the table is given up."""


@dataclass(frozen=True)
class ActionEpisode:
    """T steps of the privileged state."""

    seen: NDArray[np.float32]
    """Shape (T + 1, S)."""
    actions: NDArray[np.float32]
    """Shape (T, 7) as demonstrated; or numbers of a table's rows, (T,)."""
    rewards: NDArray[np.float32]
    """Shape (T,)."""


@dataclass(frozen=True)
class Demonstrations:
    """What was shown, in the numbers of a table's rows."""

    table: Table
    """The actions, (k, 7)."""
    episodes: tuple[ActionEpisode, ...]
    """At least one."""

    def replay_episodes(self) -> list[Episode]:
        """As the learner's episodes: they succeed, and have no future."""
        return [
            Episode(
                observations={SEEN: torch.from_numpy(episode.seen)},
                action=torch.from_numpy(episode.actions).float()[:, None],
                reward=torch.from_numpy(episode.rewards),
                terminated=True,
            )
            for episode in self.episodes
        ]

    def save(self, path: Path) -> None:
        """Write one .npz file, for `method.demonstration`."""
        arrays = {
            "table": self.table,
            "steps": np.array([len(episode.actions) for episode in self.episodes]),
        }
        for name in ("seen", "actions", "rewards"):
            arrays[name] = np.concatenate([getattr(item, name) for item in self.episodes])
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)


def find_demonstrations(run: RunConfig, config: DqfdConfig, env: Any) -> Demonstrations:
    """Read or show the run's demonstrations.

    Args:
        run: The run.
        config: Says where they come from, and what the actions are.
        env: The run's environment, for the expert.

    Returns:
        The demonstrations; without use for them, the table of axes and no episode.

    Raises:
        ConfigError: They are in other actions than the config's, or see another state.
        DataError: There are none.
    """
    if config.demonstrations == "none" and config.actions == "axes":
        return Demonstrations(axis_actions(), ())
    path = Path(config.demonstration)
    if not config.demonstration:
        found = show(env, config, run.seed)
        found.save(Path(run.out) / FILE)
    elif path.is_dir():
        found = convert(_recorded(path, run.task), config, run.seed)
    else:
        found = load(path)
    _require_fit(found, config, env, str(path))
    if config.demonstrations == "none":
        return Demonstrations(found.table, ())
    return found


def show(env: Any, config: DqfdConfig, seed: int) -> Demonstrations:
    """Let the task's scripted expert act through the table.

    Args:
        env: A TabletopEnv.
        config: Says how many episodes, and what the actions are.
        seed: Of the run.

    Returns:
        Episodes that succeeded.

    Raises:
        ConfigError: The expert keeps failing through this table.
    """
    if config.actions == "clusters":
        whole = _successes(env, None, config.episodes, seed)
        table = _cluster(whole, config, seed)
    else:
        table = axis_actions()
    return Demonstrations(table, tuple(_successes(env, table, config.episodes, seed)))


def convert(episodes: list[ActionEpisode], config: DqfdConfig, seed: int) -> Demonstrations:
    """Replace continuous actions by the nearest of a table.

    Args:
        episodes: With actions (T, 7).
        config: Says what the actions are.
        seed: Of clusters.

    Returns:
        The same episodes; their actions are up to half a step from those that were done.
    """
    table = axis_actions() if config.actions == "axes" else _cluster(episodes, config, seed)
    found = [
        ActionEpisode(item.seen, nearest(table, item.actions).astype(np.float32), item.rewards)
        for item in episodes
    ]
    return Demonstrations(table, tuple(found))


def load(path: Path) -> Demonstrations:
    """Read what `Demonstrations.save` wrote. Raises: DataError if it cannot."""
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        return _split(arrays)
    except FileNotFoundError as error:
        raise DataError(f"no demonstrations at {path}; give method.demonstration=FILE") from error
    except UNREADABLE as error:
        raise damaged(path, error, "show them again") from error


def _split(arrays: Mapping[str, NDArray[Any]]) -> Demonstrations:
    episodes = []
    row = step = 0
    for length in arrays["steps"]:
        episodes.append(
            ActionEpisode(
                seen=arrays["seen"][row : row + length + 1],
                actions=arrays["actions"][step : step + length],
                rewards=arrays["rewards"][step : step + length],
            )
        )
        row, step = row + int(length) + 1, step + int(length)
    return Demonstrations(arrays["table"], tuple(episodes))


def _require_fit(found: Demonstrations, config: DqfdConfig, env: Any, where: str) -> None:
    if not found.episodes:
        raise DataError(f"{where} holds no demonstration; show some with method.demonstration=")
    expected = axis_actions()
    if config.actions == "axes" and not np.array_equal(found.table, expected):
        raise ConfigError(
            f"{where} has demonstrations in {len(found.table)} actions that are not the"
            f" {len(expected)} of method.actions=axes; give method.actions=clusters, which takes"
            " the file's, or show them again"
        )
    size = env.observation_space["state"].shape[0]
    seen = found.episodes[0].seen.shape[1]
    if seen != size:
        raise ConfigError(
            f"{where} has demonstrations of {seen} numbers of privileged state, the environment"
            f" {size}; give those of the run's own task and settings"
        )


def _recorded(path: Path, task: str) -> list[ActionEpisode]:
    data = load_demonstrations(path, images=False)
    chosen = np.flatnonzero(data.task == data.tasks.index(task)) if task in data.tasks else ()
    episodes = []
    for index in chosen:
        steps = data.steps_of(index)
        seen = data.states_of(index)
        episodes.append(ActionEpisode(seen, data.action[steps], data.reward[steps]))
    if not episodes:
        raise DataError(
            f"{path} holds no episode of {task}, only of {', '.join(data.tasks)}; give another"
            " method.demonstration="
        )
    return episodes


def _cluster(episodes: list[ActionEpisode], config: DqfdConfig, seed: int) -> Table:
    done = np.concatenate([episode.actions for episode in episodes])
    return cluster_actions(done, config.clusters, seed)


def _successes(env: Any, table: Table | None, count: int, seed: int) -> list[ActionEpisode]:
    """Episodes of the expert that succeed, through the table, if there is one."""
    found: list[ActionEpisode] = []
    failures = 0
    attempt = FIRST_SEED + 100_000 * seed
    while len(found) < count:
        episode = _act_as_expert(env, table, attempt)
        attempt += 1
        if episode.rewards[-1] > 0:
            found.append(episode)
            failures = 0
            continue
        failures += 1
        if failures == MOST_FAILURES:
            raise ConfigError(
                f"the expert failed {failures} times in a row through"
                f" {'its own' if table is None else len(table)} actions; give more clusters,"
                " method.actions=axes, or method.demonstration="
            )
    return found


def _act_as_expert(env: Any, table: Table | None, seed: int) -> ActionEpisode:
    observation, _ = env.reset(seed=seed)
    policy = expert(env)
    seen = [observation["state"]]
    actions: list[Any] = []
    rewards: list[float] = []

    def act(observation: Any) -> NDArray[Any]:
        wanted = policy(observation)
        if table is None:
            actions.append(wanted)
            return wanted
        number = int(nearest(table, wanted[None])[0])
        actions.append(number)
        return table[number]

    def keep(step: Any) -> None:
        seen.append(step.following["state"])
        rewards.append(step.reward)

    act_until_done(env, act, observation, keep)
    return ActionEpisode(
        seen=np.stack(seen),
        actions=np.array(actions, dtype=np.float32),
        rewards=np.array(rewards, dtype=np.float32),
    )
