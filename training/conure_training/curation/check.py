"""`conure data check`: how good each episode of a data set is, and which ones do not fit."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from conure_core.config.loader import load_config
from conure_core.config.values import check_values
from conure_core.contract.action import MOTION
from conure_core.errors import DataError
from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.claim import claimed
from conure_training.curation.likelihood import find_unlikely
from conure_training.curation.suspects import Suspect, find_suspects
from conure_training.data.demonstrations import Demonstrations, load_demonstrations
from conure_training.prior.model import load_prior

FEWEST = 12
"""Episodes that can be compared with one another."""
IDLE = 0.02
SATURATED = 0.98


@dataclass(frozen=True)
class CheckConfig:
    """The settings of `conure data check`."""

    data: str
    """Folder of the data set."""

    out: str
    """JSON file for the report."""

    prior: str
    """File of a prior, whose log-likelihood counts too; empty: none."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))


@dataclass(frozen=True)
class Quality:
    """How an episode was recorded."""

    episode: int
    """Its number."""
    steps: int
    """Control periods."""
    longest_gap_s: float
    """Between two steps; 0: no time stamps."""
    idle_share: float
    """Share of steps without motion."""
    saturated_share: float
    """Share of steps with a full action."""
    path_m: float
    """Length of the tool's path."""
    path_of_median: float
    """The same, as a part of its task's median."""
    jerk_m_s3: float
    """95th percentile of the tool's jerk."""


def run(overrides: list[str]) -> None:
    """Check the episodes of a data set, and rank those that do not fit."""
    check(load_config("conure_training.conf", "data_check", CheckConfig, overrides))


def check(config: CheckConfig) -> list[Suspect]:
    """Write the report and print the suspects.

    Args:
        config: What to check.

    Returns:
        The suspects, the worst first.

    Raises:
        DataError: The data set cannot be read, or has too few episodes to compare.
    """
    with claimed(config.out, "conure data check", "file") as out:
        data = load_demonstrations(Path(config.data))
        count = len(data.ends)
        if count < FEWEST:
            raise DataError(
                f"{config.data} has {count} episodes, and {FEWEST} or more can be compared; record"
                " more, or merge data sets by conure data edit"
            )
        suspects = find_suspects(data)
        if config.prior:
            suspects += find_unlikely(data, load_prior(Path(config.prior)))
            suspects.sort(key=lambda suspect: -suspect.score)
        report = {
            "data": config.data,
            "suspects": [asdict(suspect) for suspect in suspects],
            "episodes": [asdict(quality) for quality in measure_quality(data)],
        }
        write_json(out, report)
    _print(suspects, data)
    return suspects


def measure_quality(data: Demonstrations) -> list[Quality]:
    """Measure every episode by itself.

    Args:
        data: The data set.

    Returns:
        One for each episode.
    """
    paths_m = np.array([_path_m(data, episode) for episode in range(len(data.ends))])
    measured = []
    for episode, path_m in enumerate(paths_m):
        median_m = float(np.median(paths_m[data.task == data.task[episode]]))
        motion = np.abs(data.action[data.steps_of(episode)][:, MOTION]).max(axis=1)
        measured.append(
            Quality(
                episode=episode,
                steps=len(motion),
                longest_gap_s=_longest_gap_s(data, episode),
                idle_share=float((motion < IDLE).mean()),
                saturated_share=float((motion > SATURATED).mean()),
                path_m=float(path_m),
                path_of_median=float(path_m / max(median_m, 1e-6)),
                jerk_m_s3=_jerk_m_s3(data, episode),
            )
        )
    return measured


def _path_m(data: Demonstrations, episode: int) -> float:
    tool_m = data.proprio[data.steps_of(episode), :3]
    return float(np.linalg.norm(np.diff(tool_m, axis=0), axis=1).sum())


def _longest_gap_s(data: Demonstrations, episode: int) -> float:
    if data.time_s is None:
        return 0.0
    return float(np.diff(data.time_s[data.steps_of(episode)]).max(initial=0.0))


def _jerk_m_s3(data: Demonstrations, episode: int) -> float:
    steps = data.steps_of(episode)
    if data.time_s is None or steps.stop - steps.start < 5:
        return 0.0
    period_s = float(np.median(np.diff(data.time_s[steps])))
    jerk = np.diff(data.proprio[steps, :3], n=3, axis=0) / max(period_s, 1e-6) ** 3
    return float(np.percentile(np.linalg.norm(jerk, axis=1), 95))


def _print(suspects: list[Suspect], data: Demonstrations) -> None:
    table = Table(title=f"{len(suspects)} suspects among {len(data.ends)} episodes")
    for name in ("episode", "task", "outcome", "score", "why"):
        table.add_column(name)
    for suspect in suspects:
        row: list[Any] = [
            suspect.episode,
            data.tasks[int(data.task[suspect.episode])],
            data.episodes[suspect.episode].outcome,
            f"{suspect.score:.1f}",
            suspect.why,
        ]
        table.add_row(*map(str, row))
    Console().print(table)
