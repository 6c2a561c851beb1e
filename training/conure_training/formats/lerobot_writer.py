"""Writes a data set as LeRobotDataset v3.0, whole or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import DataError
from conure_core.robot.description import RobotConfig
from conure_core.runtime.atomic_files import replacing, write_json
from conure_core.runtime.json_text import json_text
from conure_training.data.demonstrations import Demonstrations
from conure_training.data.images import encode_image
from conure_training.formats import lerobot_layout as layout
from conure_training.formats.frames import Frames, frames_of
from conure_training.formats.optional import require_package
from conure_training.formats.statistics import PixelStatistics, summarize
from conure_training.formats.video import CODEC, PIXEL_FORMAT, VideoWriter

WHAT = "a LeRobot data set"
MEGABYTE = 1 << 20
Columns = dict[str, NDArray[Any]]


def write_lerobot(out: Path, data: Demonstrations, robot: RobotConfig, video: bool = True) -> None:
    """Write a data set as LeRobotDataset v3.0.

    Args:
        out: Its folder; what lies there is replaced when the new one is whole.
        data: The episodes.
        robot: The robot that they are of.
        video: Images as H.264 videos; False: as PNG in the tables, exact.

    Raises:
        ConfigError: A package is missing, or an image cannot be video.
        DataError: The episodes are of another robot, or its period is no whole rate.
        OSError: The disk refuses; the old content is still there.
    """
    for name in ("pyarrow.parquet", *(["av"] if video else [])):
        require_package(name, WHAT)
    rate_hz = _whole_rate(robot)
    with replacing(out) as temporary:
        writer = _Writer(temporary, robot, rate_hz, video, _recorded(data))
        for episode in range(len(data.ends)):
            writer.add(frames_of(data, episode, robot), data.tasks)
        writer.finish(data.tasks)


def _whole_rate(robot: RobotConfig) -> int:
    rate_hz = round(1.0 / robot.control_period_s)
    if abs(rate_hz * robot.control_period_s - 1.0) > 1e-6:
        raise DataError(
            f"robot '{robot.name}' has a control_period_s of {robot.control_period_s}, and LeRobot"
            " takes whole frames a second alone; give a robot whose rate is whole"
        )
    return rate_hz


def _recorded(data: Demonstrations) -> dict[str, int]:
    """Sizes of the optional columns that all episodes have."""
    sizes = set(data.state_sizes.tolist())
    found = {"positions": 3 * data.positions.shape[1]}
    if sizes == {data.state.shape[1]}:
        found["privileged"] = data.state.shape[1]
    return {name: size for name, size in found.items() if size}


@dataclass
class _File:
    """The file that rows go to: its place, and how many rows it has."""

    number: int = 0
    rows: int = 0

    @property
    def place(self) -> dict[str, int]:
        chunk, file = divmod(self.number, layout.CHUNK_FILES)
        return {"chunk_index": chunk, "file_index": file}

    def path(self, folder: Path, template: str, **more: str) -> Path:
        return folder / template.format(**self.place, **more)


class _Writer:
    """One data set in the making."""

    def __init__(
        self,
        folder: Path,
        robot: RobotConfig,
        rate_hz: int,
        video: bool,
        recorded: Mapping[str, int],
    ) -> None:
        self._parquet = require_package("pyarrow.parquet", WHAT)
        self._arrow = require_package("pyarrow", WHAT)
        self._folder = folder
        self._robot = robot
        self._rate_hz = rate_hz
        self._video = video
        self._recorded = recorded
        self._features: dict[str, dict[str, Any]] = {}
        self._pixels: dict[str, PixelStatistics] = {}
        self._numbers: dict[str, list[NDArray[Any]]] = {}
        self._episodes: list[dict[str, Any]] = []
        self._data = _File()
        self._data_writer: Any = None
        self._videos: dict[str, tuple[_File, VideoWriter]] = {}
        self._frames = 0

    def add(self, frames: Frames, tasks: tuple[str, ...]) -> None:
        """Append an episode."""
        columns = self._columns(frames, tasks.index(frames.task))
        for name, values in columns.items():
            self._numbers.setdefault(name, []).append(values)
        if not self._features:
            self._features = self._described(frames, columns)
        row = {
            "episode_index": len(self._episodes),
            "tasks": [frames.task],
            "length": len(frames),
            "dataset_from_index": self._frames,
            "dataset_to_index": self._frames + len(frames),
            **{f"meta/episodes/{name}": 0 for name in ("chunk_index", "file_index")},
        }
        pictures: dict[str, list[dict[str, Any]]] = {}
        for camera, images in frames.images.items():
            key = layout.CAMERAS + camera
            self._pixels.setdefault(key, PixelStatistics()).add(images)
            if self._video:
                row |= self._append_video(key, images)
            else:
                pictures[key] = _as_png(images)
        row |= self._append_rows(columns, pictures)
        row[layout.NOTE] = json_text(frames.note)
        self._episodes.append(row)
        self._frames += len(frames)

    def finish(self, tasks: tuple[str, ...]) -> None:
        """Close the files, and write what describes them."""
        self._data_writer.close()
        for _, video in self._videos.values():
            video.close()
        self._write_tasks(tasks)
        episodes = self._folder / layout.EPISODES_PATH.format(chunk_index=0, file_index=0)
        episodes.parent.mkdir(parents=True)
        self._parquet.write_table(self._arrow.Table.from_pylist(self._episodes), episodes)
        stats = {name: summarize(np.concatenate(rows)) for name, rows in self._numbers.items()}
        stats |= {name: pixels.summary() for name, pixels in self._pixels.items()}
        write_json(self._folder / layout.STATS, stats)
        count = len(self._episodes)
        info = {
            "codebase_version": layout.VERSION,
            "robot_type": self._robot.name,
            "total_episodes": count,
            "total_frames": self._frames,
            "total_tasks": len(tasks),
            "chunks_size": layout.CHUNK_FILES,
            "data_files_size_in_mb": layout.DATA_MB,
            "video_files_size_in_mb": layout.VIDEO_MB,
            "fps": self._rate_hz,
            "splits": {"train": f"0:{count}"},
            "data_path": layout.DATA_PATH,
            "video_path": layout.VIDEO_PATH if self._video else None,
            "features": self._features,
        }
        write_json(self._folder / layout.INFO, info)

    def _columns(self, frames: Frames, task: int) -> Columns:
        """The numbers of an episode, (F, d)."""
        count = len(frames)
        index = np.arange(count)
        done = index >= count - 2
        columns: Columns = {
            layout.STATE: frames.state,
            layout.ACTION: frames.action,
            layout.REWARD: _or_zeros(frames.reward, count),
            layout.DONE: done,
            layout.SUCCESS: done & bool(frames.succeeded),
            layout.INTERVENTION: _or_zeros(frames.by_person, count).astype(np.bool_),
            "timestamp": (index / self._rate_hz).astype(np.float32),
            "frame_index": index,
            "episode_index": np.full(count, len(self._episodes)),
            "index": self._frames + index,
            "task_index": np.full(count, task),
        }
        times = index / self._rate_hz if frames.time_s is None else frames.time_s
        columns[layout.TIME] = times.astype(np.float64)
        for name, key in (("privileged", layout.PRIVILEGED), ("positions", layout.POSITIONS)):
            if name in self._recorded:
                columns[key] = getattr(frames, name).reshape(count, -1)
        return {name: rows.reshape(count, -1) for name, rows in columns.items()}

    def _described(self, frames: Frames, columns: Columns) -> dict[str, dict[str, Any]]:
        """The features of info.json."""
        names = {
            layout.STATE: list(frames.state_names),
            layout.ACTION: list(frames.action_names),
            layout.TIME: ["seconds"],
        }
        found = {}
        for name, rows in columns.items():
            known = layout.OWN_COLUMNS.get(name)
            found[name] = known or layout.feature(str(rows.dtype), names.get(name), rows.shape[1])
        for camera, images in frames.images.items():
            height, width = images.shape[1:3]
            found[layout.CAMERAS + camera] = {
                "dtype": layout.VIDEO if self._video else layout.IMAGE,
                "shape": [height, width, 3],
                "names": ["height", "width", "channels"],
                **({"info": self._video_info(height, width)} if self._video else {}),
            }
        return found

    def _video_info(self, height: int, width: int) -> dict[str, Any]:
        return {
            "video.height": height,
            "video.width": width,
            "video.codec": CODEC,
            "video.pix_fmt": PIXEL_FORMAT,
            "video.is_depth_map": False,
            "video.fps": self._rate_hz,
            "video.channels": 3,
            "has_audio": False,
        }

    def _append_video(self, key: str, images: NDArray[np.uint8]) -> dict[str, Any]:
        """Append frames to a camera's file, or to the next one, and say where they are."""
        file, video = self._videos.get(key) or (_File(), None)
        if video is not None and _is_full(video.path, layout.VIDEO_MB):
            video.close()
            file, video = _File(file.number + 1), None
        if video is None:
            path = file.path(self._folder, layout.VIDEO_PATH, video_key=key)
            size = (images.shape[1], images.shape[2])
            video = VideoWriter(path, self._rate_hz, size)
        begin = video.frames
        video.append(images)
        self._videos[key] = (file, video)
        where = {
            **file.place,
            "from_timestamp": begin / self._rate_hz,
            "to_timestamp": video.frames / self._rate_hz,
        }
        return {f"videos/{key}/{name}": value for name, value in where.items()}

    def _append_rows(
        self, columns: Columns, pictures: Mapping[str, list[dict[str, Any]]]
    ) -> dict[str, Any]:
        """Append an episode to the tables, and say where it is."""
        arrays = {name: self._array(rows) for name, rows in columns.items()}
        struct = self._arrow.struct(
            [("bytes", self._arrow.binary()), ("path", self._arrow.string())]
        )
        for key, rows in pictures.items():
            arrays[key] = self._arrow.array(rows, type=struct)
        table = self._arrow.table(arrays)
        path = self._data.path(self._folder, layout.DATA_PATH)
        if self._data_writer is not None and _is_full(path, layout.DATA_MB):
            self._data_writer.close()
            self._data, self._data_writer = _File(self._data.number + 1), None
            path = self._data.path(self._folder, layout.DATA_PATH)
        if self._data_writer is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._data_writer = self._parquet.ParquetWriter(path, table.schema)
        self._data_writer.write_table(table)
        return {f"data/{name}": value for name, value in self._data.place.items()}

    def _array(self, rows: NDArray[Any]) -> Any:
        flat = self._arrow.array(rows.ravel())
        size = rows.shape[1]
        return flat if size == 1 else self._arrow.FixedSizeListArray.from_arrays(flat, size)

    def _write_tasks(self, tasks: tuple[str, ...]) -> None:
        """The text is the index of a pandas table; as a plain column LeRobot takes it for
        nothing.
        """
        table = self._arrow.table({"task_index": np.arange(len(tasks)), "task": list(tasks)})
        columns = [
            _pandas_column("task_index", "int64", "int64"),
            _pandas_column("task", "unicode", "object"),
        ]
        about = {"index_columns": ["task"], "column_indexes": [], "columns": columns}
        noted = table.replace_schema_metadata({"pandas": json_text(about)})
        path = self._folder / layout.TASKS
        path.parent.mkdir(parents=True)
        self._parquet.write_table(noted, path)


def _pandas_column(name: str, kind: str, numpy_kind: str) -> dict[str, Any]:
    return {
        "name": name,
        "field_name": name,
        "pandas_type": kind,
        "numpy_type": numpy_kind,
        "metadata": None,
    }


def _as_png(images: NDArray[np.uint8]) -> list[dict[str, Any]]:
    return [{"bytes": encode_image(image, "png"), "path": None} for image in images]


def _or_zeros(rows: Any, count: int) -> NDArray[np.float32]:
    return np.zeros(count, np.float32) if rows is None else rows


def _is_full(path: Path, size_mb: int) -> bool:
    return path.stat().st_size > size_mb * MEGABYTE
