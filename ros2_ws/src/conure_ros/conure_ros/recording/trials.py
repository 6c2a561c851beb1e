"""Evaluation trials: settings, results, and the file that keeps both. No ROS."""

import dataclasses
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conure_core.errors import DataError
from conure_core.runtime.atomic_files import damaged, read_json, write_json
from conure_core.runtime.resume import identity, require_same
from conure_ros.recording.episodes import Episode, stamp_ns

FILE_NAME = "trials.json"
FORMAT = 1
AGAIN = "move it away to start over"


@dataclass(frozen=True)
class Settings:
    """Settings common to all trials. Trial i has the seed `first_seed + i`. `timeout_s` 0: the
    task's own limit.
    """

    task: str
    target: str
    first_seed: int
    timeout_s: float
    bundle_hash: str


@dataclass(frozen=True)
class Measures:
    """Measurements from a trial's recording. Lists have one value a tick; durations in ms,
    likelihoods in nats.
    """

    capture_to_command_ms: list[float] = field(default_factory=list)
    inference_ms: list[float] = field(default_factory=list)
    command_interval_ms: list[float] = field(default_factory=list)
    log_likelihood: list[float] = field(default_factory=list)
    safety_changes: int = 0
    images: int = 0


@dataclass(frozen=True)
class Trial:
    """One finished trial. `recording` is relative to the folder of the trials file."""

    seed: int
    target: str
    success: bool
    duration_s: float
    recording: str
    message: str
    measures: Measures


@dataclass(frozen=True)
class InvalidTrial:
    """A trial that could not begin. It is neither a success nor a failure, and a rerun runs it
    again.
    """

    seed: int
    reason: str


class TrialsFile:
    """`trials.json`: settings, finished trials and invalid ones. It is replaced after every trial,
    so that a rerun resumes.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        """Raises: ConfigError if the folder holds trials with other settings; DataError if its file
        cannot be read.
        """
        self.path, self.settings = folder / FILE_NAME, settings
        self.trials: list[Trial] = []
        self.invalid: list[InvalidTrial] = []
        """Those of this run; a rerun forgets them."""
        if self.path.exists():
            self._load()
        folder.mkdir(parents=True, exist_ok=True)

    def _load(self) -> None:
        settings, self.trials = read_trials(self.path)
        remedy = "choose another folder or move that one away"
        require_same(self.path, settings, identity(self.settings), remedy)

    def unfinished(self, trials: int) -> list[int]:
        """The seeds that are still to run, in order."""
        done = {trial.seed for trial in self.trials}
        return [
            seed
            for seed in range(self.settings.first_seed, self.settings.first_seed + trials)
            if seed not in done
        ]

    def add(self, trial: Trial) -> None:
        """Keep a finished trial; it is on disk when this returns."""
        self.trials.append(trial)
        self._write()

    def add_invalid(self, trial: InvalidTrial) -> None:
        """Keep a trial that could not begin, beside the finished ones."""
        self.invalid.append(trial)
        self._write()

    def _write(self) -> None:
        data = {
            "format": FORMAT,
            "settings": dataclasses.asdict(self.settings),
            "trials": [dataclasses.asdict(trial) for trial in self.trials],
            "invalid": [dataclasses.asdict(trial) for trial in self.invalid],
        }
        write_json(self.path, data)


def read_trials(path: Path) -> tuple[Settings, list[Trial]]:
    """Read settings and trials. Raises: DataError naming what is wrong with the file."""
    try:
        data: dict[str, Any] = read_json(path, AGAIN)
        if data["format"] != FORMAT:
            raise DataError(f"{path} has format {data['format']}, this program reads {FORMAT}")
        trials = [
            Trial(**{**trial, "measures": Measures(**trial["measures"])})
            for trial in data["trials"]
        ]
        return Settings(**data["settings"]), trials
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error, AGAIN) from error


def measure(recording: Path) -> Measures:
    """Latencies, jitter and likelihoods of a recorded trial, from the stamps in its messages.

    A command answers the last decision whose inference ended before the command's stamp. Raises:
    DataError if the recording cannot be read.
    """
    decisions, commands, changes, images = [], [], 0, 0
    for record in Episode(recording).messages():
        topic = record.topic.lstrip("/")
        if topic.endswith("command/policy"):
            decisions.append(record.message)
        elif topic.endswith("joint_trajectory"):
            commands.append(stamp_ns(record.message.header.stamp))
        elif topic.endswith("robot_state"):
            changes += bool(
                [change for change in record.message.safety_changes if change != "hold"]
            )
        images += topic.endswith(("camera/image_raw", "camera/image_raw/compressed"))
    answers = _answers(decisions, sorted(commands))
    return Measures(
        capture_to_command_ms=[
            (command - stamp_ns(decision.header.stamp)) / 1e6 for decision, command in answers
        ],
        inference_ms=[
            (stamp_ns(d.inference_end) - stamp_ns(d.inference_start)) / 1e6 for d in decisions
        ],
        command_interval_ms=[
            (after - before) / 1e6 for (_, before), (_, after) in itertools.pairwise(answers)
        ],
        log_likelihood=[float(decision.log_likelihood) for decision in decisions],
        safety_changes=changes,
        images=images,
    )


def _answers(decisions: list[Any], commands_ns: list[int]) -> list[tuple[Any, int]]:
    """Each decision with the first command after the end of its inference and before the end of the
    next one.
    """
    ends = [stamp_ns(decision.inference_end) for decision in decisions]
    answers = []
    for decision, end, until in zip(decisions, ends, [*ends[1:], float("inf")], strict=True):
        answer = next((command for command in commands_ns if end <= command < until), None)
        if answer is not None:
            answers.append((decision, answer))
    return answers
