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
    """Episodes laid end to end; step t of an episode holds the observation before action t.

    image (n, h, w, 3) uint8; proprio (n, p), state (n, s), action (n, 7) in [-1, 1], float32;
    reward (n,); positions (n, k, 3), the objects' middles, m, NaN where absent; final_*: what is
    observed after an episode's last action, (e, ...); ends (e,), one past each episode's last step;
    task (e,) index into `tasks`; seed (e,).
    """

    image: NDArray[np.uint8]
    proprio: NDArray[np.float32]
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    positions: NDArray[np.float32]
    final_image: NDArray[np.uint8]
    final_proprio: NDArray[np.float32]
    final_state: NDArray[np.float32]
    ends: NDArray[np.int64]
    task: NDArray[np.int64]
    seed: NDArray[np.int64]
    tasks: tuple[str, ...] = ()

    @property
    def starts(self) -> NDArray[np.int64]:
        """Index of each episode's first step, (e,)."""
        return np.concatenate([[0], self.ends[:-1]]).astype(np.int64)

    def __len__(self) -> int:
        return len(self.action)


ARRAYS = tuple(field.name for field in fields(Demonstrations) if field.name != "tasks")


def save_demonstrations(path: Path, data: Demonstrations, attributes: dict[str, Any]) -> None:
    """Write a Zarr group, whole or not at all."""
    with replacing(path) as temporary:
        group = zarr.open_group(temporary, mode="w")
        for name in ARRAYS:
            values = getattr(data, name)
            chunks = (min(len(values), 2048), *values.shape[1:])
            group.create_array(name, data=values, chunks=chunks)
        group.attrs.update({"format": FORMAT, "tasks": list(data.tasks), **attributes})


def load_demonstrations(path: Path, images: bool = True) -> Demonstrations:
    """Read and check a data set; without `images`, most of it, they are (n, 0, 0, 3).

    Raises: DataError that names the array or the first broken episode.
    """
    try:
        group = zarr.open_group(last_whole(path), mode="r")
        arrays: dict[str, Any] = {
            name: np.asarray(group[name]) for name in ARRAYS if images or name not in IMAGES
        }
        tasks = tuple(str(name) for name in group.attrs["tasks"])  # type: ignore[union-attr]
    except FileNotFoundError as error:
        raise DataError(f"no data set at {path}; run conure demos out={path}") from error
    except Exception as error:  # whatever Zarr and its codecs make of damaged chunks
        raise damaged(path, error, "run conure demos again") from error
    if not images:
        arrays["image"], arrays["final_image"] = (
            _blank(arrays["proprio"]),
            _blank(arrays["final_proprio"]),
        )
    data = Demonstrations(**arrays, tasks=tasks)
    check_demonstrations(data, path)
    return data


def _blank(rows: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.zeros((len(rows), 0, 0, 3), np.uint8)


def check_demonstrations(data: Demonstrations, path: Path) -> None:
    """Refuse an empty set, ragged arrays, a NaN or an action out of range. Raises: DataError."""
    if len(data.ends) == 0 or len(data) == 0:
        raise DataError(f"{path} holds no episode; run conure demos again")
    for name in ("image", "proprio", "state", "action", "reward", "positions"):
        if len(getattr(data, name)) != data.ends[-1]:
            raise DataError(
                f"{path}: '{name}' has {len(getattr(data, name))} steps, the episodes need"
                f" {data.ends[-1]}"
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
