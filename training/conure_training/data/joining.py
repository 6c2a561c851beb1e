"""Data sets put end to end, whatever each of them has: states of other sizes, no labels, other
tasks.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import ConfigError, DataError
from conure_training.data.demonstrations import Demonstrations, load_demonstrations
from conure_training.data.images import join_images


def data_folders(demos: Any) -> list[Path]:
    """The folders of a setting `demos`.

    Args:
        demos: A folder's name, or a list of them.

    Returns:
        At least one.

    Raises:
        ConfigError: It is neither.
    """
    names = [demos] if isinstance(demos, str) else demos
    if not isinstance(names, list | tuple):
        names = ()
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigError(f"demos must be a folder, or a list of folders, got {demos!r}")
    return [Path(name) for name in names]


def load_data_sets(demos: Any, images: bool = True) -> Demonstrations:
    """Read one data set, or several as one.

    Args:
        demos: A folder's name, or a list of them.
        images: See `load_demonstrations`.

    Returns:
        All episodes, in the order of the folders.

    Raises:
        ConfigError, DataError: See `data_folders`, `load_demonstrations`, `join_demonstrations`.
    """
    folders = data_folders(demos)
    return join_demonstrations([load_demonstrations(folder, images) for folder in folders])


def join_demonstrations(parts: Sequence[Demonstrations], images: bool = True) -> Demonstrations:
    """Put data sets end to end.

    Args:
        parts: At least one. Their arms must agree; tasks, states and labels need not.
        images: False leaves the images out: the result has the first part's.

    Returns:
        All episodes. Rows without a state or a label are NaN. It has the cameras that all have.

    Raises:
        DataError: They are of different arms, or their images differ in size.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    _require_one_arm(parts)
    tasks = tuple(dict.fromkeys(name for part in parts for name in part.tasks))
    joined: dict[str, Any] = {
        "ends": _join_ends(parts),
        "task": np.concatenate([_renumbered(part, tasks) for part in parts]),
        "tasks": tasks,
        "infos": tuple(info for part in parts for info in _sized(part)),
        "time_s": _join_times(parts),
    }
    for name in ("proprio", "action", "reward", "final_proprio", "seed"):
        joined[name] = np.concatenate([getattr(part, name) for part in parts])
    for name in ("state", "final_state", "positions"):
        joined[name] = _join_padded([getattr(part, name) for part in parts])
    if images:
        for name in ("image", "final_image"):
            joined[name] = join_images([getattr(part, name) for part in parts])
        joined["others"] = _join_others(parts)
    return replace(first, **joined)


def _require_one_arm(parts: Sequence[Demonstrations]) -> None:
    sizes = [part.proprio.shape[1] for part in parts]
    names = [info.robot for part in parts for info in part.episodes if info.robot]
    if len(set(sizes)) > 1 or len(set(names)) > 1:
        found = ", ".join(dict.fromkeys(names)) or "not named"
        raise DataError(
            f"the data sets are of different arms ({found}; proprioception of"
            f" {', '.join(map(str, dict.fromkeys(sizes)))} values); give those of one arm"
        )


def _join_ends(parts: Sequence[Demonstrations]) -> NDArray[np.int64]:
    lengths = [part.ends - part.starts for part in parts]
    return np.cumsum(np.concatenate(lengths))


def _renumbered(part: Demonstrations, tasks: tuple[str, ...]) -> NDArray[np.int64]:
    """Each episode's index into the tasks of all."""
    numbers = np.array([tasks.index(name) for name in part.tasks], dtype=np.int64)
    return numbers[part.task]


def _sized(part: Demonstrations) -> list[Any]:
    """What is known of the episodes, with the size of each one's state."""
    sizes = part.state_sizes.tolist()
    infos = zip(part.episodes, sizes, strict=True)
    return [replace(info, state_size=size) for info, size in infos]


def _join_times(parts: Sequence[Demonstrations]) -> NDArray[np.float64] | None:
    if all(part.time_s is None for part in parts):
        return None
    times = []
    for part in parts:
        unknown = np.full(len(part), np.nan)
        times.append(unknown if part.time_s is None else part.time_s)
    return np.concatenate(times)


def _join_padded(rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """End to end, with NaN where one has fewer columns than another."""
    widest = max(part.shape[1] for part in rows)
    padded = []
    for part in rows:
        missing = [(0, 0)] * part.ndim
        missing[1] = (0, widest - part.shape[1])
        padded.append(np.pad(part, missing, constant_values=np.nan))
    return np.concatenate(padded)


def _join_others(parts: Sequence[Demonstrations]) -> dict[str, Any]:
    """Further cameras, as far as all parts have them."""
    names = set(parts[0].others).intersection(*(part.others for part in parts))
    found = {}
    for name in sorted(names):
        steps = join_images([part.others[name][0] for part in parts])
        final = join_images([part.others[name][1] for part in parts])
        found[name] = (steps, final)
    return found
