"""A recording as steps of a policy: what it would have seen, and the action that was executed.

Every command that control followed is a step. Where nobody commanded, steps of a control period
fill the time, in which the arm holds. Time that cannot be filled cuts the recording.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from conure_core.contract.action import GRIPPER, MOTION
from conure_core.errors import DataError, RobotError
from conure_core.robot.arm import Arm
from conure_core.robot.proprioception import proprioception
from conure_core.types import Array
from conure_ros.recording.episodes import Episode, stamp_ns
from conure_ros.recording.executed import NANOSECONDS, CommandReader, Executed

CAMERA, WRIST = "camera", "wrist"
COMPRESSED = "/compressed"
IMAGE_PERIODS = 2.0
"""An image may be so many control periods old."""
CLOCK_STEP_S = 0.5
"""Stamps that go on by so much more, or less, than the steady clock say that the clock was set."""
IDLE_ACTION = 0.02
"""Motion below this part of a full action is none."""
SHORTEST = 2
"""Steps; an episode of fewer teaches nothing."""


@dataclass(frozen=True)
class Piece:
    """An uninterrupted part of a recording: T steps."""

    action: NDArray[np.float32]
    """Executed, shape (T, 7), in [-1, 1]."""
    proprio: NDArray[np.float32]
    """Shape (T + 1, p), when the images were taken."""
    time_s: NDArray[np.float64]
    """Since the first step, shape (T,), s."""
    by_person: NDArray[np.bool_]
    """Whether a person commanded, shape (T,)."""
    image_ns: dict[str, NDArray[np.int64]]
    """By camera: stamps of the images that were seen at each step and after the last, (T + 1,)."""
    begins_ns: int
    """Stamp of the first step."""
    is_last: bool
    """Whether the recording ends with it."""

    def __len__(self) -> int:
        return len(self.action)


@dataclass(frozen=True)
class RecordingSteps:
    """What a recording holds."""

    pieces: tuple[Piece, ...]
    """In order; none if it is too short."""
    remarks: tuple[str, ...]
    """Where it was cut, and why; what was left out."""


def read_steps(episode: Episode, arm: Arm, trim_idle: bool = False) -> RecordingSteps:
    """Read a recording as steps.

    Args:
        episode: The recording.
        arm: The robot that it must be of.
        trim_idle: Whether steps without motion at beginning and end are left out.

    Returns:
        Its uninterrupted parts.

    Raises:
        DataError: A stream is missing, or it is of another arm.
    """
    return _Reader(episode, arm).read(trim_idle)


def image_topic(episode: Episode, camera: str) -> str:
    """The topic of a camera's raw images, in whatever namespace; empty if there are no images.

    Args:
        episode: The recording.
        camera: CAMERA or WRIST.
    """
    for name, count in episode.counts.items():
        raw = name.removesuffix(COMPRESSED)
        if count and raw.endswith(f"/{camera}/image_raw"):
            return raw
    return ""


@dataclass(frozen=True)
class _Cut:
    log_ns: int
    why: str


class _Reader:
    """One recording."""

    def __init__(self, episode: Episode, arm: Arm) -> None:
        self.episode = episode
        self.arm = arm
        self.period_ns = round(arm.config.control_period_s * NANOSECONDS)
        self.commands = CommandReader(arm)
        self.images: dict[str, list[tuple[int, int]]] = {}
        self.cuts: list[_Cut] = []
        self.remarks: list[str] = []

    def read(self, trim_idle: bool) -> RecordingSteps:
        self._collect()
        executed = []
        for found in self.commands.executed():
            if isinstance(found, Executed):
                executed.append(found)
            else:
                self.cuts.append(_Cut(*found))
        self._find_clock_steps()
        runs = self._runs(executed)
        pieces: list[Piece] = []
        for index, run in enumerate(runs):
            pieces += self._pieces(run, is_last=index == len(runs) - 1)
        if trim_idle:
            pieces = [trimmed for piece in pieces if len(trimmed := _without_idle(piece))]
        long = [piece for piece in pieces if len(piece) >= SHORTEST]
        if len(long) < len(pieces) or not executed:
            self.remarks.append(_too_short(pieces, len(pieces) - len(long)))
        return RecordingSteps(tuple(long), tuple(self.remarks))

    def _collect(self) -> None:
        path = self.episode.path
        topics = {}
        for camera in (CAMERA, WRIST):
            if topic := image_topic(self.episode, camera):
                topics[topic if self.episode.counts.get(topic) else topic + COMPRESSED] = camera
        if CAMERA not in topics.values():
            raise DataError(f"{path} {_lacks(self.episode, 'camera/image_raw')}")
        for stream in ("joint_states", "robot_state"):
            if not _count(self.episode, stream):
                raise DataError(f"{path} {_lacks(self.episode, stream)}")
        self.images = {camera: [] for camera in topics.values()}
        for record in self.episode.messages():
            seen_by = topics.get(record.topic)
            if seen_by:
                stamp = stamp_ns(record.message.header.stamp)
                self.images[seen_by].append((record.log_ns, stamp))
                continue
            try:
                self.commands.take(record)
            except RobotError as error:
                raise DataError(
                    f"{path} is not of the robot '{self.arm.config.name}': {error}; give robot= the"
                    " one that was recorded, and each robot a folder of its own"
                ) from error

    @cached_property
    def _image_stamps(self) -> dict[str, NDArray[np.int64]]:
        """By camera, ascending, ns."""
        return {
            camera: np.sort(np.array([stamp for _, stamp in times], dtype=np.int64))
            for camera, times in self.images.items()
        }

    def _find_clock_steps(self) -> None:
        """Cut where stamps jump against the steady clock that log times follow."""
        streams = {
            "joint_states": [(one.log_ns, one.stamp_ns) for one in self.commands.joints],
            f"{CAMERA}/image_raw": self.images[CAMERA],
        }
        for name, times in streams.items():
            for (log, stamp), (next_log, next_stamp) in pairwise(times):
                jump_s = (next_stamp - stamp - (next_log - log)) / NANOSECONDS
                back = next_stamp < stamp - self.period_ns
                if back or jump_s > CLOCK_STEP_S:
                    why = f"the clock of {name} was set by {jump_s:+.2f} s"
                    self.cuts.append(_Cut(next_log, why))

    def _runs(self, executed: list[Executed]) -> list[list[Executed]]:
        """Commands between cuts, one a control period, in the order of their stamps."""
        ends = sorted(self.cuts, key=lambda cut: cut.log_ns)
        runs: list[list[Executed]] = [[]]
        for command in executed:
            while ends and command.log_ns >= ends[0].log_ns:
                cut = ends.pop(0)
                if runs[-1]:
                    self._remark(cut.log_ns, cut.why)
                    runs.append([])
            runs[-1].append(command)
        return [
            self._one_a_period(sorted(run, key=lambda one: one.stamp_ns)) for run in runs if run
        ]

    def _one_a_period(self, run: Sequence[Executed]) -> list[Executed]:
        """Join commands that came together, and fill pauses with steps in which the arm holds."""
        steps = [run[0]]
        for command in run[1:]:
            if command.stamp_ns - steps[-1].stamp_ns < self.period_ns / 2:
                steps[-1] = _joined(steps[-1], command)
                continue
            while command.stamp_ns - steps[-1].stamp_ns > 1.5 * self.period_ns:
                steps.append(self._holding(steps[-1]))
            steps.append(command)
        return steps

    def _holding(self, before: Executed) -> Executed:
        action = np.zeros_like(before.action)
        action[GRIPPER] = before.action[GRIPPER]
        stamp = before.stamp_ns + self.period_ns
        log = before.log_ns + self.period_ns
        return replace(before, action=action, stamp_ns=stamp, captured_ns=stamp, log_ns=log)

    def _pieces(self, run: list[Executed], is_last: bool) -> Iterator[Piece]:
        """The run, cut where there was no image or no joints."""
        seen: list[int] = []
        first = 0
        for index, step in enumerate(run):
            image, why = self._seen_at(step)
            if not why:
                seen.append(image)
                continue
            if seen or index == 0:
                self._remark(step.log_ns, why)
            if seen:
                yield self._piece(run[first:index], seen, is_last=False)
            first, seen = index + 1, []
        if first < len(run):
            yield self._piece(run[first:], seen, is_last)

    def _seen_at(self, step: Executed) -> tuple[int, str]:
        """The stamp of the image that a step answers, ns, and why it is of no use; '' if it is."""
        until = step.stamp_ns if step.by_person else step.captured_ns + 1_000
        image = self._newest(CAMERA, until)
        age_s = (step.stamp_ns - image) / NANOSECONDS
        if image < 0 or age_s > IMAGE_PERIODS * self.arm.config.control_period_s:
            waited = "no image had come" if image < 0 else f"the last image was {age_s:.2f} s old"
            return image, waited
        apart_s = abs(self.commands.nearest(image).stamp_ns - image) / NANOSECONDS
        if apart_s > self.arm.config.control_period_s / 2:
            return image, f"the nearest joint_states were {apart_s:.2f} s from the image"
        return image, ""

    def _newest(self, camera: str, until_ns: int) -> int:
        """The stamp of a camera's last image until then; -1 if there is none."""
        stamps = self._image_stamps[camera]
        place = int(np.searchsorted(stamps, until_ns, side="right"))
        return int(stamps[place - 1]) if place else -1

    def _piece(self, steps: list[Executed], seen: list[int], is_last: bool) -> Piece:
        """Steps with an observation after the last; without an image of it, one step fewer."""
        after = self._newest(CAMERA, steps[-1].stamp_ns + self.period_ns)
        if after > seen[-1]:
            seen = [*seen, after]
        else:
            steps = steps[:-1]
        image_ns = {CAMERA: np.array(seen, dtype=np.int64)}
        if WRIST in self.images:
            found = np.array([self._newest(WRIST, stamp) for stamp in seen], dtype=np.int64)
            if (found >= 0).all():
                image_ns[WRIST] = found
        stamps = np.array([step.stamp_ns for step in steps], dtype=np.int64)
        begins = int(stamps[0]) if len(stamps) else 0
        return Piece(
            action=np.array([step.action for step in steps], dtype=np.float32).reshape(-1, 7),
            proprio=np.stack([self._proprio(stamp) for stamp in seen]),
            time_s=(stamps - begins) / NANOSECONDS,
            by_person=np.array([step.by_person for step in steps], dtype=np.bool_),
            image_ns=image_ns,
            begins_ns=begins,
            is_last=is_last,
        )

    def _proprio(self, stamp: int) -> NDArray[np.float32]:
        joints = self.commands.nearest(stamp)
        return proprioception(self.arm, joints.joint_rad, joints.gripper_m)

    def _remark(self, log_ns: int, why: str) -> None:
        begin = self.commands.joints[0].log_ns
        at_s = (log_ns - begin) / NANOSECONDS
        self.remarks.append(f"{self.episode.path.name} is cut at {at_s:.2f} s: {why}")


