"""One episode as other formats have it: frames, each with an observation and the action after it.

The last frame of an episode holds the observation after its last action, and an action that holds
the arm. So does ours when it is written; a foreign episode's last action, of which nobody saw what
it did, is left out when it is read.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.contract.action import ACTION_NAMES, MOTION
from conure_core.errors import DataError
from conure_core.robot.description import RobotConfig
from conure_core.robot.proprioception import proprioception_names
from conure_training.data.demonstrations import CAMERA, Demonstrations
from conure_training.data.episode_info import EpisodeInfo, info_of_json, infos_as_json
from conure_training.data.images import Images
from conure_training.data.selection import person_steps


@dataclass(frozen=True)
class Frames:
    """F frames of one episode."""

    state: NDArray[np.float32]
    """What the robot measured, shape (F, p)."""
    state_names: tuple[str, ...]
    """A name for each of the p numbers; none: the format has no names."""
    action: NDArray[np.float32]
    """Shape (F, a)."""
    action_names: tuple[str, ...]
    """A name for each of the a numbers; none: the format has no names."""
    images: dict[str, NDArray[np.uint8]]
    """By camera, RGB, shape (F, h, w, 3)."""
    task: str
    """What is to be done, in whatever words."""
    rate_hz: float
    """Frames a second."""
    reward: NDArray[np.float32] | None = None
    """Of each action, shape (F,); None: not recorded."""
    succeeded: bool | None = None
    """How it ended; None: not known."""
    privileged: NDArray[np.float32] | None = None
    """The simulator's state, shape (F, s); None: not recorded."""
    positions: NDArray[np.float32] | None = None
    """Labels: the objects' centres, shape (F, k, 3), m; None: not recorded."""
    time_s: NDArray[np.float64] | None = None
    """When each was taken, since the first one, shape (F,); None: by the rate."""
    by_person: NDArray[np.bool_] | None = None
    """Whether a person acted in place of a policy, shape (F,); None: not recorded."""
    opening: NDArray[np.float32] | None = None
    """The gripper's opening that was asked for, -1 closed to 1 open, shape (F,); None: as
    `action` says, or as measured.
    """
    note: dict[str, Any] = field(default_factory=dict)
    """What our own export notes of an episode: its EpisodeInfo and "seed"; empty: of others."""

    def __len__(self) -> int:
        return len(self.state)


def frames_of(data: Demonstrations, episode: int, robot: RobotConfig) -> Frames:
    """Give an episode of T steps as T + 1 frames.

    Args:
        data: The data set.
        episode: Number of the episode.
        robot: The robot that it is of.

    Returns:
        The frames; images are decoded.

    Raises:
        DataError: Proprioception is not this robot's.
    """
    names = require_robot(data, robot)
    steps = data.steps_of(episode)
    info = data.episodes[episode]
    hold = data.action[steps.stop - 1 : steps.stop].copy()
    hold[:, MOTION] = 0.0
    labels = data.positions[steps]
    by_person = np.append(person_steps(data, episode), False)
    seen = {CAMERA: (data.image, data.final_image), **data.others}
    state_size = int(data.state_sizes[episode])
    return Frames(
        state=np.concatenate([data.proprio[steps], data.final_proprio[episode][None]]),
        state_names=names,
        action=np.concatenate([data.action[steps], hold]),
        action_names=ACTION_NAMES,
        images={name: _with_final(pair, steps, episode) for name, pair in seen.items()},
        task=data.tasks[int(data.task[episode])],
        rate_hz=1.0 / robot.control_period_s,
        reward=np.append(data.reward[steps], np.float32(0.0)),
        succeeded=None if info.outcome == "unknown" else info.outcome == "success",
        privileged=data.states_of(episode) if state_size else None,
        positions=np.concatenate([labels, labels[-1:]]) if labels.shape[1] else None,
        time_s=_times(data, steps, robot.control_period_s),
        by_person=by_person,
        note={**infos_as_json([info])[0], "seed": int(data.seed[episode])},
    )


def require_robot(data: Demonstrations, robot: RobotConfig) -> tuple[str, ...]:
    """Refuse a data set of another robot.

    Args:
        data: The data set.
        robot: The robot that it must be of.

    Returns:
        Names of the numbers of its proprioception.

    Raises:
        DataError: It is of another one.
    """
    names = proprioception_names(robot)
    found = sorted({info.robot for info in data.episodes if info.robot} - {robot.name})
    if data.proprio.shape[1] != len(names) or found:
        raise DataError(
            f"the data set is of {', '.join(found) or 'another robot'} with"
            f" {data.proprio.shape[1]} values of proprioception, not of '{robot.name}' with"
            f" {len(names)}; give robot= the one that was recorded"
        )
    return names


def info_of_note(frames: Frames, robot: str, origin: str) -> EpisodeInfo:
    """What is known of an episode.

    Args:
        frames: The episode.
        robot: Name of the robot.
        origin: Where it comes from.

    Raises:
        DataError: Its note cannot be read.
    """
    if frames.note:
        known = {name: value for name, value in frames.note.items() if name != "seed"}
        try:
            return info_of_json(known)
        except Exception as error:  # a foreign file may hold anything
            raise DataError(f"{origin} has a note that cannot be read: {error}") from error
    outcome = {None: "unknown", True: "success", False: "failure"}[frames.succeeded]
    people = frames.by_person is not None and frames.by_person.any()
    source = "takeover" if people else "teleoperation"
    return EpisodeInfo(outcome, source, robot=robot, origin=origin, state_size=0)


def _with_final(pair: tuple[Images, Images], steps: slice, episode: int) -> NDArray[np.uint8]:
    every, final = pair
    return np.concatenate([every[steps], final[episode : episode + 1]])


def _times(data: Demonstrations, steps: slice, period_s: float) -> NDArray[np.float64] | None:
    if data.time_s is None or not np.isfinite(data.time_s[steps]).all():
        return None
    times = data.time_s[steps]
    return np.append(times, times[-1] + period_s)
