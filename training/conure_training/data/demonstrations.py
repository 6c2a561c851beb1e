"""Demonstrations on disk (Zarr) and in memory."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from conure_core.errors import DataError
from conure_core.runtime.atomic_files import damaged, last_whole, replacing

FORMAT = 1
IMAGES = ("image", "final_image")


@dataclass(frozen=True)
class Demonstrations:
    """e episodes of n steps in all, end to end; step t holds the observation before action t."""

    image: NDArray[np.uint8]
    """Shape (n, h, w, 3), sRGB."""

    proprio: NDArray[np.float32]
    """Proprioception, shape (n, p), as the robot's contract orders it."""

    state: NDArray[np.float32]
    """The simulator's privileged state, shape (n, s)."""

    action: NDArray[np.float32]
    """Normalized actions, shape (n, 7), in [-1, 1]."""

    reward: NDArray[np.float32]
    """Shape (n,): 1 at success, else 0."""

    positions: NDArray[np.float32]
    """The objects' centres, shape (n, k, 3), m, base frame; NaN where absent."""

    final_image: NDArray[np.uint8]
    """After each episode's last action, shape (e, h, w, 3)."""

    final_proprio: NDArray[np.float32]
    """After each episode's last action, shape (e, p)."""

    final_state: NDArray[np.float32]
    """After each episode's last action, shape (e, s)."""

    ends: NDArray[np.int64]
    """One past each episode's last step, shape (e,)."""

    task: NDArray[np.int64]
    """Each episode's index into `tasks`, shape (e,)."""

    seed: NDArray[np.int64]
    """Each episode's seed, shape (e,)."""

    tasks: tuple[str, ...] = ()
    """Names of the tasks."""

    @property
    def starts(self) -> NDArray[np.int64]:
        """Index of each episode's first step, (e,)."""
        return np.concatenate([[0], self.ends[:-1]]).astype(np.int64)

    def __len__(self) -> int:
        return len(self.action)


ARRAYS = tuple(field.name for field in fields(Demonstrations) if field.name != "tasks")


def save_demonstrations(path: Path, data: Demonstrations, attributes: dict[str, Any]) -> None:
    """Write a data set, whole or not at all.

    Args:
        path: Folder of the Zarr group.
        data: The episodes.
        attributes: Notes beside them, as JSON holds them, such as {"config": ...}.
    """
    with replacing(path) as temporary:
        group = zarr.open_group(temporary, mode="w")
        for name in ARRAYS:
            values = getattr(data, name)
            chunks = (min(len(values), 2048), *values.shape[1:])
            group.create_array(name, data=values, chunks=chunks)
        group.attrs.update({"format": FORMAT, "tasks": list(data.tasks), **attributes})


def load_demonstrations(path: Path, images: bool = True) -> Demonstrations:
    """Read and check a data set.

    Args:
        path: Folder of the Zarr group.
        images: False skips the images, most of the data: they have shape (n, 0, 0, 3) then.

    Returns:
        All episodes, in the order of their collection.

    Raises:
        DataError: There is none, or it is damaged; names the array or the first broken episode.
    """
    wanted = ARRAYS if images else [name for name in ARRAYS if name not in IMAGES]
    try:
        group = zarr.open_group(last_whole(path), mode="r")
        arrays: dict[str, Any] = {name: np.asarray(group[name]) for name in wanted}
        tasks = tuple(str(name) for name in group.attrs["tasks"])  # type: ignore[union-attr]
    except FileNotFoundError as error:
        raise DataError(f"no data set at {path}; run conure demos out={path}") from error
    except Exception as error:  # Zarr and its codecs raise anything on damaged chunks
        raise damaged(path, error, "run conure demos again") from error
    if not images:
        arrays["image"] = _blank(arrays["proprio"])
        arrays["final_image"] = _blank(arrays["final_proprio"])
    data = Demonstrations(**arrays, tasks=tasks)
    check_demonstrations(data, path)
    return data


def load_config_of(path: Path) -> dict[str, Any]:
    """The settings that a data set was collected with; empty if it does not say. Raises: DataError
    if there is none.
    """
    try:
        attributes = zarr.open_group(last_whole(path), mode="r").attrs.asdict()
    except FileNotFoundError as error:
        raise DataError(f"no data set at {path}; run conure demos out={path}") from error
    config: dict[str, Any] = attributes.get("config") or {}  # type: ignore[assignment]
    return config


def stored_arrays(path: Path) -> set[str]:
    """Names of the arrays in a data set. Raises: DataError if there is none."""
    try:
        group = zarr.open_group(last_whole(path), mode="r")
        return set(group.array_keys())
    except FileNotFoundError as error:
        raise DataError(f"no data set at {path}; run conure demos out={path}") from error
    except Exception as error:  # as in load_demonstrations
        raise damaged(path, error, "run conure demos again") from error


def _blank(rows: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.zeros((len(rows), 0, 0, 3), np.uint8)


def check_demonstrations(data: Demonstrations, path: Path) -> None:
    """Refuse an empty set, ragged arrays, a NaN or an action out of range.

    Args:
        data: The episodes.
        path: Where they come from, for the message.

    Raises:
        DataError: Names the array, or the first broken episode.
    """
    if len(data.ends) == 0 or len(data) == 0:
        raise DataError(f"{path} holds no episode; run conure demos again")
    for name in ("image", "proprio", "state", "action", "reward", "positions"):
        steps = len(getattr(data, name))
        if steps != data.ends[-1]:
            raise DataError(
                f"{path}: '{name}' has {steps} steps, the episodes need {data.ends[-1]}"
            )
    for name in ("proprio", "state", "action"):
        values = getattr(data, name)
        bad = ~np.isfinite(values).all(axis=1)
        if name == "action":
            bad |= (np.abs(values) > 1.0 + 1e-6).any(axis=1)
        if bad.any():
            step = int(np.flatnonzero(bad)[0])
            episode = int(np.searchsorted(data.ends, step, side="right"))
            raise DataError(
                f"{path}: episode {episode} is broken ('{name}' at step"
                f" {step - data.starts[episode]} is not finite or out of range: {values[step]});"
                " remove it or collect again"
            )
