"""The journal of a series of trials: JSON lines, only ever appended, each on disk before the next.

Nothing that was written is changed: an undo, an invalid trial and a later label are lines too. No
ROS.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from conure_core.errors import ConfigError, DataError
from conure_core.runtime.atomic_files import sync
from conure_core.runtime.json_text import json_text

SUCCESS, FAILURE, INVALID = "success", "failure", "invalid"
LABELS = (SUCCESS, FAILURE, INVALID)
EVENTS = ("begun", "ended", "cut_off", "labelled", "undone", "relabelled", "opened")
LONGEST_REASON = 200


@dataclass(frozen=True)
class Label:
    """What a person says about a trial."""

    label: str
    """success, failure or invalid."""

    operator: str
    """Who says so; empty: the session itself."""

    reason: str = ""
    """Why it failed or is invalid; empty for a success."""

    def __post_init__(self) -> None:
        if self.label not in LABELS:
            raise ConfigError(f"label must be one of {', '.join(LABELS)}, got '{self.label}'")
        text = self.reason.strip()
        if (self.label == SUCCESS) == bool(text) or len(text) > LONGEST_REASON:
            wanted = "no reason" if self.label == SUCCESS else "a reason of one line"
            raise ConfigError(f"the label {self.label} needs {wanted}, got {self.reason!r:.250}")


@dataclass
class TrialState:
    """What the journal says about one trial of the plan."""

    attempts: int = 0
    """How often it was begun; invalid and interrupted ones included."""

    is_open: bool = False
    """Begun, and not ended: it runs, or was interrupted."""

    awaits_label: bool = False
    """Ended, without a label that counts."""

    label: Label | None = None
    """The label that counts: of the last attempt, not undone."""

    relabels: list[Label] = field(default_factory=list)
    """Given after the fact, beside the first one."""

    recording: str = ""
    """Of the last attempt."""

    duration_s: float = 0.0
    """Of the last attempt, under the policy."""

    invalid: list[Label] = field(default_factory=list)
    """Of earlier attempts."""

    @property
    def is_finished(self) -> bool:
        """Whether it needs no further attempt."""
        return self.label is not None and self.label.label != INVALID


class Journal:
    """Reads a journal, and appends to it. One process at a time: claim its folder first."""

    def __init__(self, path: Path) -> None:
        """Raises: DataError if a line other than a torn last one cannot be read."""
        self.path = path
        self.events: list[dict[str, Any]] = []
        self.states: dict[int, TrialState] = {}
        self._labelled: list[int] = []
        for event in read_events(path):
            self._take(event)

    def state(self, trial: int) -> TrialState:
        """What is known of the trial of this number."""
        return self.states.setdefault(trial, TrialState())

    @property
    def is_empty(self) -> bool:
        """Whether no trial was ever begun."""
        return not any(event["event"] == "begun" for event in self.events)

    @property
    def is_opened(self) -> bool:
        """Whether somebody has read which policy ran in which trial."""
        return any(event["event"] == "opened" for event in self.events)

    @property
    def reasons(self) -> list[str]:
        """Reasons of failures that were given, in order."""
        given = [event["reason"] for event in self.events if event.get("label") == FAILURE]
        return list(dict.fromkeys(given))

    def begin(self, trial: int, operator: str) -> int:
        """Note that an attempt begins.

        Args:
            trial: Number of the trial.
            operator: Who resets and labels.

        Returns:
            The attempt's number, from 1 on.

        Raises:
            ConfigError: The trial has a label that counts, or waits for one.
        """
        state = self.state(trial)
        if state.is_finished or state.awaits_label:
            raise ConfigError(f"trial {trial} was run already; label it, or undo its label")
        attempt = state.attempts + 1
        self._append(event="begun", trial=trial, attempt=attempt, operator=operator)
        return attempt

    def end(self, trial: int, recording: str, duration_s: float) -> None:
        """Note that the policy no longer moves the arm, and where the recording lies.

        Args:
            trial: Number of the trial.
            recording: File of the recording, relative to the folder.
            duration_s: Time under the policy, s.
        """
        if not self.state(trial).is_open:
            raise ConfigError(f"trial {trial} does not run; begin it first")
        self._append(event="ended", trial=trial, recording=recording, duration_s=duration_s)

    def cut_off(self, trial: int, reason: str, recording: str = "") -> None:
        """Note that a trial that runs is invalid, whatever a person would say. No undo takes it
        back.

        Args:
            trial: Number of the trial.
            reason: Why, such as a camera that was lost.
            recording: File of what was recorded, relative to the folder; empty: none.
        """
        if not self.state(trial).is_open:
            raise ConfigError(f"trial {trial} does not run; begin it first")
        self._append(event="cut_off", trial=trial, reason=reason, recording=recording)

    def label(self, trial: int, label: Label) -> None:
        """Label a trial that waits for it.

        Args:
            trial: Number of the trial.
            label: The label.

        Raises:
            ConfigError: The trial has a label already, or did not run to its end.
        """
        state = self.state(trial)
        if not state.awaits_label:
            done = f"labelled {state.label.label} already" if state.label else "not run"
            raise ConfigError(f"trial {trial} is {done}; undo its label, or relabel it")
        self._append(event="labelled", trial=trial, **vars(label))

    def undo(self, operator: str) -> int | None:
        """Withdraw the last label; its trial waits for a new one.

        Returns:
            The trial's number; None if there is nothing to undo.
        """
        if not self._labelled:
            return None
        trial = self._labelled[-1]
        self._append(event="undone", trial=trial, operator=operator)
        return trial

    def relabel(self, trial: int, label: Label) -> None:
        """Label a finished trial once more, after the fact. The first label stays beside it.

        Args:
            trial: Number of the trial.
            label: The other label.

        Raises:
            ConfigError: The trial has no label yet.
        """
        if not self.state(trial).is_finished:
            raise ConfigError(f"trial {trial} has no label yet; give its first one in the trials")
        opened = self.is_opened
        self._append(event="relabelled", trial=trial, after_opening=opened, **vars(label))

    def open(self, by: str) -> None:
        """Note that the blinding is over."""
        if not self.is_opened:
            self._append(event="opened", operator=by)

    def _append(self, **event: Any) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = json_text({"line": len(self.events) + 1, "time": now, **event}) + "\n"
        is_new = not self.path.exists()
        with self.path.open("ab") as file:
            file.truncate(_whole_bytes(self.path))
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync(self.path.parent)
        self._take(json.loads(line))

    def _take(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        steps = {
            "begun": self._on_begun,
            "ended": self._on_ended,
            "cut_off": self._on_cut_off,
            "labelled": self._on_labelled,
            "undone": self._on_undone,
            "relabelled": self._on_relabelled,
        }
        if event["event"] in steps:
            steps[event["event"]](self.state(event["trial"]), event)

    def _on_begun(self, state: TrialState, event: dict[str, Any]) -> None:
        if state.label is not None:
            state.invalid.append(state.label)
        state.label, state.is_open, state.attempts = None, True, event["attempt"]
        state.recording, state.duration_s = "", 0.0
        if event["trial"] in self._labelled:
            self._labelled.remove(event["trial"])

    def _on_ended(self, state: TrialState, event: dict[str, Any]) -> None:
        state.is_open, state.awaits_label = False, True
        state.recording, state.duration_s = event["recording"], event["duration_s"]

    def _on_cut_off(self, state: TrialState, event: dict[str, Any]) -> None:
        state.is_open, state.recording = False, event["recording"]
        state.label = Label(INVALID, "", event["reason"])

    def _on_labelled(self, state: TrialState, event: dict[str, Any]) -> None:
        state.awaits_label = False
        state.label = _label(event)
        self._labelled.append(event["trial"])

    def _on_undone(self, state: TrialState, event: dict[str, Any]) -> None:
        state.label, state.awaits_label = None, True
        self._labelled.remove(event["trial"])

    def _on_relabelled(self, state: TrialState, event: dict[str, Any]) -> None:
        state.relabels.append(_label(event))


def _label(event: dict[str, Any]) -> Label:
    return Label(event["label"], event["operator"], event["reason"])


def read_events(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a journal. A torn last line was never acknowledged, and is skipped.

    Raises: DataError naming the line that cannot be read.
    """
    return list(_events(path)) if path.exists() else []


def _events(path: Path) -> Iterator[dict[str, Any]]:
    lines = path.read_bytes()[: _whole_bytes(path)].splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            event = json.loads(line)
            if event["event"] not in EVENTS or event["line"] != number:
                raise ValueError(f"line {event['line']} is '{event['event']}'")
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path} is damaged in line {number} ({error}); restore it from a copy"
            ) from error
        yield event


def _whole_bytes(path: Path) -> int:
    """Length of the file up to the end of its last whole line."""
    return path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0
