"""Outcomes of a finished evaluation, from the file of `conure evaluate` or of the robot graph."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conure_core.errors import DataError
from conure_core.runtime.atomic_files import damaged, read_json

TRIALS_FILE = "trials.json"
FORMAT = 1
RUN_AGAIN = "remove it and run the trials again"
SCENE_SETTINGS = ("arm", "objects", "containers", "target", "distractors", "randomization")
"""Settings of `conure evaluate` that decide a seed's initial scene, beside the task."""


@dataclass(frozen=True)
class Outcome:
    """One trial."""

    seed: int
    """Seed of the initial scene."""

    condition: str
    """Object to act on."""

    success: bool
    """True if the task was solved in time."""


@dataclass(frozen=True)
class Evaluation:
    """All finished trials of one policy."""

    path: Path
    """The file."""

    source: str
    """"simulation" or "graph"."""

    task: str
    """Name of the task."""

    outcomes: tuple[Outcome, ...]
    """Trials in the order in which they were run."""

    scene: Mapping[str, Any] = field(default_factory=dict)
    """Settings that decide a seed's initial scene."""

    invalid: int = 0
    """Trials that could not begin, which are not among the outcomes."""

    @property
    def by_seed(self) -> dict[int, Outcome]:
        """Trials by their seed."""
        return {outcome.seed: outcome for outcome in self.outcomes}


def load_evaluation(path: Path) -> Evaluation:
    """Read a finished evaluation.

    Args:
        path: File that `conure evaluate out=` writes; `trials.json` of `conure up graph=evaluate`,
            or its folder.

    Returns:
        Its outcomes.

    Raises:
        DataError: The file is missing or damaged, holds something else or no finished trial, or a
            seed comes twice.
    """
    file = path / TRIALS_FILE if path.is_dir() else path
    try:
        data = read_json(file, RUN_AGAIN)
        evaluation = _parse(file, data)
    except FileNotFoundError:
        raise DataError(
            f"there is no {file}; give the out= of conure evaluate, or the folder= of conure up"
            " graph=evaluate"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(file, error, RUN_AGAIN) from error
    if not evaluation.outcomes:
        raise DataError(f"{file} holds no finished trial; run the evaluation to its end")
    seed, times = Counter(outcome.seed for outcome in evaluation.outcomes).most_common(1)[0]
    if times > 1:
        raise DataError(f"{file} holds seed {seed} {times} times, expected each once; {RUN_AGAIN}")
    return evaluation


def require_format(path: Path, data: Mapping[str, Any]) -> None:
    """Refuse a `trials.json` of another version.

    Args:
        path: The file, for the message.
        data: Its content.

    Raises:
        DataError: It has another format.
    """
    if data["format"] != FORMAT:
        raise DataError(f"{path} has format {data['format']}, this program reads {FORMAT}")


def _parse(path: Path, data: Any) -> Evaluation:
    if isinstance(data, dict) and "episodes" in data:
        config = data["config"]
        return Evaluation(
            path=path,
            source="simulation",
            task=str(config["task"]),
            outcomes=tuple(_outcome(row) for row in data["episodes"]),
            scene={name: config.get(name) for name in SCENE_SETTINGS},
        )
    if isinstance(data, dict) and "trials" in data:
        require_format(path, data)
        settings = data["settings"]
        return Evaluation(
            path=path,
            source="graph",
            task=str(settings["task"]),
            outcomes=tuple(_outcome(row) for row in data["trials"]),
            scene={"target": settings["target"]},
            invalid=len(data.get("invalid", [])),
        )
    raise DataError(
        f"{path} holds no evaluation: expected 'episodes' (out= of conure evaluate) or 'trials'"
        f" ({TRIALS_FILE} of conure up graph=evaluate); give one of these files"
    )


def _outcome(row: Mapping[str, Any]) -> Outcome:
    seed = row["seed"]
    success = row["success"]
    if type(seed) is not int or type(success) is not bool:
        raise ValueError(
            f"seed {seed!r} with success {success!r}, expected a whole number and true or false"
        )
    return Outcome(seed, str(row["target"]), success)
