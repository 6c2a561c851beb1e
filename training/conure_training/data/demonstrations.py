"""Data sets of episodes on disk and in memory: numbers as Zarr arrays, images encoded beside them.

`conure_training.data.writer` writes them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import zarr
from numpy.typing import NDArray

from conure_core.errors import DataError
from conure_core.runtime.atomic_files import damaged, last_whole
from conure_training.data.episode_info import EpisodeInfo, info_of_json
from conure_training.data.images import EncodedImages, ImageFile, Images

FORMAT = 2
IN_ONE_ARRAY = 1
"""The format whose images were Zarr arrays; it is read, and no longer written."""
IMAGES = ("image", "final_image")
STEPS = ("proprio", "state", "action", "reward", "positions", "time_s")
"""Arrays with one row a step."""
FINAL = ("final_proprio", "final_state")
ARRAYS = (*STEPS, *FINAL, "ends", "task", "seed")
"""Arrays that a data set stores. Those without values are left out."""
CAMERA = "camera"
"""The camera whose images policies see."""
IMAGE_FOLDER = "images"
INFOS = "episodes.json"
AGAIN = "run conure demos again, or conure data import"


@dataclass(frozen=True)
class Demonstrations:
    """e episodes of n steps in all, end to end; step t holds the observation before action t.

    Numbers are in memory; images may be on disk, and are decoded when they are indexed. What was
    not recorded has no column: `state` of an arm is (n, 0). Where only some episodes have it, the
    others' rows are NaN.
    """

    image: Images
    """Shape (n, h, w, 3), sRGB."""

    proprio: NDArray[np.float32]
    """Proprioception, shape (n, p), as the robot's contract orders it; it ends with the joints."""

    state: NDArray[np.float32]
    """The simulator's privileged state, shape (n, s); NaN beyond an episode's `state_sizes`."""

    action: NDArray[np.float32]
    """Normalized actions, shape (n, 7), in [-1, 1], as they were executed."""

    reward: NDArray[np.float32]
    """Shape (n,): 1 at success, else 0."""

    positions: NDArray[np.float32]
    """Labels: the objects' centres, shape (n, k, 3), m, base frame; NaN where absent."""

    final_image: Images
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
    """Each episode's seed, shape (e,); 0 where nothing was drawn."""

    tasks: tuple[str, ...] = ()
    """Names of the tasks."""

    time_s: NDArray[np.float64] | None = None
    """Since each episode's first step, shape (n,), s; None: not recorded."""

    infos: tuple[EpisodeInfo, ...] = ()
    """What is known of each episode; none: see `episodes`."""

    others: Mapping[str, tuple[Images, Images]] = field(default_factory=dict)
    """Images of further cameras by their names, of every step and after the last ones."""

    @property
    def starts(self) -> NDArray[np.int64]:
        """Index of each episode's first step, (e,)."""
        return np.concatenate([[0], self.ends[:-1]]).astype(np.int64)

    @property
    def episodes(self) -> tuple[EpisodeInfo, ...]:
        """What is known of each episode; where nothing is noted, the reward says how it ended."""
        if self.infos:
            return self.infos
        succeeded = self.reward[self.ends - 1] > 0
        return tuple(EpisodeInfo("success" if won else "unknown") for won in succeeded)

    @property
    def state_sizes(self) -> NDArray[np.int64]:
        """Values of each episode's privileged state, (e,)."""
        widest = self.state.shape[1]
        sizes = [info.state_size for info in self.episodes]
        return np.array([widest if size < 0 else size for size in sizes], dtype=np.int64)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which steps are of an episode whose objects' positions are known, (n,)."""
        known = np.isfinite(self.positions).any(axis=(1, 2))
        counts = np.add.reduceat(known, self.starts)
        return np.repeat(counts > 0, self.ends - self.starts)

    def steps_of(self, episode: SupportsIndex) -> slice:
        """The rows of an episode's steps."""
        return slice(int(self.starts[episode]), int(self.ends[episode]))

    def states_of(self, episode: SupportsIndex) -> NDArray[np.float32]:
        """The privileged states of an episode of T steps, (T + 1, s): before each action, and after
        the last.
        """
        rows = [self.state[self.steps_of(episode)], self.final_state[episode][None]]
        return np.concatenate(rows)[:, : self.state_sizes[episode]]

    def __len__(self) -> int:
        return len(self.action)


def load_demonstrations(path: Path, images: bool = True) -> Demonstrations:
    """Read and check a data set.

    Args:
        path: Its folder.
        images: False leaves them out: they have shape (n, 0, 0, 3) then. Otherwise they stay on
            the disk until they are indexed.

    Returns:
        All episodes, in the order of their collection.

    Raises:
        DataError: There is none, or it is damaged; names the array or the first broken episode.
    """
    group = _open(path)
    folder = last_whole(path)
    try:
        parts = _read_numbers(group)
        parts["tasks"] = tuple(str(name) for name in group.attrs["tasks"])
        parts["infos"] = _read_infos(folder, group)
        if images:
            parts |= _read_images(folder, group)
    except FileNotFoundError as error:
        raise damaged(path, ValueError(f"it lacks {_name(error)}"), AGAIN) from error
    except Exception as error:  # Zarr and its codecs raise anything on damaged chunks
        raise damaged(path, error, AGAIN) from error
    if not images:
        parts["image"] = _blank(parts["proprio"])
        parts["final_image"] = _blank(parts["final_proprio"])
    data = Demonstrations(**parts)
    check_demonstrations(data, path)
    return data


