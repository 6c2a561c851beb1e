"""How good a recording is, at once after it ends, while it is cheap to record it again. Reading it
takes no ROS.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from conure_core.contract.action import MOTION
from conure_core.robot.arm import Arm
from conure_core.types import Array
from conure_ros.recording.episodes import Episode
from conure_ros.recording.executed import NANOSECONDS, CommandReader, Executed, captured_ns
from conure_ros.recording.steps import CAMERA, COMPRESSED, IDLE_ACTION, WRIST, image_topic

FULL_ACTION = 0.98
MISSED_PERIODS = 1.5
"""Images further apart than so many usual periods have others missing between them."""
MOST_IMAGES = 300
"""Images whose motion is looked at: consecutive ones from the middle."""
SMALL_PX = (32, 24)
LAGS_S = np.linspace(-0.5, 0.5, 41)
CORRELATED = 0.5
"""Motion of images and tool that correlates less says nothing of a lag."""
BAD_DROPPED, BAD_LAG_S, BAD_IDLE, BAD_FULL, BAD_PATH = 0.05, 0.1, 0.5, 0.3, 2.0
COMMANDS = ("joint_states", "robot_state", "command/policy", "command/teleop")


@dataclass(frozen=True)
class Stream:
    """The images of one camera."""

    rate_hz: float
    """Usual rate; 0: fewer than two images."""
    images: int
    """How many came."""
    dropped: int
    """How many are missing between them."""

    @property
    def dropped_share(self) -> float:
        """Of all that there should be."""
        return self.dropped / max(1, self.images + self.dropped)


@dataclass(frozen=True)
class EpisodeQuality:
    """One recording, measured by itself."""

    duration_s: float
    """From the first joint states to the last."""
    cameras: dict[str, Stream]
    """By name."""
    lag_s: float
    """By how much images are late beside joint states; NaN: too little moves to tell."""
    idle_share: float
    """Of the executed commands, those without motion; NaN: there are none."""
    full_share: float
    """Of the executed commands, those with a full action; NaN: there are none."""
    changed_share: float
    """Of the states in which control followed a command, those in which safety changed it."""
    path_m: float
    """Length of the tool's path."""
    jerk_m_s3: float
    """95th percentile of the tool's jerk, at the control period."""
    cuts: tuple[str, ...] = field(default=())
    """Where the set point was moved by something else."""

    def line(self, paths_m: Sequence[float] = ()) -> str:
        """Say it to a person.

        Args:
            paths_m: Lengths of earlier recordings' paths, whose median is the measure.

        Returns:
            One line; it ends with what is bad.
        """
        parts = [f"{self.duration_s:.1f} s", *map(self._said, self.cameras)]
        if np.isfinite(self.lag_s):
            parts.append(f"images {1000 * self.lag_s:+.0f} ms beside the joints")
        if np.isfinite(self.idle_share):
            parts.append(f"idle {self.idle_share:.0%}")
            parts.append(f"full commands {self.full_share:.0%}")
            parts.append(f"changed by safety {self.changed_share:.0%}")
        times = self._times_usual(paths_m)
        beside = f" ({times:.1f} of the median)" if times else ""
        parts.append(f"path {self.path_m:.2f} m{beside}, jerk {self.jerk_m_s3:.1f} m/s3")
        bad = self.faults(paths_m)
        return f"{'; '.join(parts)}: {'LOOK AT ' + ', '.join(bad) if bad else 'good'}"

    def faults(self, paths_m: Sequence[float] = ()) -> list[str]:
        """What is bad, in a word or two each.

        Args:
            paths_m: See `line`.
        """
        times = self._times_usual(paths_m)
        dropped = max((camera.dropped_share for camera in self.cameras.values()), default=1.0)
        judged = {
            "no camera": not self.cameras,
            "no command": not np.isfinite(self.idle_share),
            "dropped images": bool(self.cameras) and dropped > BAD_DROPPED,
            "the lag": abs(self.lag_s) > BAD_LAG_S,
            "idle time": self.idle_share > BAD_IDLE,
            "full commands": self.full_share > BAD_FULL,
            "a long path": times > BAD_PATH,
            "a short path": bool(times) and times < 1.0 / BAD_PATH,
            "motion without a command": bool(self.cuts),
        }
        return [name for name, is_bad in judged.items() if is_bad]

    def _times_usual(self, paths_m: Sequence[float]) -> float:
        """The path as a multiple of the median; 0: nothing to compare with."""
        usual = float(np.median(paths_m)) if len(paths_m) else 0.0
        return self.path_m / usual if usual > 0 else 0.0

    def _said(self, camera: str) -> str:
        stream = self.cameras[camera]
        dropped = f", {stream.dropped} of {stream.images + stream.dropped} missing"
        return f"{camera} {stream.rate_hz:.0f} Hz{dropped if stream.dropped else ''}"


