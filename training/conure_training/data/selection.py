"""Parts of a data set: by task, by number of trajectories, and what is held out of training."""

import zlib
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import DataError, unknown_name
from conure_training.data.demonstrations import Demonstrations

HELD_OUT = 0.05
EPISODE_ARRAYS = ("final_image", "final_proprio", "final_state", "seed")


def choose_episodes(
    data: Demonstrations, tasks: Sequence[str] = (), trajectories: int = 0, seed: int = 0
) -> Demonstrations:
    """The episodes of these tasks (none named: of all), and of those a number drawn by the seed (0:
    all), in order.

    Nested: with the same seed and tasks, whatever is in a smaller set is in every larger one.
    Raises: ConfigError for a task that the data does not have; DataError if there are too few
    episodes.
    """
    for name in tasks:
        if name not in data.tasks:
            raise unknown_name("task among the demonstrations", name, data.tasks)
    wanted = [data.tasks.index(name) for name in tasks] or list(range(len(data.tasks)))
    drawn = np.random.default_rng(seed).permutation(len(data.ends))
    drawn = drawn[np.isin(data.task[drawn], wanted)]
    if max(trajectories, 1) > len(drawn):
        raise DataError(
            f"trajectories={trajectories or 'all'} were asked for, the demonstrations hold"
            f" {len(drawn)} of {', '.join(tasks or data.tasks)}; collect more, or ask for fewer"
        )
    return episodes_of(data, np.sort(drawn[:trajectories] if trajectories else drawn))


def episodes_of(data: Demonstrations, episodes: NDArray[np.int64]) -> Demonstrations:
    """These episodes alone; tasks that have none of them are forgotten."""
    if len(episodes) == len(data.ends):
        return data
    steps = np.concatenate(
        [np.arange(data.starts[episode], data.ends[episode]) for episode in episodes]
    )
    whole = {"ends": np.cumsum((data.ends - data.starts)[episodes])}
    kept, task = np.unique(data.task[episodes], return_inverse=True)
    whole |= {"task": task, **{name: getattr(data, name)[episodes] for name in EPISODE_ARRAYS}}
    names = {field.name for field in fields(data)} - whole.keys() - {"tasks"}
    parts: dict[str, Any] = {name: getattr(data, name)[steps] for name in names}
    return replace(data, **parts, **whole, tasks=tuple(data.tasks[index] for index in kept))


def held_out_steps(data: Demonstrations) -> NDArray[np.bool_]:
    """Whether each step belongs to an episode that no prior is trained on: every n-th, for they are
    ordered by task.

    Raises: DataError for less than two episodes, of which nothing could be held out.
    """
    count = len(data.ends)
    if count < 2:
        raise DataError(
            f"a prior needs at least 2 episodes, one of them held out, got {count}; collect more"
        )
    episode = np.repeat(np.arange(count), data.ends - data.starts)
    return np.asarray(episode % (count // max(1, round(HELD_OUT * count))) == 0)


def require_many_tasks(data: Demonstrations, tasks: Sequence[str]) -> None:
    """Refuse data of one task, unless just that task was asked for. Raises: DataError."""
    present = [data.tasks[index] for index in np.unique(data.task)]
    if len(present) == 1 and list(tasks) != present:
        raise DataError(
            f"the demonstrations hold one task only, {present[0]}, and a prior of one task helps"
            f" with no other: collect more tasks, or say that it is meant so: tasks=[{present[0]}]"
        )


def fingerprint(data: Demonstrations) -> int:
    """A number that changes with the episodes, their tasks and their actions."""
    checksum = 0
    for array in (data.ends, data.task, data.seed, data.action):
        checksum = zlib.crc32(np.ascontiguousarray(array).tobytes(), checksum)
    return checksum
