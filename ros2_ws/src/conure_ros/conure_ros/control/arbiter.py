"""Who may move the arm, and why it holds. Pure: steady seconds come in, nothing goes out."""

from enum import IntEnum

from conure_core.errors import RobotError, unknown_name


class Mode(IntEnum):
    """As in conure_msgs/RobotState."""

    INACTIVE = 0
    HOLD = 1
    POLICY = 2
    TELEOP = 3
    STOPPED = 4


SELECTABLE = {"hold": Mode.HOLD, "policy": Mode.POLICY, "teleop": Mode.TELEOP}


class Arbiter:
    """Stop over person over policy. A source that falls silent, or sends what must not move the
    arm, means hold.

    The selected source moves the arm again with its next good command; a latched stop ends only
    with `reset`.

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
        """What the arm does now: a selected source counts from its first good command on."""
        if self.stop_reason:
            return Mode.STOPPED
        return Mode.HOLD if self._why else self.selected

    @property
    def reason(self) -> str:
        return self.stop_reason or self._why

    @property
    def moving(self) -> bool:
        return self.mode in (Mode.POLICY, Mode.TELEOP)

    def select(self, mode: Mode, now_s: float, why: str = "") -> None:
        """Let this source, or nobody (HOLD), move the arm from now on. Raises: RobotError while
        stopped.
        """
        if self.stop_reason:
            raise RobotError(f"stopped ({self.stop_reason}); call reset_stop first")
        self.selected, self._fresh_s = mode, now_s
        self._why = (
            why if mode is Mode.HOLD else f"waiting for the first {mode.name.lower()} command"
        )

    def admits(self, source: Mode) -> bool:
        """Whether a command from this source may be tried: a person's always, except during a
        stop.
        """
        return not self.stop_reason and source in (Mode.TELEOP, self.selected)

    def accept(self, now_s: float) -> None:
        """A command of the selected source was good and is on its way to the arm."""
        self._why, self._fresh_s = "", now_s

    def hold(self, why: str) -> None:
        """The selected source may not move the arm until its next good command."""
        self._why = why

    def stop(self, why: str) -> None:
        """Latch a stop; the first reason stays."""
        self.stop_reason = self.stop_reason or why
        self.selected, self._why = Mode.HOLD, ""

    def reset(self) -> None:
        """End a stop: hold until a source is selected."""
        self.stop_reason, self._why, self.selected = "", "the stop was reset", Mode.HOLD

    def silent(self, now_s: float) -> bool:
        """Whether the source that moves the arm has just fallen silent; then it holds, and says
        why.
        """
        age_s = now_s - self._fresh_s
        if not self.moving or age_s <= self.stale_s:
            return False
        self.hold(
            f"no {self.selected.name.lower()} command for {age_s:.2f} s (limit"
            f" {self.stale_s:.2f} s)"
        )
        return True


def selectable_mode(name: str) -> Mode:
    """Raises: ConfigError listing the valid names."""
    if name not in SELECTABLE:
        raise unknown_name("mode", name, SELECTABLE)
    return SELECTABLE[name]