def _joined(first: Executed, second: Executed) -> Executed:
    """Two commands within one period as one action."""
    action: Array = second.action.copy()
    action[MOTION] = np.clip(first.action[MOTION] + second.action[MOTION], -1.0, 1.0)
    return replace(second, action=action, stamp_ns=first.stamp_ns, captured_ns=first.captured_ns)


def _without_idle(piece: Piece) -> Piece:
    moves = np.abs(piece.action[:, MOTION]).max(axis=1) > IDLE_ACTION
    moves[1:] |= piece.action[1:, GRIPPER] != piece.action[:-1, GRIPPER]
    moving = np.flatnonzero(moves)
    if not len(moving):
        return replace(piece, action=piece.action[:0])
    kept = slice(int(moving[0]), int(moving[-1]) + 1)
    seen = slice(kept.start, kept.stop + 1)
    times = piece.time_s[kept]
    return replace(
        piece,
        action=piece.action[kept],
        proprio=piece.proprio[seen],
        time_s=times - times[0],
        by_person=piece.by_person[kept],
        image_ns={name: stamps[seen] for name, stamps in piece.image_ns.items()},
        begins_ns=piece.begins_ns + round(float(times[0]) * NANOSECONDS),
    )


def _too_short(pieces: list[Piece], count: int) -> str:
    if not pieces:
        return "no command was executed"
    return f"{count} of {len(pieces)} parts are left out: fewer than {SHORTEST} steps"


def _count(episode: Episode, stream: str) -> int:
    return sum(count for name, count in episode.counts.items() if name.endswith(f"/{stream}"))


def _lacks(episode: Episode, stream: str) -> str:
    having = [name for name, count in episode.counts.items() if count]
    return (
        f"holds no message of {stream}, which a data set needs; it has"
        f" {', '.join(sorted(having)) or 'none at all'}; record it again, or move it away"
    )
