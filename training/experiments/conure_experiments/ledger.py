"""The records: one JSON a finished run, written whole, from which tables and plots are made."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from conure_core.runtime.atomic_files import damaged, read_json, write_text
from conure_core.runtime.json_text import json_text
from conure_experiments.plan import OUT, PACKAGE, Entry
from conure_training.runtime.arrays import UNREADABLE
from conure_training.runtime.torch_files import load_torch

RUNS = "runs"
HERE = Path(__file__).parent
MOST_EPISODES = 5000
"""Of a curve in a record, whose file is part of the repository."""


@dataclass(frozen=True)
class Record:
    """A finished entry. `seconds` and `results` by command; `configs`: each command's own, in full.

    `digest`: of the plan's entry that it was made from; `commit`: '-dirty' if sources differed from
    it.
    """

    experiment: str
    entry: str
    scale: str
    variables: dict[str, str]
    seed: int | None
    commands: dict[str, str]
    digest: str
    commit: str
    finished: str
    machine: dict[str, Any]
    versions: dict[str, str]
    device: str
    seconds: dict[str, float]
    configs: dict[str, Any]
    results: dict[str, Any]

    @property
    def key(self) -> str:
        return f"{self.experiment}/{self.entry}"


def record_path(results: Path, key: str) -> Path:
    """Give the path of a record.

    Args:
        results: Folder of the results.
        key: EXPERIMENT/ENTRY.

    Returns:
        The record's file, whether it exists or not.
    """
    return results / RUNS / f"{key}.json"


def read_records(results: Path, entries: Iterable[Entry]) -> dict[str, Record]:
    """Read the records of these entries; one of other commands than the plan's does not count.

    Args:
        results: Folder of the results.
        entries: Entries of the plan.

    Returns:
        Records by key, for the entries that have one.

    Raises:
        DataError: A record cannot be read.
    """
    found = {}
    for entry in entries:
        record = read_record(record_path(results, entry.key))
        if record is not None and record.digest == entry.digest:
            found[entry.key] = record
    return found


def read_record(path: Path) -> Record | None:
    """Read a record; None if there is none.

    Raises:
        DataError: The record is damaged.
    """
    remedy = "remove it to run that entry again"
    try:
        data = read_json(path, remedy)
        values = {field.name: data[field.name] for field in fields(Record)}
        return Record(**values)
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        raise damaged(path, error, remedy) from error


def write_record(results: Path, record: Record) -> None:
    """Write the record, whole or not at all; a line for each of its fields.

    Args:
        results: Folder of the results.
        record: The record.
    """
    lines = []
    for name, value in asdict(record).items():
        lines.append(f" {json_text(name)}: {json_text(value, strict=True)}")
    path = record_path(results, record.key)
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def make_record(
    entry: Entry, out: Path, seconds: dict[str, float], provenance: dict[str, Any]
) -> Record:
    """Make the record of a finished entry from what its commands left.

    Args:
        entry: The entry.
        out: Folder of the runs, which the commands wrote below.
        seconds: Wall-clock seconds by command.
        provenance: Commit, machine, versions and device.

    Returns:
        The record, with no path of this machine in it.

    Raises:
        DataError: An output cannot be read.
    """
    configs, results = {}, {}
    for label, command in entry.commands.items():
        path = resolve_path(command.result, out)
        configs[label], results[label] = _collect(command.verb, path, out)
    seed = entry.variables.get("seed")
    return Record(
        experiment=entry.experiment,
        entry=entry.name,
        scale=entry.scale,
        variables=entry.variables,
        seed=None if seed is None else int(seed),
        commands={label: command.line for label, command in entry.commands.items()},
        digest=entry.digest,
        finished=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seconds={label: round(value, 1) for label, value in seconds.items()},
        configs=configs,
        results=results,
        **provenance,
    )


def resolve_path(path: str, out: Path) -> Path:
    """Resolve a path of the plan on this machine.

    Args:
        path: It may begin with $OUT or $PACKAGE.
        out: Folder of the runs.

    Returns:
        The path on this machine.
    """
    return Path(resolve_word(path, out))


def resolve_word(word: str, out: Path) -> str:
    """Resolve a word of a command on this machine.

    Args:
        word: It may hold $OUT or $PACKAGE.
        out: Folder of the runs.

    Returns:
        The word with folders of this machine.
    """
    return word.replace(OUT, str(out)).replace(PACKAGE, str(HERE))


def _collect(
    verb: str,
    path: Path,
    out: Path,
) -> tuple[Any, Any]:
    """(configuration, results) of one command, with no path of this machine in them."""
    try:
        if verb == "demos":
            stored = json.loads((path / "zarr.json").read_text())
            config = stored["attributes"]["config"]
            return _portable(config, out), {"episodes": config["episodes"]}
        data = json.loads(path.read_text())
        if verb == "prior":
            config = _note(path.with_name("prior.pt"))["config"]
        else:
            config = data.pop("config", {})
        if verb == "rl":
            data = _compact_curve(data)
        return _portable(config, out), _portable(data, out)
    except UNREADABLE as error:
        raise damaged(path, error, "remove its folder to run the entry again") from error


def _note(prior: Path) -> dict[str, Any]:
    """What was written into a prior's file beside its weights."""
    note: dict[str, Any] = load_torch(prior, "remove its folder to run the entry again")["note"]
    return note


def _compact_curve(data: dict[str, Any]) -> dict[str, Any]:
    """Of every episode only where it ended and whether it succeeded, of tens of thousands only
    some, evenly; evaluations as they are.
    """
    episodes = data.pop("episodes")
    every = 1 + len(episodes) // MOST_EPISODES
    episodes = episodes[::every]
    steps = [episode["steps"] for episode in episodes]
    success = [int(episode["success"]) for episode in episodes]
    evaluations = data.get("evaluations", [])
    return {
        **data,
        "curve": {"steps": steps, "success": success},
        "evaluations": evaluations,
    }


def _portable(value: Any, out: Path) -> Any:
    """With the plan's names for this machine's folders, and null for what is not a number.

    JSON knows no NaN.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return value.replace(str(out), OUT).replace(str(HERE), PACKAGE)
    if isinstance(value, dict):
        return {key: _portable(part, out) for key, part in value.items()}
    if isinstance(value, list):
        return [_portable(part, out) for part in value]
    return value
