"""robomimic's HDF5: each demonstration is a group `data/demo_N` with observations before and after
each action.

Source: robomimic 0.3.0, docs/datasets/overview.md and utils/dataset.py.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import ConureError, DataError
from conure_core.robot.description import RobotConfig
from conure_core.runtime.atomic_files import reading, replacing
from conure_core.runtime.json_text import json_text
from conure_training.data.demonstrations import Demonstrations
from conure_training.data.selection import held_out_steps
from conure_training.formats.frames import Frames, frames_of
from conure_training.formats.optional import require_package
from conure_training.formats.video import ViewOf

WHAT = "a robomimic file"
AGAIN = "download or export it again"
IMAGE_ENDING = "_image"
PROPRIO, NOTE = "proprio", "conure"
ROBOSUITE = ("robot0_joint_pos", "robot0_gripper_qpos")
"""Joint angles, rad, and fingers, m. The last value of an action there closes the gripper at 1 and
opens it at -1.
"""
GYM_ENVIRONMENT = 2
"""robomimic's number for environments of Gym."""
PLAIN = {"compression": "gzip", "compression_opts": 1}


def write_robomimic(out: Path, data: Demonstrations, robot: RobotConfig) -> None:
    """Write a data set as robomimic's HDF5.

    Args:
        out: The file; what lies there is replaced when the new one is whole.
        data: The episodes.
        robot: The robot that they are of.

    Raises:
        ConfigError: h5py is missing.
        DataError: The episodes are of another robot.
        OSError: The disk refuses; the old content is still there.
    """
    h5py = require_package("h5py", WHAT)
    with replacing(out, ".hdf5") as temporary, h5py.File(temporary, "w") as file:
        group = file.create_group("data")
        for episode in range(len(data.ends)):
            _write_demo(group, episode, frames_of(data, episode, robot))
        group.attrs["total"] = len(data)
        group.attrs["env_args"] = json_text(_environment(data, robot))
        names = np.array([f"demo_{number}" for number in range(len(data.ends))])
        for mask, chosen in _masks(data).items():
            if chosen.any():
                file[f"mask/{mask}"] = names[chosen].astype(np.bytes_)


def _write_demo(group: Any, number: int, frames: Frames) -> None:
    demo = group.create_group(f"demo_{number}")
    count = len(frames) - 1
    demo.attrs["num_samples"] = count
    noted = {
        "note": frames.note,
        "task": frames.task,
        "rate_hz": frames.rate_hz,
        "state_names": frames.state_names,
        "action_names": frames.action_names,
    }
    demo.attrs[NOTE] = json_text(noted)
    privileged = frames.privileged
    states = np.zeros((count + 1, 1), np.float32) if privileged is None else privileged
    demo.create_dataset("actions", data=frames.action[:count])
    demo.create_dataset("rewards", data=_first(frames.reward, count))
    demo.create_dataset("dones", data=(np.arange(count) == count - 1).astype(np.int64))
    demo.create_dataset("states", data=states[:count])
    demo.create_dataset("interventions", data=_first(frames.by_person, count).astype(np.int64))
    if frames.time_s is not None:
        demo.create_dataset("time_s", data=frames.time_s[:count])
    if frames.positions is not None:
        demo.create_dataset("object_positions", data=frames.positions[:count])
    for name, rows in (("obs", slice(0, count)), ("next_obs", slice(1, count + 1))):
        seen = demo.create_group(name)
        seen.create_dataset(PROPRIO, data=frames.state[rows])
        if privileged is not None:
            seen.create_dataset("privileged", data=privileged[rows])
        for camera, images in frames.images.items():
            part = images[rows]
            chunk = (1, *part.shape[1:])
            seen.create_dataset(camera + IMAGE_ENDING, data=part, chunks=chunk, **PLAIN)


def _environment(data: Demonstrations, robot: RobotConfig) -> dict[str, Any]:
    return {
        "env_name": f"conure/{data.tasks[0]}-v0",
        "type": GYM_ENVIRONMENT,
        "env_kwargs": {"arm": robot.name, "control_freq": 1.0 / robot.control_period_s},
    }


def _masks(data: Demonstrations) -> dict[str, NDArray[np.bool_]]:
    """Which demonstrations are of each part."""
    infos = data.episodes
    masks = {
        "success": np.array([info.outcome == "success" for info in infos]),
        "takeover": np.array([info.source == "takeover" for info in infos]),
    }
    if len(infos) > 1:
        masks["valid"] = held_out_steps(data)[data.starts]
        masks["train"] = ~masks["valid"]
    return masks


