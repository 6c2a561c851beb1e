"""Reads LeRobotDataset v3.0, an episode at a time."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from conure_core.errors import DataError
from conure_core.runtime.atomic_files import read_json, reading
from conure_training.formats import lerobot_layout as layout
from conure_training.formats.frames import Frames
from conure_training.formats.optional import require_package
from conure_training.formats.video import ViewOf, read_frames

WHAT = "a LeRobot data set"
AGAIN = "download or export it again"
NEEDED = (layout.STATE, layout.ACTION)


class LeRobotReader:
    """The episodes of one folder."""

    def __init__(self, folder: Path, view_of: ViewOf) -> None:
        """Open the data set.

        Args:
            folder: With `meta/info.json`.
            view_of: What is kept of a camera's images.

        Raises:
            ConfigError: A package is missing.
            DataError: There is no such data set, it is of another version, or lacks what is
                needed.
        """
        require_package("pyarrow.parquet", WHAT)
        self.folder = folder
        self._view_of = view_of
        self._info = self._read_info()
        self._features: dict[str, Any] = self._info["features"]
        missing = [name for name in NEEDED if name not in self._features]
        if missing:
            raise DataError(
                f"{folder} has no {' and no '.join(missing)}, which an episode needs; it has"
                f" {', '.join(self._features)}"
            )

    def __len__(self) -> int:
        return len(self._episodes)

    def origin(self, episode: int) -> str:
        """What an episode is called."""
        return f"{self.folder.name}#{episode}"

    def read(self, episode: int) -> Frames:
        """Read an episode.

        Args:
            episode: Its row in meta/episodes.

        Returns:
            Its frames.

        Raises:
            DataError: A file of it is missing, damaged, or ends before.
        """
        row = self._episodes[episode]
        table = self._table(row)
        count = len(table[layout.STATE])
        images = {name: self._images(name, row, table) for name in self._cameras}
        positions = table.get(layout.POSITIONS)
        rewards = table.get(layout.REWARD)
        people = table.get(layout.INTERVENTION)
        return Frames(
            state=_rows(table[layout.STATE]),
            state_names=self._names(layout.STATE),
            action=_rows(table[layout.ACTION]),
            action_names=self._names(layout.ACTION),
            images=images,
            task=self._task(row, table),
            rate_hz=float(self._info["fps"]),
            reward=None if rewards is None else rewards.astype(np.float32).reshape(count),
            succeeded=_succeeded(table),
            privileged=_optional_rows(table.get(layout.PRIVILEGED)),
            positions=None if positions is None else _rows(positions).reshape(count, -1, 3),
            time_s=table.get(layout.TIME),
            by_person=None if people is None else people.astype(np.bool_).reshape(count),
            note=_note(row, self.origin(episode)),
        )

    def _read_info(self) -> dict[str, Any]:
        path = self.folder / layout.INFO
        try:
            info: dict[str, Any] = read_json(path, AGAIN)
        except FileNotFoundError as error:
            raise DataError(
                f"lerobot={self.folder} has no {layout.INFO}; give the folder of a"
                f" LeRobotDataset {layout.VERSION}"
            ) from error

        def check() -> str:
            if not isinstance(info["features"], Mapping) or not float(info["fps"]) > 0:
                raise ValueError("it describes no features, or no frames a second")
            info.setdefault("data_path", layout.DATA_PATH)
            return str(info["codebase_version"])

        version = reading(path, check, AGAIN)
        if not version.startswith("v3."):
            raise DataError(
                f"{self.folder} is a LeRobotDataset {version}, expected {layout.VERSION}; convert"
                " it by lerobot's own convert_dataset_v21_to_v30"
            )
        return info

    @cached_property
    def _episodes(self) -> list[dict[str, Any]]:
        """Rows of meta/episodes without statistics."""
        files = sorted((self.folder / layout.EPISODES).glob("*/*.parquet"))
        if not files:
            raise DataError(f"{self.folder / layout.EPISODES} holds no table; {AGAIN}")
        rows: list[dict[str, Any]] = []
        for path in files:
            rows += reading(path, partial(_episode_rows, path), AGAIN)
        return rows

    @cached_property
    def _tasks(self) -> dict[int, str]:
        path = self.folder / layout.TASKS

        def read() -> dict[int, str]:
            table = require_package("pyarrow.parquet", WHAT).read_table(path)
            text = next(name for name in table.column_names if name != "task_index")
            numbers = table["task_index"].to_pylist()
            return dict(zip(numbers, table[text].to_pylist(), strict=True))

        try:
            return reading(path, read, AGAIN)
        except FileNotFoundError:
            return {}

    def _table(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Columns of an episode, as arrays; those of images as lists."""
        number = row["episode_index"]
        path = self._place(row, "data", self._info["data_path"])

        def read() -> dict[str, Any]:
            parquet = require_package("pyarrow.parquet", WHAT)
            found = parquet.read_table(path, filters=[("episode_index", "=", number)])
            if found.num_rows != row["length"] or not found.num_rows:
                raise ValueError(
                    f"episode {number} has {found.num_rows} rows, expected {row['length']}"
                )
            return {name: self._column(name, found[name]) for name in found.column_names}

        return self._reading(path, read)

    def _column(self, name: str, column: Any) -> Any:
        if self._features.get(name, {}).get("dtype") == layout.IMAGE:
            return column.to_pylist()
        return np.array(column.to_pylist())

    @cached_property
    def _cameras(self) -> dict[str, str]:
        """The column of each camera, by its name."""
        pictures = (layout.VIDEO, layout.IMAGE)
        keys = [key for key, about in self._features.items() if about["dtype"] in pictures]
        return {key.removeprefix(layout.CAMERAS): key for key in keys}

    def _images(
        self, camera: str, row: Mapping[str, Any], table: Mapping[str, Any]
    ) -> NDArray[np.uint8]:
        key = self._cameras[camera]
        view = self._view_of(camera, list(self._cameras))
        if self._features[key]["dtype"] == layout.VIDEO:
            path = self._place(row, f"videos/{key}", self._info["video_path"], video_key=key)
            begin = float(row[f"videos/{key}/from_timestamp"])
            rate_hz, count = float(self._info["fps"]), len(table[layout.STATE])
            return self._reading(path, lambda: read_frames(path, begin, count, rate_hz, view))
        path = self._place(row, "data", self._info["data_path"])
        return self._reading(path, lambda: np.stack([view(_decoded(cell)) for cell in table[key]]))

    def _place(self, row: Mapping[str, Any], part: str, template: str, **more: str) -> Path:
        """The file of an episode's part."""

        def format_path() -> Path:
            place = {name: row[f"{part}/{name}"] for name in ("chunk_index", "file_index")}
            return self.folder / template.format(**place, **more)

        return reading(self.folder / layout.EPISODES, format_path, AGAIN)

    def _reading(self, path: Path, read: Any) -> Any:
        try:
            return reading(path, read, AGAIN)
        except FileNotFoundError as error:
            raise DataError(f"{self.folder} lacks {path}; {AGAIN}") from error

    def _names(self, key: str) -> tuple[str, ...]:
        """Names of a column's numbers; some data sets have them by motors and such."""
        names = self._features[key].get("names")
        if isinstance(names, Mapping):
            names = [name for group in names.values() if isinstance(group, list) for name in group]
        return tuple(map(str, names or ()))

    def _task(self, row: Mapping[str, Any], table: Mapping[str, Any]) -> str:
        if row.get("tasks"):
            return str(row["tasks"][0])
        number = int(np.ravel(table["task_index"])[0])
        return self._tasks.get(number, "")


