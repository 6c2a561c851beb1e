"""Frames of another format as steps of a data set: at the control period, with our actions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.contract.action import ACTION_NAMES, MOTION
from conure_core.control.controller import gripper_position_m
from conure_core.control.loop import executed_action
from conure_core.errors import DataError
from conure_core.robot.arm import Arm
from conure_core.robot.proprioception import proprioception, proprioception_names
from conure_core.types import Array
from conure_training.data.demonstrations import CAMERA, Demonstrations
from conure_training.formats.frames import Frames, info_of_note

POSITION = ".pos"
"""LeRobot's ending of a joint's name."""
RATE_TOLERANCE = 0.02
LIMIT_TOLERANCE = 0.05
"""Angles may lie so far beyond a joint's limit, rad; the gripper by this part of its stroke."""
SHORTEST = 2
OTHER_LETTERS = re.compile(r"[^A-Za-z0-9_-]+")
"""Not for names of tasks and cameras, which become those of files."""


@dataclass(frozen=True)
class StepsReader:
    """Makes steps of frames."""

    arm: Arm
    """The robot that they must be of."""
    task: str = ""
    """Task of every episode; empty: as the frames name it."""
    camera: str = ""
    """The camera that the policy sees; empty: CAMERA, or the only one."""

    def read(self, frames: Frames, origin: str) -> tuple[Demonstrations, tuple[str, ...]]:
        """Make an episode of frames.

        Args:
            frames: One episode.
            origin: Where it comes from, for messages and for the data set.

        Returns:
            The episode, and what to say of it.

        Raises:
            DataError: It is of another robot, at another rate, too short, or not finite.
        """
        stride = self._stride(frames, origin)
        kept = np.arange(0, len(frames), stride)
        count = len(kept) - 1
        if count < SHORTEST:
            raise DataError(
                f"{origin} has {len(frames)} frames, which make {count} steps of"
                f" {self.arm.config.control_period_s} s; {SHORTEST} or more are needed: leave it"
                " out by skip=true"
            )
        _require_finite(frames, origin)
        if _is_ours(frames, self.arm):
            proprio, action = frames.state, frames.action[:count]
            remarks: tuple[str, ...] = ()
        else:
            proprio, action, remarks = self._of_joints(frames, kept, origin)
        info = info_of_note(frames, self.arm.config.name, origin)
        data = self._collected(frames, kept, proprio, action)
        state_size = data.state.shape[1]
        infos = (replace(info, state_size=state_size, robot=self.arm.config.name),)
        return replace(data, infos=infos), remarks

    def _stride(self, frames: Frames, origin: str) -> int:
        """Frames of one control period."""
        period_s = self.arm.config.control_period_s
        ratio = frames.rate_hz * period_s
        stride = round(ratio)
        if stride < 1 or abs(ratio - stride) > RATE_TOLERANCE:
            raise DataError(
                f"{origin} has {frames.rate_hz:g} frames a second, and the robot"
                f" '{self.arm.config.name}' acts at {1 / period_s:g} Hz; expected a multiple of"
                " it: give a robot with another control_period_s"
            )
        if stride > 1 and _is_ours(frames, self.arm):
            raise DataError(
                f"{origin} has actions of {1 / frames.rate_hz:g} s, and those of the robot"
                f" '{self.arm.config.name}' last {period_s:g} s; give robot= the one that was"
                " recorded"
            )
        return stride

    def _of_joints(
        self, frames: Frames, kept: NDArray[np.int64], origin: str
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], tuple[str, ...]]:
        """Proprioception (T + 1, p) and actions (T, 7) of joint angles."""
        measured = self._joints(frames.state, frames.state_names, "state", origin)[kept]
        stride = int(kept[1])
        ends = kept[1:] - 1
        try:
            targets = self._joints(frames.action, frames.action_names, "action", origin)
        except _OtherNames:
            before, after = measured[:-1], measured[1:].copy()
            if frames.opening is not None:
                asked = frames.opening[ends].tolist()
                after[:, -1] = [gripper_position_m(one, self.arm.config) for one in asked]
            how = "the measured motion is its action, for its own are none of joints"
        else:
            after = targets[ends]
            before = np.concatenate([measured[:1], after[:-1]])
            how = f"its joint targets are its actions, one of {stride} frames"
        rows = [
            executed_action(self.arm, first[:-1], second[:-1], float(second[-1]))
            for first, second in zip(before, after, strict=True)
        ]
        action = np.array(rows, dtype=np.float32)
        proprio = np.stack([proprioception(self.arm, row[:-1], float(row[-1])) for row in measured])
        full = np.abs(action[:, MOTION]).max(axis=1) >= 1.0
        remarks = [f"{origin}: {how}"]
        if full.any():
            remarks.append(
                f"{origin}: {int(full.sum())} of {len(full)} steps move further than a full action"
                f" of '{self.arm.config.name}', and are shortened to one"
            )
        return proprio, action, tuple(remarks)

    def _joints(
        self, values: NDArray[np.float32], names: Sequence[str], what: str, origin: str
    ) -> Array:
        """Joint angles, rad, and the gripper, m, shape (F, n + 1). Raises: _OtherNames."""
        config = self.arm.config
        plain = [name.removesuffix(POSITION) for name in names]
        missing = [name for name in config.command_names if name not in plain]
        if missing:
            raise _OtherNames(
                f"{origin} is not of the robot '{config.name}': its {what} is"
                f" [{', '.join(names) or 'without names'}] and lacks {', '.join(missing)}; give"
                " robot= the one that was recorded"
            )
        columns = [plain.index(name) for name in config.command_names]
        found = values[:, columns].astype(np.float64)
        self._require_units(found, what, origin)
        return found

    def _require_units(self, found: Array, what: str, origin: str) -> None:
        config = self.arm.config
        stroke_m = config.gripper_open_m - config.gripper_closed_m
        lower = np.append(self.arm.lower_rad - LIMIT_TOLERANCE, config.gripper_closed_m)
        upper = np.append(self.arm.upper_rad + LIMIT_TOLERANCE, config.gripper_open_m)
        lower[-1] -= LIMIT_TOLERANCE * stroke_m
        upper[-1] += LIMIT_TOLERANCE * stroke_m
        outside = (found < lower) | (found > upper)
        if outside.any():
            frame, column = (int(index[0]) for index in np.nonzero(outside))
            raise DataError(
                f"{origin}: {config.command_names[column]} of its {what} is"
                f" {found[frame, column]:.4g} at frame {frame}, outside"
                f" {lower[column]:.4g} to {upper[column]:.4g}; expected joints in rad and the"
                " gripper in m, not degrees or parts of its range: convert them first"
            )

    def _collected(
        self,
        frames: Frames,
        kept: NDArray[np.int64],
        proprio: NDArray[np.float32],
        action: NDArray[np.float32],
    ) -> Demonstrations:
        count = len(action)
        steps = kept[:-1]
        state = _or_none(frames.privileged, len(frames), (0,))[kept]
        seen = self._seen(frames, kept)
        image, final_image = seen.pop(CAMERA)
        time_s = steps / frames.rate_hz if frames.time_s is None else frames.time_s[steps]
        return Demonstrations(
            image=image,
            final_image=final_image,
            others=seen,
            proprio=proprio[:-1],
            final_proprio=proprio[-1:],
            state=state[:-1],
            final_state=state[-1:],
            positions=_or_none(frames.positions, len(frames), (0, 3))[steps],
            action=action,
            reward=_rewards(frames, count),
            time_s=np.asarray(time_s - time_s[0], np.float64),
            ends=np.array([count]),
            task=np.zeros(1, np.int64),
            seed=np.array([int(frames.note.get("seed", 0))]),
            tasks=(self.task or OTHER_LETTERS.sub("_", frames.task).strip("_") or "task",),
        )

    def _seen(self, frames: Frames, kept: NDArray[np.int64]) -> dict[str, Any]:
        """Images by camera, of every step and after the last; the policy's is CAMERA."""
        chosen = policy_camera(list(frames.images), self.camera)
        found = {}
        for name, rows in frames.images.items():
            plain = OTHER_LETTERS.sub("_", name)
            other = f"{CAMERA}_1" if plain == CAMERA else plain
            found[CAMERA if name == chosen else other] = (rows[kept[:-1]], rows[kept[-1:]])
        return found