class RobomimicReader:
    """The demonstrations of one file."""

    def __init__(self, path: Path, view_of: ViewOf, joint_names: Sequence[str]) -> None:
        """Open the file.

        Args:
            path: The HDF5 file.
            view_of: What is kept of a camera's images.
            joint_names: Of the robot's joints and its gripper; robosuite's files have no names.

        Raises:
            ConfigError: h5py is missing.
            DataError: There is no such file, or it is none of robomimic's.
        """
        self._h5py = require_package("h5py", WHAT)
        self.path = path
        self._view_of = view_of
        self._joint_names = tuple(joint_names)
        with self._open() as file:
            names = sorted(file["data"], key=_number) if "data" in file else []
            if not names:
                raise DataError(
                    f"{path} has no demonstration in 'data', as robomimic's files have; it has"
                    f" {', '.join(file) or 'nothing'}"
                )
            self._names = tuple(str(name) for name in names)
            self._rate_hz = _rate_hz(file["data"].attrs)
            self._task = _task(file["data"].attrs)

    def __len__(self) -> int:
        return len(self._names)

    def origin(self, episode: int) -> str:
        """What a demonstration is called."""
        return f"{self.path.name}#{self._names[episode]}"

    def read(self, episode: int) -> Frames:
        """Read a demonstration.

        Args:
            episode: Its place in the file.

        Returns:
            Its frames.

        Raises:
            DataError: It lacks what is needed, or is damaged.
        """
        with self._open() as file:
            return self._frames(file["data"][self._names[episode]], self.origin(episode))

    @contextmanager
    def _open(self) -> Iterator[Any]:
        if not self.path.is_file():
            raise DataError(f"no file at robomimic={self.path}; give an HDF5 file of robomimic's")
        file = reading(self.path, lambda: self._h5py.File(self.path, "r"), AGAIN)
        with file:
            try:
                yield file
            except (ConureError, MemoryError):
                raise
            except Exception as error:  # a foreign file may hold anything
                raise DataError(f"{self.path} is damaged ({error}); {AGAIN}") from error

    def _frames(self, demo: Any, origin: str) -> Frames:
        for name in ("actions", "obs"):
            if name not in demo:
                raise DataError(f"{origin} has no '{name}', which an episode needs; {AGAIN}")
        noted = json.loads(demo.attrs.get(NOTE, "{}"))
        state, names = self._state(demo, noted, origin)
        actions = demo["actions"][()]
        if actions.ndim != 2 or not len(state) - 1 <= len(actions) <= len(state):
            raise DataError(
                f"{origin} has {len(state)} observations and actions of shape {actions.shape};"
                f" {AGAIN}"
            )
        rewards = _column(demo, "rewards", len(state))
        people = _column(demo, "interventions", len(state))
        noted_times = _column(demo, "time_s", len(state))
        privileged = _observed(demo, "privileged") if "privileged" in demo["obs"] else None
        return Frames(
            state=state,
            state_names=names,
            action=_extended(actions, len(state)).astype(np.float32),
            action_names=tuple(noted.get("action_names", ())),
            images=self._images(demo),
            task=str(noted.get("task") or self._task),
            rate_hz=float(noted.get("rate_hz") or self._rate_hz),
            reward=None if rewards is None else rewards.astype(np.float32),
            succeeded=bool((rewards > 0).any()) if rewards is not None else None,
            privileged=privileged,
            positions=_column(demo, "object_positions", len(state)),
            time_s=noted_times,
            by_person=None if people is None else people.astype(np.bool_),
            opening=None if noted else -_extended(actions[:, -1], len(state)).astype(np.float32),
            note=noted.get("note", {}),
        )

    def _state(
        self, demo: Any, noted: Mapping[str, Any], origin: str
    ) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """What the robot measured, and a name for each number."""
        seen = demo["obs"]
        if PROPRIO in seen and noted.get("state_names"):
            return _observed(demo, PROPRIO).astype(np.float32), tuple(noted["state_names"])
        if not all(key in seen for key in ROBOSUITE):
            raise DataError(
                f"{origin} has neither '{PROPRIO}' with names, as an export of ours has, nor"
                f" {' and '.join(ROBOSUITE)}, as robosuite's files have; it has {', '.join(seen)}"
            )
        joints, fingers = (_observed(demo, key) for key in ROBOSUITE)
        if joints.shape[1] != len(self._joint_names) - 1:
            raise DataError(
                f"{origin} has {joints.shape[1]} joints, and the robot has"
                f" {len(self._joint_names) - 1}; give robot= the one that was recorded"
            )
        state = np.concatenate([joints, np.abs(fingers[:, :1])], axis=1)
        return state.astype(np.float32), self._joint_names

    def _images(self, demo: Any) -> dict[str, NDArray[np.uint8]]:
        """By camera."""
        seen = demo["obs"]
        keys = [key for key in seen if seen[key].dtype == np.uint8 and seen[key].ndim == 4]
        names = [key.removesuffix(IMAGE_ENDING) for key in keys]
        images = {}
        for name, key in zip(names, keys, strict=True):
            view = self._view_of(name, names)
            images[name] = np.stack([view(pixels) for pixels in _observed(demo, key)])
        return images


def _observed(demo: Any, key: str) -> NDArray[Any]:
    """An observation before every action, and after the last where the file has it."""
    rows = demo["obs"][key][()]
    if "next_obs" in demo and key in demo["next_obs"]:
        return np.concatenate([rows, demo["next_obs"][key][-1:]])
    return np.asarray(rows)


def _extended(rows: NDArray[Any], count: int) -> NDArray[Any]:
    """As many rows as there are frames: the last one again."""
    return np.concatenate([rows, rows[-1:]])[:count]


def _column(demo: Any, name: str, count: int) -> NDArray[Any] | None:
    return _extended(demo[name][()], count) if name in demo else None


def _first(rows: NDArray[Any] | None, count: int) -> NDArray[Any]:
    return np.zeros(count, np.float32) if rows is None else rows[:count]


def _number(name: str) -> tuple[int, str]:
    digits = name.rpartition("_")[2]
    return (int(digits) if digits.isdigit() else 0, name)


def _rate_hz(attributes: Mapping[str, Any]) -> float:
    given = json.loads(attributes.get("env_args", "{}"))
    return float(given.get("env_kwargs", {}).get("control_freq", 20.0))


def _task(attributes: Mapping[str, Any]) -> str:
    return str(json.loads(attributes.get("env_args", "{}")).get("env_name", ""))