def measure_recording(path: Path, arm: Arm) -> EpisodeQuality:
    """Measure a finished recording.

    Args:
        path: The MCAP file.
        arm: The robot that it is of.

    Returns:
        Its quality, within about a second for half a minute of two cameras.

    Raises:
        DataError: It cannot be read.
        RobotError: Its joint_states contradict themselves.
    """
    episode = Episode(path)
    reader = CommandReader(arm)
    for record in episode.messages(*(name for name in COMMANDS if _has(episode, name))):
        reader.take(record)
    found = list(reader.executed()) if reader.joints else []
    actions = [one.action for one in found if isinstance(one, Executed)]
    motion = np.abs(np.array(actions).reshape(-1, 7)[:, MOTION]).max(axis=1, initial=0.0)
    followed = [state for _, state in reader.states if captured_ns(state) is not None]
    times_s, tool_m = _tool(reader, arm)
    topics = {name: image_topic(episode, name) for name in (CAMERA, WRIST)}
    cameras = {
        name: _stream(sorted(episode.stamps(_carrying(episode, topic))))
        for name, topic in topics.items()
        if topic
    }
    return EpisodeQuality(
        duration_s=float(times_s[-1] - times_s[0]) if len(times_s) else 0.0,
        cameras=cameras,
        lag_s=_lag_s(episode, topics[CAMERA], times_s, tool_m),
        idle_share=_share(motion < IDLE_ACTION),
        full_share=_share(motion > FULL_ACTION),
        changed_share=_share(np.array([len(state.safety_changes) > 0 for state in followed])),
        path_m=float(np.linalg.norm(np.diff(tool_m, axis=0), axis=1).sum()),
        jerk_m_s3=_jerk_m_s3(times_s, tool_m, arm.config.control_period_s),
        cuts=tuple(one[1] for one in found if not isinstance(one, Executed)),
    )


def _has(episode: Episode, name: str) -> bool:
    return bool(episode.counts.get(episode.full_name(name)))


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if len(mask) else float("nan")


def _tool(reader: CommandReader, arm: Arm) -> tuple[Array, Array]:
    """When joints were measured, (n,), s, and where the tool was, (n, 3), m; in order."""
    joints = sorted(reader.joints, key=lambda sample: sample.stamp_ns)
    times = np.array([sample.stamp_ns for sample in joints], dtype=np.int64)
    places = [arm.forward(sample.joint_rad)[:3, 3].copy() for sample in joints]
    once = np.unique(times, return_index=True)[1]
    return times[once] / NANOSECONDS, np.array(places).reshape(-1, 3)[once]


def _carrying(episode: Episode, topic: str) -> str:
    """The topic itself, or that of its compressed images."""
    return topic if episode.counts.get(topic) else topic + COMPRESSED


def _stream(stamps: Sequence[int]) -> Stream:
    apart = np.diff(np.array(stamps, dtype=np.float64) / NANOSECONDS)
    period_s = float(np.median(apart)) if len(apart) else 0.0
    if period_s <= 0:
        return Stream(0.0, len(stamps), 0)
    missed = np.round(apart[apart > MISSED_PERIODS * period_s] / period_s) - 1
    return Stream(1.0 / period_s, len(stamps), int(missed.sum()))


def _jerk_m_s3(times_s: Array, tool_m: Array, period_s: float) -> float:
    """At the control period, where a joint's noise does not drown the motion."""
    if len(times_s) < 2:
        return 0.0
    ticks = np.arange(times_s[0], times_s[-1], period_s)
    if len(ticks) < 5:
        return 0.0
    places = np.column_stack([np.interp(ticks, times_s, tool_m[:, axis]) for axis in range(3)])
    jerk = np.diff(places, n=3, axis=0) / period_s**3
    return float(np.percentile(np.linalg.norm(jerk, axis=1), 95))


def _lag_s(episode: Episode, topic: str, times_s: Array, tool_m: Array) -> float:
    """The lag at which what moves in the images goes best with how fast the tool is."""
    if not topic or len(times_s) < 3:
        return float("nan")
    seen_s, moved = _image_motion(episode, topic)
    speed = np.linalg.norm(np.diff(tool_m, axis=0), axis=1) / np.diff(times_s)
    middle_s = (times_s[1:] + times_s[:-1]) / 2
    if len(seen_s) < 10 or moved.std() == 0:
        return float("nan")
    found = []
    for lag_s in LAGS_S:
        expected = np.interp(seen_s - lag_s, middle_s, speed)
        same = expected.std() > 0
        found.append(np.corrcoef(moved, expected)[0, 1] if same else 0.0)
    best = int(np.argmax(found))
    return float(LAGS_S[best]) if found[best] > CORRELATED else float("nan")


def _image_motion(episode: Episode, topic: str) -> tuple[Array, Array]:
    """Between consecutive images: the time in the middle, s, and how fast grey levels change."""
    count = episode.counts[_carrying(episode, topic)]
    first = max(0, (count - MOST_IMAGES) // 2)
    times, small = [], []
    for stamp, pixels in episode.images(topic, slice(first, first + MOST_IMAGES)):
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        times.append(stamp / NANOSECONDS)
        small.append(cv2.resize(grey, SMALL_PX, interpolation=cv2.INTER_AREA).astype(np.float64))
    order = np.argsort(times)
    seen_s = np.array(times)[order]
    rows = np.array(small).reshape(-1, SMALL_PX[0] * SMALL_PX[1])[order]
    apart_s = np.maximum(np.diff(seen_s), 1e-3)
    changed = np.abs(np.diff(rows, axis=0)).mean(axis=1) / apart_s
    return (seen_s[1:] + seen_s[:-1]) / 2, np.asarray(changed)