def _episode_rows(path: Path) -> list[dict[str, Any]]:
    """One table of meta/episodes."""
    parquet = require_package("pyarrow.parquet", WHAT)
    names = parquet.read_schema(path).names
    wanted = [name for name in names if not name.startswith("stats/")]
    rows: list[dict[str, Any]] = parquet.read_table(path, columns=wanted).to_pylist()
    return rows


def _rows(values: NDArray[Any]) -> NDArray[np.float32]:
    return values.astype(np.float32).reshape(len(values), -1)


def _optional_rows(values: NDArray[Any] | None) -> NDArray[np.float32] | None:
    return None if values is None else _rows(values)


def _decoded(cell: Mapping[str, Any]) -> NDArray[np.uint8]:
    """An image as it stands in a table. Raises: ValueError if it is none."""
    content = np.frombuffer(cell["bytes"] or b"", np.uint8)
    pixels = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    if pixels is None:
        raise ValueError("an image cannot be decoded, or lies outside the table")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _succeeded(table: Mapping[str, Any]) -> bool | None:
    """How an episode ended; None: nothing says so."""
    if layout.SUCCESS in table:
        return bool(np.any(table[layout.SUCCESS]))
    rewards: Sequence[float] | None = table.get(layout.REWARD)
    return True if rewards is not None and np.any(np.asarray(rewards) > 0) else None


def _note(row: Mapping[str, Any], origin: str) -> dict[str, Any]:
    text = row.get(layout.NOTE)
    if not text:
        return {}
    try:
        note = json.loads(text)
    except ValueError as error:
        raise DataError(f"{origin} has a note that is no JSON: {error}; {AGAIN}") from error
    if not isinstance(note, dict):
        raise DataError(f"{origin} has a note that is no mapping; {AGAIN}")
    return note
