"""`conure runs`: the runs of `conure rl` below a folder, finished or not, with their metrics."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from conure_core.config.loader import load_config
from conure_core.errors import DataError

RECENT_EPISODES = 50
FILES = ("curve.json", "progress.json")
"""Of a finished run, and of one that was cut off or still runs."""


@dataclass(frozen=True)
class RunsConfig:
    """Where to look."""

    root: str


@dataclass(frozen=True)
class Run:
    """One line. Rates in [0, 1]; None: never evaluated, or an older file that did not say."""

    folder: str
    finished: bool
    method: str
    task: str
    target: str
    steps: int
    recent_success: float
    evaluated_success: float | None
    wall_s: float | None
    commit: str | None


def run(overrides: list[str]) -> None:
    """List the runs of `conure rl` with their metrics."""
    root = Path(load_config("conure_training.conf", "runs", RunsConfig, overrides).root)
    found = find_runs(root)
    if not found:
        raise DataError(f"no run of conure rl below {root}; look elsewhere with root=FOLDER")
    Console().print(_build_table(found))


def find_runs(root: Path) -> list[Run]:
    """Every run below `root`, by folder; a file that is not a record of a run is left out."""
    paths = sorted(path for name in FILES for path in root.rglob(name))
    runs = (_read(path, root) for path in paths)
    return [found for found in runs if found is not None]


def _read(path: Path, root: Path) -> Run | None:
    try:
        return summarize(
            json.loads(path.read_text()), str(path.parent.relative_to(root)), path.name == FILES[0]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def summarize(record: Mapping[str, Any], folder: str, finished: bool) -> Run:
    """Summarize a run's record (see rl.loop.Loop.record) as one line.

    Args:
        record: What curve.json or progress.json holds.
        folder: Where it lies, for the line.
        finished: Whether the run is finished.

    Returns:
        The line; success is that of the last RECENT_EPISODES training episodes.

    Raises:
        KeyError: It is not a record of a run.
    """
    config = record["config"]
    episodes = record["episodes"]
    evaluations = record.get("evaluations", [])
    method = config["method"]
    recent = [episode["success"] for episode in episodes[-RECENT_EPISODES:]]
    return Run(
        folder=folder,
        finished=finished,
        method=method if isinstance(method, str) else method["name"],  # older records: a name
        task=config["task"],
        target=config["target"] or "any",
        steps=episodes[-1]["steps"] if episodes else 0,
        recent_success=sum(recent) / max(1, len(recent)),
        evaluated_success=evaluations[-1]["success"] if evaluations else None,
        wall_s=record.get("wall_s"),
        commit=record.get("commit"),
    )


def _build_table(runs: list[Run]) -> Table:
    """For a terminal."""
    table = Table()
    for title in (
        "run",
        "method",
        "task",
        "target",
        "steps",
        f"last {RECENT_EPISODES}",
        "evaluated",
        "time",
        "commit",
    ):
        table.add_column(title, justify="right" if title in ("steps", "time") else "left")
    for item in runs:
        table.add_row(
            item.folder if item.finished else f"{item.folder} (not finished)",
            item.method,
            item.task,
            item.target,
            str(item.steps),
            f"{item.recent_success:.0%}",
            "-" if item.evaluated_success is None else f"{item.evaluated_success:.0%}",
            "-" if item.wall_s is None else f"{item.wall_s / 60:.1f} min",
            (item.commit or "-")[:10],
        )
    return table
