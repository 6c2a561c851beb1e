"""A recording as steps of a policy: what it would have seen, and the action that was executed.

Every command that control followed is a step. Where nobody commanded, steps of a control period
fill the time, in which the arm holds. Time that cannot be filled cuts the recording.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from conure_core.contract.action import GRIPPER, MOTION
from conure_core.errors import DataError, RobotError
from conure_core.robot.arm import Arm
from conure_core.robot.proprioception import proprioception
from conure_core.types import Array
from conure_ros.recording.episodes import Episode, stamp_ns
from conure_ros.recording.executed import NANOSECONDS, CommandReader, Executed, JointsByStamp

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


@dataclass(frozen=True)
class _Run:
    """What came between two cuts: stamps before and after one are not of the same clock."""

    commands: list[Executed]
    """One a control period, in the order of their stamps."""
    images: dict[str, NDArray[np.int64]]
    """By camera, stamps, ascending, ns."""
    joints: JointsByStamp | None
    """None: there are none."""
    is_last: bool
    """Whether the recording ends with it."""

    def newest(self, camera: str, until_ns: int) -> int:
        """The stamp of a camera's last image until then; -1 if there is none."""
        stamps = self.images[camera]
        place = int(np.searchsorted(stamps, until_ns, side="right"))
        return int(stamps[place - 1]) if place else -1


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
        pieces: list[Piece] = []
        for run in self._runs(executed):
            pieces += self._pieces(run)
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
                raise DataError(f"{path}: {error}; record it again, or move it away") from error
        missing = self.commands.missing_joints
        if missing:
            raise DataError(
                f"{path} is not of the robot '{self.arm.config.name}': its joint_states never name"
                f" {', '.join(missing)}; give robot= the one that was recorded, and each robot a"
                " folder of its own"
            )

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

    def _runs(self, executed: list[Executed]) -> Iterator[_Run]:
        """What came between cuts."""
        cuts = sorted(self.cuts, key=lambda cut: cut.log_ns)
        begins = [0, *(cut.log_ns for cut in cuts)]
        ends = [*begins[1:], sys.maxsize]
        cut_before = False
        for index, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            commands = [one for one in executed if begin <= one.log_ns < end]
            if index and cut_before and any(one.log_ns >= begin for one in executed):
                self._remark(begin, cuts[index - 1].why)
                cut_before = False
            if commands:
                last = commands[-1] is executed[-1]
                yield self._run(commands, begin, end, last)
                cut_before = True

    def _run(self, commands: list[Executed], begin: int, end: int, is_last: bool) -> _Run:
        images = {}
        for camera, times in self.images.items():
            stamps = [stamp for log, stamp in times if begin <= log < end]
            images[camera] = np.sort(np.array(stamps, dtype=np.int64))
        joints = [one for one in self.commands.joints if begin <= one.log_ns < end]
        ordered = sorted(commands, key=lambda one: one.stamp_ns)
        found = JointsByStamp(joints) if joints else None
        return _Run(self._one_a_period(ordered), images, found, is_last)

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

    def _pieces(self, run: _Run) -> Iterator[Piece]:
        """The run, cut where there was no image or no joints."""
        seen: list[int] = []
        first = 0
        for index, step in enumerate(run.commands):
            image, why = self._seen_at(run, step)
            if not why:
                seen.append(image)
                continue
            if seen or index == 0:
                self._remark(step.log_ns, why)
            if seen:
                yield self._piece(run, slice(first, index), seen)
            first, seen = index + 1, []
        if seen:
            yield self._piece(run, slice(first, len(run.commands)), seen)

    def _seen_at(self, run: _Run, step: Executed) -> tuple[int, str]:
        """The stamp of the image that a step answers, ns, and why it is of no use; '' if it is."""
        until = step.stamp_ns if step.by_person else step.captured_ns + 1_000
        image = run.newest(CAMERA, until)
        age_s = (step.stamp_ns - image) / NANOSECONDS
        if image < 0 or age_s > IMAGE_PERIODS * self.arm.config.control_period_s:
            waited = "no image had come" if image < 0 else f"the last image was {age_s:.2f} s old"
            return image, waited
        if run.joints is None:
            return image, "no joint_states had come"
        apart_s = abs(run.joints.nearest(image).stamp_ns - image) / NANOSECONDS
        if apart_s > self.arm.config.control_period_s / 2:
            return image, f"the nearest joint_states were {apart_s:.2f} s from the image"
        return image, ""

    def _piece(self, run: _Run, part: slice, seen: list[int]) -> Piece:
        """Steps with an observation after the last; without an image of it, one step fewer."""
        steps = run.commands[part]
        after = run.newest(CAMERA, steps[-1].stamp_ns + self.period_ns)
        if after > seen[-1]:
            seen = [*seen, after]
        else:
            steps = steps[:-1]
        image_ns = {CAMERA: np.array(seen, dtype=np.int64)}
        if WRIST in self.images:
            found = np.array([run.newest(WRIST, stamp) for stamp in seen], dtype=np.int64)
            if (found >= 0).all():
                image_ns[WRIST] = found
        stamps = np.array([step.stamp_ns for step in steps], dtype=np.int64)
        begins = int(stamps[0]) if len(stamps) else 0
        return Piece(
            action=np.array([step.action for step in steps], dtype=np.float32).reshape(-1, 7),
            proprio=np.stack([self._proprio(run, stamp) for stamp in seen]),
            time_s=(stamps - begins) / NANOSECONDS,
            by_person=np.array([step.by_person for step in steps], dtype=np.bool_),
            image_ns=image_ns,
            begins_ns=begins,
            is_last=run.is_last and part.stop == len(run.commands),
        )

    def _proprio(self, run: _Run, stamp: int) -> NDArray[np.float32]:
        joints = run.joints.nearest(stamp)  # type: ignore[union-attr]  # the steps had some
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
