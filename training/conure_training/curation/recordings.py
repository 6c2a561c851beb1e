"""Recordings of an arm as episodes of a data set. Reading them takes no ROS."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import ConfigError, DataError
from conure_core.robot.arm import Arm
from conure_core.runtime.resume import digest
from conure_ros.cameras.calibration import Calibration
from conure_ros.cameras.framing import FITS, Framing
from conure_ros.recording.episodes import Episode
from conure_ros.recording.executed import NANOSECONDS
from conure_ros.recording.steps import CAMERA, Piece, image_topic, read_steps
from conure_training.curation.runs import true_runs
from conure_training.data.demonstrations import Demonstrations
from conure_training.data.episode_info import EpisodeInfo, require_task_name

ENDING = ".mcap"
LISTED = 5
FIRST_MESSAGES = 50
OUTCOMES = {"success": "success", "failure": "failure"}
"""By a recording's label. Other labels, such as interrupted, say nothing."""
__all__ = ["FITS", "ImageRule", "RecordingReader", "find_recordings", "require_one_arm"]


@dataclass(frozen=True)
class ImageRule:
    """What the policy sees of a camera's image, as the parameters of policy_node say it."""

    fit: str
    """How an image becomes a square: one of FITS."""
    size_px: int
    """Side of the square; of no use where the fit is none."""
    crop_px: tuple[int, int, int, int]
    """Part of the image that is taken first: left, top, width, height; 0: the whole."""
    undistort: bool
    """Whether the lens distortion is taken out before, by the recorded camera_info."""

    @property
    def framing(self) -> Framing:
        """Raises: ConfigError if the values do not fit together."""
        return Framing(self.fit, self.square_px, self.crop_px)

    def frame(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the policy sees of an image (height, width, 3) without distortion.

        Raises:
            DataError: The crop leaves the image, or the square would be larger than it is.
        """
        height, width = pixels.shape[:2]
        try:
            placement = self.framing.placement(width, height)
        except ConfigError as error:
            raise DataError(str(error)) from error
        if placement.enlarges:
            raise DataError(
                f"image_size={self.square_px} would enlarge images of {width}x{height} px; give a"
                " smaller image_size"
            )
        return np.ascontiguousarray(placement.apply(pixels))

    @property
    def of_others(self) -> "ImageRule":
        """The rule for cameras that the policy does not see: all of the image, as it came."""
        return replace(self, crop_px=(0, 0, 0, 0), undistort=False)

    @property
    def square_px(self) -> int:
        """Side of the squares; 0 where images stay as they are."""
        return 0 if self.fit == "none" else self.size_px


@dataclass(frozen=True)
class RecordingReader:
    """Reads recordings of one robot."""

    arm: Arm
    """The robot that they must be of."""
    rule: ImageRule
    """What the policy sees."""
    task: str
    """Of recordings that name none."""
    trim_idle: bool
    """Whether idle beginnings and ends are left out."""

    def read(self, path: Path) -> tuple[Demonstrations | None, tuple[str, ...]]:
        """Read one recording.

        Args:
            path: The MCAP file.

        Returns:
            Its uninterrupted parts as episodes, None if there are none; and what to say of it.

        Raises:
            DataError: It cannot be used; says why, and what to do.
        """
        episode = Episode(path)
        task = episode.metadata.get("task") or self.task
        if not task:
            raise DataError(f"{path} does not say of which task it is; give task=NAME")
        require_task_name(task, str(path))
        found = read_steps(episode, self.arm, self.trim_idle)
        if not found.pieces:
            return None, (f"{path.name} is left out: {'; '.join(found.remarks)}",)
        images = {camera: self._images(episode, camera, found.pieces) for camera in _cameras(found)}
        data = _episodes(found.pieces, images)
        infos = [self._info(episode, number, piece) for number, piece in enumerate(found.pieces, 1)]
        reward = np.zeros(len(data["action"]), np.float32)
        won = np.array([info.outcome == "success" for info in infos])
        reward[data["ends"] - 1] = won
        count = len(found.pieces)
        seed = episode.metadata.get("seed", "")
        return Demonstrations(
            **data,
            reward=reward,
            task=np.zeros(count, np.int64),
            seed=np.full(count, int(seed) if seed.isdigit() else 0, np.int64),
            tasks=(task,),
            infos=tuple(infos),
        ), found.remarks

    def _info(self, episode: Episode, number: int, piece: Piece) -> EpisodeInfo:
        label = episode.metadata.get("label", "")
        outcome = OUTCOMES.get(label, "unknown") if piece.is_last else "unknown"
        size = self.rule.square_px
        contract = digest(self.arm.config.contract(size).to_dict()) if size else ""
        when = datetime.fromtimestamp(piece.begins_ns / NANOSECONDS, UTC)
        return EpisodeInfo(
            outcome=outcome,
            source=_source(piece.by_person),
            operator=_intervals(piece.by_person),
            robot=self.arm.config.name,
            contract=contract,
            recorded=when.isoformat(timespec="milliseconds"),
            origin=f"{episode.path.name}#{number}",
            state_size=0,
        )

    def _images(
        self, episode: Episode, camera: str, pieces: Sequence[Piece]
    ) -> list[NDArray[np.uint8]]:
        """What the policy saw of a camera, by part, (T + 1, h, w, 3)."""
        wanted = {int(stamp) for piece in pieces for stamp in piece.image_ns[camera]}
        topic = image_topic(episode, camera)
        view = _View(self.rule if camera == CAMERA else self.rule.of_others, episode, topic)
        seen: dict[int, NDArray[np.uint8]] = {}
        for stamp, pixels in episode.images(topic):
            if stamp in wanted and stamp not in seen:
                seen[stamp] = view(pixels)
        stacked = []
        for piece in pieces:
            rows = [seen[int(stamp)] for stamp in piece.image_ns[camera]]
            _require_one_size(episode.path, rows)
            stacked.append(np.stack(rows))
        return stacked


class _View:
    """The rule for the images of one topic."""

    def __init__(self, rule: ImageRule, episode: Episode, topic: str) -> None:
        self._rule = rule
        self._path = episode.path
        self._calibration = _calibration(episode, topic) if rule.undistort else None

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = pixels.shape[:2]
        try:
            if self._calibration is not None:
                self._calibration.require_size(width, height)
                pixels = self._calibration.undistort(pixels)
            return self._rule.frame(pixels)
        except (ConfigError, DataError) as error:
            raise DataError(f"{self._path}: {error}") from error


def find_recordings(folder: Path) -> list[Path]:
    """The recordings of a folder, by name.

    Args:
        folder: The folder; folders in it are not looked into.

    Raises:
        ConfigError: There are none.
    """
    found = sorted(folder.glob(f"*{ENDING}")) if folder.is_dir() else []
    if not found:
        partial = len(list(folder.glob(f"*{ENDING}.partial"))) if folder.is_dir() else 0
        more = f" ({partial} partial files: conure recordings recover)" if partial else ""
        raise ConfigError(
            f"recordings={folder} holds no file *{ENDING}{more}; record some by conure up"
            " graph=teleop"
        )
    return found


def require_one_arm(paths: Sequence[Path], arm: Arm) -> None:
    """Refuse a folder with recordings of other robots before any is read.

    Args:
        paths: The recordings.
        arm: The robot that they must be of.

    Raises:
        DataError: Names the files, and the joints that they have instead.
    """
    wanted = set(arm.config.command_names)
    others = []
    for path in paths:
        names = _joint_names(Episode(path))
        if names and not wanted <= names:
            foreign = sorted(names - wanted)[:3] or sorted(names)
            others.append(f"{path.name} ({', '.join(foreign)}, ...)")
    if others:
        more = f" and {len(others) - LISTED} more" if len(others) > LISTED else ""
        raise DataError(
            f"{len(others)} of {len(paths)} recordings are not of the robot '{arm.config.name}':"
            f" {', '.join(others[:LISTED])}{more}; give robot= the one that was recorded, and move"
            " each robot's recordings into a folder of their own"
        )


def _joint_names(episode: Episode) -> set[str]:
    """Names in the first joint_states; arm and gripper may come in messages of their own."""
    names: set[str] = set()
    for topic, count in episode.counts.items():
        if count and topic.endswith("/joint_states"):
            for record in islice(episode.messages(topic), FIRST_MESSAGES):
                names.update(record.message.name)
    return names


def _cameras(found: Any) -> list[str]:
    """Cameras of which every part has images."""
    names = set(found.pieces[0].image_ns)
    return sorted(names.intersection(*(piece.image_ns for piece in found.pieces)))


def _episodes(
    pieces: Sequence[Piece], images: dict[str, list[NDArray[np.uint8]]]
) -> dict[str, Any]:
    """The arrays of a data set, by name."""
    lengths = [len(piece) for piece in pieces]
    seen = {
        camera: (
            np.concatenate([rows[:-1] for rows in parts]),
            np.concatenate([rows[-1:] for rows in parts]),
        )
        for camera, parts in images.items()
    }
    image, final_image = seen.pop(CAMERA)
    count = sum(lengths)
    return {
        "image": image,
        "final_image": final_image,
        "others": seen,
        "proprio": np.concatenate([piece.proprio[:-1] for piece in pieces]),
        "final_proprio": np.concatenate([piece.proprio[-1:] for piece in pieces]),
        "state": np.zeros((count, 0), np.float32),
        "final_state": np.zeros((len(pieces), 0), np.float32),
        "positions": np.zeros((count, 0, 3), np.float32),
        "action": np.concatenate([piece.action for piece in pieces]),
        "time_s": np.concatenate([piece.time_s for piece in pieces]),
        "ends": np.cumsum(lengths),
    }


def _require_one_size(path: Path, rows: Sequence[NDArray[np.uint8]]) -> None:
    sizes = sorted({f"{row.shape[1]}x{row.shape[0]}" for row in rows})
    if len(sizes) > 1:
        raise DataError(
            f"{path} has images of {' and '.join(sizes)} px; give image_fit=crop, pad or stretch,"
            " which makes one size of them"
        )


def _calibration(episode: Episode, topic: str) -> Calibration:
    name = topic.replace("/image_raw", "/camera_info")
    for record in episode.messages(name):
        message = record.message
        matrix = np.array(message.k, dtype=np.float64).reshape(3, 3)
        if matrix.any():
            return Calibration(
                message.width,
                message.height,
                message.distortion_model,
                matrix,
                np.array(message.d, dtype=np.float64),
                np.array(message.r, dtype=np.float64).reshape(3, 3),
                np.array(message.p, dtype=np.float64).reshape(3, 4),
            )
    raise DataError(
        f"{episode.path} has no calibration on {name}, which image_undistort=true needs; calibrate"
        " the camera, or give image_undistort=false"
    )


def _source(by_person: NDArray[np.bool_]) -> str:
    if by_person.all():
        return "teleoperation"
    return "takeover" if by_person.any() else "policy"


def _intervals(by_person: NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    """Where a person acted, [first, one past the last)."""
    return tuple(true_runs(by_person))
