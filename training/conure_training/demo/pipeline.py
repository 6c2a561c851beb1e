"""Work in stages that a restart goes on from: what each one was given, how long it took, whether it
is finished.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from conure_core.runtime.atomic_files import damaged, read_json, write_json
from conure_core.runtime.provenance import git_commit

RECORDS = "stages"


@dataclass(frozen=True)
class Stage:
    """One step. `settings`, as JSON, is all that its results depend on beside the stages before it.

    `writes`: files and folders, relative to the common folder, that are its own and are removed
    when it is redone; `results`: those that stand when it is finished. `work` may be called again
    after an interruption and goes on.
    """

    name: str
    title: str
    settings: Any
    writes: tuple[str, ...]
    results: tuple[str, ...]
    work: Callable[[], object]


@dataclass(frozen=True)
class Record:
    """`stages/NAME.json`. `digest`: of the settings of this stage and of all before it; `seconds`:
    work so far.

    `commit`: the sources that finished it; a later stage may have been made by others.
    """

    digest: str
    seconds: float = 0.0
    finished: bool = False
    commit: str = ""


class Watcher(Protocol):
    """Hears how the stages go."""

    def begins(self, stage: Stage, seconds_before: float) -> None: ...
    def ended(self, stage: Stage, seconds: float, kept: bool) -> None: ...


def run_stages(folder: Path, stages: Sequence[Stage], watcher: Watcher) -> bool:
    """Run what is not finished, in order; True if there was anything to run.

    A stage is redone, with all after it, if its settings or those of one before it changed, or if a
    result is gone. Raises: DataError for a record that cannot be read, and whatever a stage raises;
    finished stages are kept then.
    """
    digest, anything_ran = "", False
    for stage in stages:
        digest = _digest(stage.settings, digest)
        record = read_record(folder, stage.name) or Record("")
        whole = record.finished and all((folder / name).exists() for name in stage.results)
        if record.digest == digest and whole and not anything_ran:
            watcher.ended(stage, record.seconds, kept=True)
            continue
        if record.digest != digest or record.finished or anything_ran:
            _remove(folder, stage.writes)
            record = Record(digest)
        record = _run(folder, stage, record, watcher)
        anything_ran = True
        watcher.ended(stage, record.seconds, kept=False)
    return anything_ran


def _run(folder: Path, stage: Stage, record: Record, watcher: Watcher) -> Record:
    watcher.begins(stage, record.seconds)
    began_s, before = time.monotonic(), record
    _write_record(folder, stage.name, before)
    try:
        stage.work()
        record = replace(before, finished=True, commit=git_commit())
    finally:
        record = replace(record, seconds=before.seconds + time.monotonic() - began_s)
        _write_record(folder, stage.name, record)
    return record


def read_record(folder: Path, name: str) -> Record | None:
    """None if the stage was never begun. Raises: DataError if the record is damaged."""
    path = _record_path(folder, name)
    remedy = "remove it to redo that stage, or start over: fresh=true"
    try:
        return Record(**read_json(path, remedy))
    except FileNotFoundError:
        return None
    except (OSError, TypeError) as error:
        raise damaged(path, error, remedy) from error


def remove_stages(folder: Path, stages: Sequence[Stage]) -> None:
    """Remove everything that the stages wrote, and nothing else; the folder too if that leaves it
    empty.
    """
    for stage in stages:
        _remove(folder, stage.writes)
    _remove(folder, (RECORDS,))
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _record_path(folder: Path, name: str) -> Path:
    return folder / RECORDS / f"{name}.json"


def _write_record(folder: Path, name: str, record: Record) -> None:
    write_json(_record_path(folder, name), asdict(record))


def _digest(settings: Any, before: str) -> str:
    text = json.dumps([before, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _remove(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