def load_config_of(path: Path) -> dict[str, Any]:
    """The settings that a data set was collected with; empty if it does not say. Raises: DataError
    if there is none.
    """
    config: dict[str, Any] = load_attributes(path).get("config") or {}
    return config


def load_attributes(path: Path) -> dict[str, Any]:
    """What a data set notes of itself. Raises: DataError if there is none."""
    found: dict[str, Any] = _open(path).attrs.asdict()
    return found


def _open(path: Path) -> Any:
    """The Zarr group. Raises: DataError if there is none, or it is of another format."""
    try:
        group = zarr.open_group(last_whole(path), mode="r")
        found = group.attrs["format"]
    except FileNotFoundError as error:
        raise DataError(
            f"no data set at {path}; run conure demos out={path}, or conure data import"
        ) from error
    except Exception as error:  # as in load_demonstrations
        raise damaged(path, error, AGAIN) from error
    if found not in (IN_ONE_ARRAY, FORMAT):
        raise DataError(
            f"{path} is a data set of format {found}, this version reads {IN_ONE_ARRAY} and"
            f" {FORMAT}; update Conure, or make the data set again"
        )
    return group


def _read_numbers(group: Any) -> dict[str, Any]:
    stored = group.attrs.get("arrays")
    if stored is None:
        stored = [name for name in ARRAYS if name != "time_s"]
    parts: dict[str, Any] = {name: np.asarray(group[name]) for name in stored}
    steps, episodes = len(parts["action"]), len(parts["ends"])
    parts.setdefault("state", np.zeros((steps, 0), np.float32))
    parts.setdefault("final_state", np.zeros((episodes, 0), np.float32))
    parts.setdefault("positions", np.zeros((steps, 0, 3), np.float32))
    return parts


def _read_images(folder: Path, group: Any) -> dict[str, Any]:
    if group.attrs["format"] == IN_ONE_ARRAY:
        return {name: np.asarray(group[name]) for name in IMAGES}
    cameras: dict[str, Any] = dict(group.attrs["cameras"])
    found = {}
    for name, about in cameras.items():
        shape = tuple(int(size) for size in about["shape"])
        parts = []
        for part in (name, final_name(name)):
            file = ImageFile.open(folder / IMAGE_FOLDER, part, shape)
            parts.append(EncodedImages.of_file(file))
        found[name] = (parts[0], parts[1])
    image, final_image = found.pop(CAMERA)
    return {"image": image, "final_image": final_image, "others": found}


def _read_infos(folder: Path, group: Any) -> tuple[EpisodeInfo, ...]:
    if group.attrs["format"] == IN_ONE_ARRAY:
        return ()
    return tuple(info_of_json(info) for info in json.loads((folder / INFOS).read_text()))


def _name(error: FileNotFoundError) -> str:
    return Path(error.filename).name if error.filename else str(error)


def final_name(camera: str) -> str:
    """The name under which a camera's images after the last actions are stored."""
    return f"{camera}.final"


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
        raise DataError(f"{path} holds no episode; {AGAIN}")
    for name in ("image", *STEPS):
        rows = getattr(data, name)
        if rows is not None and len(rows) != data.ends[-1]:
            raise DataError(
                f"{path}: '{name}' has {len(rows)} steps, the episodes need {data.ends[-1]}"
            )
    if data.infos and len(data.infos) != len(data.ends):
        raise DataError(
            f"{path}: {INFOS} has {len(data.infos)} episodes, expected {len(data.ends)}"
        )
    _require_finite(data, path)


def _require_finite(data: Demonstrations, path: Path) -> None:
    recorded = np.arange(data.state.shape[1]) < data.state_sizes[:, None]
    recorded = np.repeat(recorded, data.ends - data.starts, axis=0)
    for name in ("proprio", "state", "action"):
        values = getattr(data, name)
        wrong = ~np.isfinite(values)
        if name == "state":
            wrong &= recorded
        if name == "action":
            wrong |= np.abs(values) > 1.0 + 1e-6
        bad = wrong.any(axis=1)
        if bad.any():
            step = int(np.flatnonzero(bad)[0])
            episode = int(np.searchsorted(data.ends, step, side="right"))
            raise DataError(
                f"{path}: episode {episode} is broken ('{name}' at step"
                f" {step - data.starts[episode]} is not finite or out of range: {values[step]});"
                " remove it by conure data edit, or collect again"
            )


def require_state(data: Demonstrations, task: str, size: int, needs: str) -> None:
    """Refuse episodes without the simulator's state, or with that of another environment.

    Args:
        data: The data set.
        task: Whose episodes count.
        size: Values that the privileged state must have.
        needs: Begins the message: who needs it, such as "method=gail imitates".

    Raises:
        DataError: An episode of the task lacks it.
    """
    mine = np.flatnonzero([data.tasks[number] == task for number in data.task])
    sizes = data.state_sizes[mine]
    without = int((sizes == 0).sum())
    if without:
        raise DataError(
            f"{needs} the simulator's privileged state, which {without} of {len(mine)} episodes of"
            f" {task} lack, as recordings do; collect them by conure demos, or take a method that"
            " learns from what the robot sees"
        )
    if (sizes != size).any():
        found = ", ".join(str(number) for number in sorted(set(sizes.tolist())))
        raise DataError(
            f"{needs} a privileged state of {size} values, the episodes of {task} have {found};"
            " collect them with this arm and these settings"
        )
