"""`conure data edit`: remove, relabel, rename, merge and split episodes of data sets."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.config.loader import load_config
from conure_core.config.values import COUNT_OR_NONE, check_values
from conure_core.errors import ConfigError, DataError, unknown_name
from conure_core.runtime.atomic_files import last_whole, replacing
from conure_core.runtime.claim import claimed
from conure_training.data.demonstrations import (
    Demonstrations,
    load_attributes,
    load_demonstrations,
)
from conure_training.data.episode_info import OUTCOMES, require_task_name
from conure_training.data.joining import join_demonstrations
from conure_training.data.selection import episodes_of
from conure_training.data.writer import save_demonstrations

SPLITS = ("task", "outcome", "source")
NOTES = ("config", "import")
"""Notes of a data set that its edited copy keeps."""


@dataclass(frozen=True)
class EditConfig:
    """The settings of `conure data edit`."""

    data: str
    """Folder of the data set."""

    out: str
    """Folder of the result; empty: the data set itself, of which a backup is kept."""

    merge: tuple[str, ...]
    """Folders of data sets whose episodes are appended first."""

    remove: tuple[int, ...] = field(metadata=COUNT_OR_NONE)
    """Numbers of episodes to leave out, from 0; those appended go on counting."""

    episodes: tuple[int, ...] = field(metadata=COUNT_OR_NONE)
    """Numbers of the episodes that `outcome` and `task` are for."""

    outcome: str
    """How these ended: success, failure or unknown; empty: as before."""

    task: str
    """Of which task these are; empty: as before."""

    rename: tuple[str, ...]
    """Tasks to rename, OLD:NEW each."""

    split: str
    """Write one data set for each value, into folders of `out`: task, outcome or source; empty: one
    data set.
    """

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        for name, given, known in (
            ("outcome", self.outcome, OUTCOMES),
            ("split", self.split, SPLITS),
        ):
            if given and given not in known:
                raise unknown_name(name, given, known)
        if bool(self.episodes) != bool(self.outcome or self.task):
            raise ConfigError(
                "episodes=[...] and outcome= or task= belong together: give both, or none"
            )
        for pair in self.rename:
            if pair.count(":") != 1:
                raise ConfigError(f"rename takes OLD:NEW, as rename=[Lift:LiftCube], got {pair!r}")
        if self.split and not self.out:
            raise ConfigError("split needs out=, the folder that the data sets go into")
        if not (self.merge or self.remove or self.episodes or self.rename or self.split):
            raise ConfigError(
                "nothing to edit; give merge, remove, episodes with outcome or task, rename or"
                " split"
            )


def run(overrides: list[str]) -> None:
    """Remove, relabel, rename, merge and split episodes."""
    edit(load_config("conure_training.conf", "data_edit", EditConfig, overrides))


def edit(config: EditConfig) -> list[Path]:
    """Edit a data set; what was there is kept until the result is whole.

    Args:
        config: What to change.

    Returns:
        The folders that were written.

    Raises:
        ConfigError, DataError: An episode or a task is not there; nothing was written.
    """
    source = Path(config.data)
    out = Path(config.out or config.data)
    with claimed(out, "conure data edit"):
        parts = [load_demonstrations(Path(path)) for path in (config.data, *config.merge)]
        data = _changed(join_demonstrations(parts), config)
        notes = _common_notes([Path(path) for path in (config.data, *config.merge)])
        if out.resolve() == source.resolve():
            print(f"{_back_up(out)}: the data set as it was")
        written = []
        for path, part in _results(out, data, config.split):
            save_demonstrations(path, part, notes)
            print(f"{path}: {len(part.ends)} episodes, {len(part)} steps")
            written.append(path)
    return written


def _changed(data: Demonstrations, config: EditConfig) -> Demonstrations:
    count = len(data.ends)
    for number in (*config.remove, *config.episodes):
        if number >= count:
            raise DataError(f"{config.data} holds the episodes 0 to {count - 1}, got {number}")
    data = _relabelled(data, config)
    kept = np.setdiff1d(np.arange(count), config.remove)
    if not len(kept):
        raise DataError(f"remove names all {count} episodes; a data set needs one")
    return episodes_of(data, kept)


def _relabelled(data: Demonstrations, config: EditConfig) -> Demonstrations:
    renamed = dict(pair.split(":") for pair in config.rename)
    for name in (config.task, *renamed.values()):
        if name:
            require_task_name(name, "conure data edit")
    for old in renamed:
        if old not in data.tasks:
            raise unknown_name("task of the data set", old, data.tasks)
    names = [renamed.get(data.tasks[number], data.tasks[number]) for number in data.task]
    infos = list(data.episodes)
    reward = data.reward.copy()
    for number in config.episodes:
        names[number] = config.task or names[number]
        if config.outcome:
            infos[number] = replace(infos[number], outcome=config.outcome)
            reward[data.steps_of(number)] = 0.0
            reward[data.ends[number] - 1] = float(config.outcome == "success")
    tasks = tuple(dict.fromkeys(names))
    numbers = np.array([tasks.index(name) for name in names], dtype=np.int64)
    return replace(data, tasks=tasks, task=numbers, infos=tuple(infos), reward=reward)


def _results(out: Path, data: Demonstrations, split: str) -> Iterable[tuple[Path, Demonstrations]]:
    if not split:
        yield out, data
        return
    values = _values(data, split)
    for value in dict.fromkeys(values.tolist()):
        yield out / value, episodes_of(data, np.flatnonzero(values == value))


def _values(data: Demonstrations, split: str) -> NDArray[Any]:
    if split == "task":
        return np.array([data.tasks[number] for number in data.task])
    return np.array([getattr(info, split) for info in data.episodes])


def _common_notes(paths: list[Path]) -> dict[str, Any]:
    """Notes in which all data sets agree."""
    notes = [load_attributes(path) for path in paths]
    first = notes[0]
    return {
        name: first[name]
        for name in NOTES
        if name in first and all(other.get(name) == first[name] for other in notes)
    }


def _back_up(path: Path) -> Path:
    """Copy a data set to a name beside it that is free."""
    number = 1
    while path.with_name(f"{path.name}.backup-{number}").exists():
        number += 1
    backup = path.with_name(f"{path.name}.backup-{number}")
    with replacing(backup) as temporary:
        shutil.copytree(last_whole(path), temporary)
    return backup
