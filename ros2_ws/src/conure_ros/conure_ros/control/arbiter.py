"""Who may move the arm, and why it holds. Pure: times come in as steady seconds, nothing goes
out.
"""

import math
from dataclasses import dataclass
from enum import IntEnum

from conure_core.control.safety import JointCommand
from conure_core.errors import ConfigError, RobotError, unknown_name
from conure_core.types import Array
from conure_ros.comms.messages import JointGoal


class Mode(IntEnum):
    """As in conure_msgs/Mode."""

    INACTIVE = 0
    HOLD = 1
    POLICY = 2
    TELEOP = 3
    STOPPED = 4
    TRAJECTORY = 5


SOURCES = (Mode.POLICY, Mode.TELEOP, Mode.TRAJECTORY)
"""Who can move the arm, one at a time."""
SELECTABLE = {mode.name.lower(): mode for mode in (Mode.HOLD, *SOURCES)}


@dataclass(frozen=True)
class Request:
    """What a source wants: an action (7,) for the observation captured at `captured_ns`, or a
    joint goal.
    """

    captured_ns: int
    action: Array | JointGoal
    bundle_hash: str = ""
    log_likelihood: float = math.nan


@dataclass(frozen=True)
class Status:
    """What control does and why, as in conure_msgs/RobotState. `command`: the one just sent."""

    mode: Mode
    selected: Mode
    stopped: bool
    reason: str
    alarm: str
    refused: int
    refusal: str
    reset_ns: int
    now_ns: int
    command: JointCommand | None = None
    changes: tuple[str, ...] = ()
    latency_s: float = math.nan


class Arbiter:
    """Arbitrate between sources: a stop wins over a person, a person over policy and trajectories.

    The arm holds when the selected source falls silent or sends a command that must not move the
    arm. The source moves the arm again with its next good command. Only `reset` ends a latched
    stop.

    >>> arbiter = Arbiter(stale_s=0.2)
    >>> arbiter.select(Mode.POLICY, now_s=0.0)
    >>> arbiter.admits(Mode.POLICY)
    True
    """

    def __init__(self, stale_s: float) -> None:
        self.stale_s = stale_s
        self.selected = Mode.HOLD
        self.stop_reason = ""
        self._why = ""
        self._fresh_s = 0.0

    @property
    def mode(self) -> Mode:
        """The present mode. A selected source counts from its first good command on; until then:
        HOLD.
        """
        if self.stop_reason:
            return Mode.STOPPED
        return Mode.HOLD if self._why else self.selected

    @property
    def reason(self) -> str:
        return self.stop_reason or self._why

    @property
    def moving(self) -> bool:
        return self.mode in SOURCES

    def select(self, mode: Mode, now_s: float, why: str = "") -> None:
        """Select the source that may move the arm from now on.

        Args:
            mode: One of SOURCES, or HOLD for none.
            now_s: Present time on the steady clock, s. The source is silent `stale_s` after it.
            why: Reason to show for HOLD; other modes give their own until the first good command.

        Raises:
            RobotError: The arm is stopped.
        """
        if self.stop_reason:
            raise RobotError(f"stopped ({self.stop_reason}); call control/reset_stop first")
        self.selected, self._fresh_s = mode, now_s
        self._why = (
            why if mode is Mode.HOLD else f"waiting for the first {mode.name.lower()} command"
        )

    def admits(self, source: Mode) -> bool:
        """Whether a command from this source may be tried. During a stop: none. Else: the selected
        source, and always a person (TELEOP).
        """
        return not self.stop_reason and source in (Mode.TELEOP, self.selected)

    def accept(self, now_s: float) -> None:
        """Note that a good command of the selected source, answering what was seen at `now_s`, is
        sent.
        """
        self._why, self._fresh_s = "", now_s

    def hold(self, why: str) -> None:
        """Hold until the selected source's next good command."""
        self._why = why

    def stop(self, why: str) -> None:
        """Latch a stop. The first reason stays."""
        self.stop_reason = self.stop_reason or why
        self.selected, self._why = Mode.HOLD, ""

    def reset(self) -> None:
        """End a stop. The arm holds until a source is selected."""
        self.stop_reason, self._why, self.selected = "", "the stop was reset", Mode.HOLD

    def hold_if_silent(self, now_s: float) -> bool:
        """Hold if the source that moves the arm sent no good command for `stale_s`; True at that
        change.
        """
        age_s = now_s - self._fresh_s
        if not self.moving or age_s <= self.stale_s:
            return False
        self.hold(
            f"no {self.selected.name.lower()} command for {age_s:.2f} s (limit"
            f" {self.stale_s:.2f} s)"
        )
        return True


def named_mode(name: str) -> Mode:
    """The selectable mode of this name. Raises: ConfigError listing the valid names."""
    if name not in SELECTABLE:
        raise unknown_name("mode", name, SELECTABLE)
    return SELECTABLE[name]


def selectable_mode(value: int) -> Mode:
    """The mode of this value of conure_msgs/Mode. Raises: ConfigError listing those to choose."""
    if value not in SELECTABLE.values():
        valid = ", ".join(f"{mode.value} ({mode.name})" for mode in SELECTABLE.values())
        raise ConfigError(f"mode {value} cannot be chosen; choose one of {valid}")
    return Mode(value)
