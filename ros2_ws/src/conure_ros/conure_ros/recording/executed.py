"""The commands that control followed in a recording, as the actions that were executed."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from conure_core.contract.action import ACTION_SIZE, GRIPPER
from conure_core.control.controller import gripper_position_m
from conure_core.control.loop import executed_action
from conure_core.robot.arm import Arm
from conure_core.robot.joint_names import by_name
from conure_core.types import Array
from conure_ros.recording.episodes import RecordedMessage, stamp_ns

POLICY, TELEOP = 2, 3
"""Values of conure_msgs/Mode in which control follows commands."""
MICROSECOND = 1_000
NANOSECONDS = 1_000_000_000
MOVED_RAD = 0.05
"""A set point that moves further without a command was moved by something else, such as homing."""


@dataclass(frozen=True)
class Joints:
    """Measured joints: angles (n,), rad, and the gripper, m."""

    log_ns: int
    stamp_ns: int
    joint_rad: Array
    gripper_m: float


@dataclass(frozen=True)
class Executed:
    """A command that control followed."""

    log_ns: int
    stamp_ns: int
    """Of the tick at which it was sent."""
    captured_ns: int
    """Of what it answers: an image, or a person's input."""
    action: Array
    """Shape (7,), in [-1, 1]."""
    by_person: bool


@dataclass
class CommandReader:
    """Collects joints and commands from the messages of a recording, in its order."""

    arm: Arm
    joints: list[Joints] = field(default_factory=list)
    states: list[tuple[int, Any]] = field(default_factory=list)
    """Log time, ns, and message of each robot_state."""
    requests: dict[tuple[int, bool], Array] = field(default_factory=dict)
    """Actions by their stamp, us, and whether they are a person's."""
    _newest: dict[str, float] = field(default_factory=dict)

    def take(self, record: RecordedMessage) -> None:
        """Take a message; others than these are ignored.

        Args:
            record: The message.

        Raises:
            RobotError: joint_states name a joint twice, or have another number of positions.
        """
        message, topic = record.message, record.topic
        if topic.endswith("/joint_states"):
            self._take_joints(record.log_ns, message)
        elif topic.endswith("/robot_state"):
            self.states.append((record.log_ns, message))
        elif topic.endswith(("/command/policy", "/command/teleop")):
            action = np.array(message.action, dtype=np.float64)
            stamp = stamp_ns(message.header.stamp) // MICROSECOND
            if action.shape == (ACTION_SIZE,) and np.isfinite(action).all():
                self.requests[stamp, topic.endswith("teleop")] = action.clip(-1.0, 1.0)

    def _take_joints(self, log_ns: int, message: Any) -> None:
        """Arm and gripper may come in messages of their own: the newest of each counts."""
        wanted = self.arm.config.command_names
        mine = [name for name in wanted if name in message.name]
        found = by_name(message.name, message.position, mine, "joint_states")
        self._newest.update(zip(mine, found.tolist(), strict=True))
        if mine and len(self._newest) == len(wanted):
            values = np.array([self._newest[name] for name in wanted])
            stamp = stamp_ns(message.header.stamp)
            self.joints.append(Joints(log_ns, stamp, values[:-1], float(values[-1])))

    @property
    def missing_joints(self) -> list[str]:
        """Joints of the arm that no message named."""
        return [name for name in self.arm.config.command_names if name not in self._newest]

    def executed(self) -> Iterator[Executed | tuple[int, str]]:
        """What was executed, in order; between commands also the log time, ns, at which something
        else moved the set point, and what to say of it.

        An action that safety left as it was is the request's. One that it changed is what leads
        from the last set point to this one; its gripper is as requested.
        """
        before: Array | None = None
        opening = math.nan
        for log_ns, state in self.states:
            if not len(state.commanded_rad):
                continue
            after = np.array(state.commanded_rad)
            mode, captured = _mode(state), captured_ns(state)
            if mode not in (POLICY, TELEOP) or captured is None:
                if before is not None and np.abs(after - before).max() > MOVED_RAD:
                    yield log_ns, "the arm was moved without a command"
                before = after
                continue
            stamp = stamp_ns(state.header.stamp)
            requested = self._request(captured, mode == TELEOP)
            if requested is not None:
                opening = float(requested[GRIPPER])
            action = requested
            if action is None or len(state.safety_changes):
                action = self._inverted(before, after, opening, stamp)
            yield Executed(log_ns, stamp, captured, action, mode == TELEOP)
            before = after

    def _request(self, captured_ns: int, by_person: bool) -> Array | None:
        """The action that was asked for; None if it is not in the recording."""
        stamp = captured_ns // MICROSECOND
        found = (self.requests.get((stamp + off, by_person)) for off in (0, 1, -1))
        return next((action for action in found if action is not None), None)

    def _inverted(self, before: Array | None, after: Array, opening: float, stamp: int) -> Array:
        measured = self._by_stamp.nearest(stamp)
        start = measured.joint_rad if before is None else before
        if math.isnan(opening):
            gripper_m = measured.gripper_m
        else:
            gripper_m = gripper_position_m(opening, self.arm.config)
        return executed_action(self.arm, start, after, gripper_m)

    @cached_property
    def _by_stamp(self) -> "JointsByStamp":
        return JointsByStamp(self.joints)


def _mode(state: Any) -> int:
    """The value of conure_msgs/Mode; older recordings hold it without its message."""
    return int(getattr(state.mode, "value", state.mode))


def captured_ns(state: Any) -> int | None:
    """When that was captured which the command of a state answers, ns; None if it answers nothing.

    Older recordings hold the time since then, s, NaN for none.
    """
    if hasattr(state, "capture_stamp"):
        return stamp_ns(state.capture_stamp) or None
    if math.isnan(state.capture_to_command_s):
        return None
    return stamp_ns(state.header.stamp) - round(state.capture_to_command_s * NANOSECONDS)


class JointsByStamp:
    """Measured joints in the order of their stamps, in whatever order they came."""

    def __init__(self, joints: Iterable[Joints]) -> None:
        """Sort them; there must be some."""
        self._sorted = sorted(joints, key=lambda sample: sample.stamp_ns)
        self._stamps = np.array([sample.stamp_ns for sample in self._sorted], dtype=np.int64)

    def nearest(self, stamp: int) -> Joints:
        """Those measured nearest to a time, ns."""
        place = int(np.searchsorted(self._stamps, stamp))
        around = self._sorted[max(0, place - 1) : place + 1]
        return min(around, key=lambda sample: abs(sample.stamp_ns - stamp))