class _OtherNames(DataError):
    """Columns are not the robot's joints."""


def policy_camera(names: Sequence[str], wanted: str) -> str:
    """Choose the camera that the policy sees.

    Args:
        names: Those that there are.
        wanted: The one that is asked for; empty: CAMERA, or the only one.

    Raises:
        DataError: It is not there, or nothing says which.
    """
    if wanted in names:
        return wanted
    if not wanted and CAMERA in names:
        return CAMERA
    if not wanted and len(names) == 1:
        return names[0]
    asked = f"no camera '{wanted}'" if wanted else f"no camera named '{CAMERA}'"
    raise DataError(
        f"there is {asked}, only {', '.join(sorted(names)) or 'none at all'}; give camera= the one"
        " that the policy sees"
    )


def _is_ours(frames: Frames, arm: Arm) -> bool:
    """Whether the numbers are this robot's proprioception and our actions."""
    ours = frames.state_names == proprioception_names(arm.config)
    return ours and frames.action_names == ACTION_NAMES


def _require_finite(frames: Frames, origin: str) -> None:
    for name in ("state", "action"):
        wrong = ~np.isfinite(getattr(frames, name)).all(axis=1)
        if wrong.any():
            raise DataError(
                f"{origin}: '{name}' is not finite at frame {int(wrong.argmax())}; record it again,"
                " or leave it out by skip=true"
            )


def _rewards(frames: Frames, count: int) -> NDArray[np.float32]:
    """1 at success, else 0; (T,). What the last frame's action earned counts for the last step."""
    if frames.note and frames.reward is not None:
        return frames.reward[:count]
    reward = np.zeros(count, np.float32)
    earned = frames.reward is not None and bool((frames.reward > 0).any())
    reward[-1] = earned if frames.succeeded is None else frames.succeeded
    return reward


def _or_none(rows: Any, count: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.zeros((count, *shape), np.float32) if rows is None else rows
