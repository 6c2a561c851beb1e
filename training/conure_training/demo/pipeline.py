"""A pipeline of steps that a restart resumes: their settings, times, and whether they finished."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from conure_core.runtime.atomic_files import damaged, read_json, write_json
from conure_core.runtime.provenance import git_commit
from conure_core.runtime.resume import digest

RECORDS = "stages"
"""Folder of the steps' records."""


@dataclass(frozen=True)
class PipelineStep:
    """One step of a pipeline."""

    name: str
    """Name of its record."""

    title: str
    """For people."""

    settings: Any
    """Everything that its results depend on beside the steps before it, see `resume.identity`."""

    writes: tuple[str, ...]
    """Its own files and folders, relative to the pipeline's folder; removed when it is redone."""

    results: tuple[str, ...]
    """Files that exist when it is finished."""

    work: Callable[[], object]
    """Does the work; called again after an interruption, it resumes."""


@dataclass(frozen=True)
class Record:
    """The file `stages/NAME.json`."""

    digest: str
    """SHA-256 of the settings of this step and of all before it."""

    seconds: float = 0.0
    """Work so far."""

    finished: bool = False
    """True if the results are complete."""

    commit: str = ""
    """The sources that finished it; a later step may have other ones."""


class Watcher(Protocol):
    """Observes the progress of a pipeline."""

    def on_start(self, step: PipelineStep, seconds_before: float) -> None:
        """Note that a step starts.

        Args:
            step: The step.
            seconds_before: Work of earlier, interrupted runs.
        """
        ...

    def on_end(self, step: PipelineStep, seconds: float, kept: bool) -> None:
        """Note that a step is finished.

        Args:
            step: The step.
            seconds: Work of all runs.
            kept: Whether it was finished before, and its results are kept.
        """
        ...


def run_steps(folder: Path, steps: Sequence[PipelineStep], watcher: Watcher) -> bool:
    """Run the steps that are not finished, in order.

    A step is redone, with all after it, if its settings or those of a step before it changed, or if
    a result is gone. If a step raises, finished steps are kept.

    Args:
        folder: The pipeline's folder.
        steps: All of them, in order.
        watcher: Observes the progress.

    Returns:
        Whether any step ran.

    Raises:
        DataError: A record cannot be read. The exceptions of a step pass through.
    """
    made_of = ""
    anything_ran = False
    for step in steps:
        made_of = digest([made_of, step.settings])
        record = read_record(folder, step.name) or Record("")
        whole = record.finished and all((folder / name).exists() for name in step.results)
        if record.digest == made_of and whole and not anything_ran:
            watcher.on_end(step, record.seconds, kept=True)
            continue
        if record.digest != made_of or record.finished or anything_ran:
            _remove(folder, step.writes)
            record = Record(made_of)
        record = _run(folder, step, record, watcher)
        anything_ran = True
        watcher.on_end(step, record.seconds, kept=False)
    return anything_ran


def _run(folder: Path, step: PipelineStep, record: Record, watcher: Watcher) -> Record:
    watcher.on_start(step, record.seconds)
    start_s = time.monotonic()
    before = record
    _write_record(folder, step.name, before)
    try:
        step.work()
        record = replace(before, finished=True, commit=git_commit())
    finally:
        record = replace(record, seconds=before.seconds + time.monotonic() - start_s)
        _write_record(folder, step.name, record)
    return record


def read_record(folder: Path, name: str) -> Record | None:
    """Read a step's record.

    Args:
        folder: The pipeline's folder.
        name: Of the step.

    Returns:
        The record; None if the step was never started.

    Raises:
        DataError: The record is damaged.
    """
    path = _record_path(folder, name)
    remedy = "remove it to redo that step, or start over: fresh=true"
    try:
        return Record(**read_json(path, remedy))
    except FileNotFoundError:
        return None
    except (OSError, TypeError) as error:
        raise damaged(path, error, remedy) from error


def remove_steps(folder: Path, steps: Sequence[PipelineStep]) -> None:
    """Remove everything that the steps wrote, and nothing else.

    Args:
        folder: The pipeline's folder, which is removed too if nothing else is in it.
        steps: All of them.
    """
    for step in steps:
        _remove(folder, step.writes)
    _remove(folder, (RECORDS,))
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _record_path(folder: Path, name: str) -> Path:
    return folder / RECORDS / f"{name}.json"


def _write_record(folder: Path, name: str, record: Record) -> None:
    write_json(_record_path(folder, name), asdict(record))


def _remove(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
