"""Parts of a data set: by task, by number of trajectories, and the part held out of training."""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import DataError, unknown_name
from conure_training.data.demonstrations import STEPS, Demonstrations
from conure_training.data.images import take_images

HELD_OUT = 0.05
"""Share of the episodes that no prior is trained on."""
TAKEOVER = "takeover"
EPISODE_ARRAYS = ("final_proprio", "final_state", "seed")


def choose_episodes(
    data: Demonstrations, tasks: Sequence[str] = (), trajectories: int = 0, seed: int = 0
) -> Demonstrations:
    """Draw some episodes of some tasks.

    Draws are nested: with the same seed and tasks, a larger one holds every smaller one.

    Args:
        data: The data set.
        tasks: Names of the tasks; none: all.
        trajectories: How many of their episodes; 0: all.
        seed: Decides the draw.

    Returns:
        The episodes, in the order of the data set.

    Raises:
        ConfigError: The data has no such task.
        DataError: It has too few episodes.
    """
    for name in tasks:
        if name not in data.tasks:
            raise unknown_name("task among the demonstrations", name, data.tasks)
    wanted = [data.tasks.index(name) for name in tasks or data.tasks]
    order = np.random.default_rng(seed).permutation(len(data.ends))
    drawn = order[np.isin(data.task[order], wanted)]
    if max(trajectories, 1) > len(drawn):
        raise DataError(
            f"expected trajectories={trajectories or 'all'}, but the demonstrations hold"
            f" {len(drawn)} of {', '.join(tasks or data.tasks)}; collect more, or ask for fewer"
        )
    if trajectories:
        drawn = drawn[:trajectories]
    return episodes_of(data, np.sort(drawn))


def episodes_of(data: Demonstrations, episodes: NDArray[np.int64]) -> Demonstrations:
    """Keep some episodes.

    Args:
        data: The data set.
        episodes: Their indices, ascending, shape (m,).

    Returns:
        These episodes and the tasks that they have; `data` itself if these are all.
    """
    if len(episodes) == len(data.ends):
        return data

    lengths = data.ends - data.starts
    ranges = [np.arange(data.starts[episode], data.ends[episode]) for episode in episodes]
    steps = np.concatenate(ranges)
    kept, task = np.unique(data.task[episodes], return_inverse=True)

    parts: dict[str, Any] = {
        "ends": np.cumsum(lengths[episodes]),
        "task": task,
        "tasks": tuple(data.tasks[index] for index in kept),
        "infos": tuple(data.infos[episode] for episode in episodes if data.infos),
        "image": take_images(data.image, steps),
        "final_image": take_images(data.final_image, episodes),
        "others": {
            name: (take_images(seen, steps), take_images(final, episodes))
            for name, (seen, final) in data.others.items()
        },
    }
    for name in EPISODE_ARRAYS:
        parts[name] = getattr(data, name)[episodes]
    for name in STEPS:
        rows = getattr(data, name)
        parts[name] = None if rows is None else rows[steps]
    return replace(data, **parts)


def held_out_steps(data: Demonstrations) -> NDArray[np.bool_]:
    """Mark the steps of episodes that no prior is trained on, (n,).

    They are every n-th episode, because episodes are ordered by task. Raises: DataError for fewer
    than two episodes, of which none could be held out.
    """
    count = len(data.ends)
    if count < 2:
        raise DataError(
            f"a prior needs at least 2 episodes, one of them held out, got {count}; collect more"
        )
    episode = np.repeat(np.arange(count), data.ends - data.starts)
    every = count // max(1, round(HELD_OUT * count))
    return np.asarray(episode % every == 0)


def taught_steps(data: Demonstrations) -> NDArray[np.bool_]:
    """Mark the steps that a prior imitates, (n,): of an episode in which a person took over from a
    policy, those in which the person acted.

    Source: Kelly et al., HG-DAgger, ICRA 2019, arXiv 1810.02890.
    """
    taught = np.ones(len(data), np.bool_)
    for episode, info in enumerate(data.episodes):
        if info.source == TAKEOVER:
            taught[data.steps_of(episode)] = person_steps(data, episode)
    return taught


def person_steps(data: Demonstrations, episode: int) -> NDArray[np.bool_]:
    """Mark the steps of an episode in which a person acted, (T,).

    Args:
        data: The data set.
        episode: Number of the episode.
    """
    steps = data.steps_of(episode)
    acted = np.zeros(steps.stop - steps.start, np.bool_)
    for first, end in data.episodes[episode].operator:
        acted[first:end] = True
    return acted


def require_many_tasks(data: Demonstrations, tasks: Sequence[str]) -> None:
    """Refuse data of a single task, unless exactly that task was named.

    Args:
        data: The data set.
        tasks: The names that the configuration gives.

    Raises:
        DataError: The data is of one task by accident.
    """
    present = [data.tasks[index] for index in np.unique(data.task)]
    if len(present) == 1 and list(tasks) != present:
        raise DataError(
            f"the demonstrations hold one task only, {present[0]}, and a prior of one task helps"
            f" with no other: collect more tasks, or say that it is meant so: tasks=[{present[0]}]"
        )


def fingerprint(data: Demonstrations) -> int:
    """Checksum (CRC-32) of the episodes, their tasks, seeds and actions."""
    checksum = 0
    for array in (data.ends, data.task, data.seed, data.action):
        checksum = zlib.crc32(np.ascontiguousarray(array).tobytes(), checksum)
    return checksum
