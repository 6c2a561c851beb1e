"""The records: one JSON a finished run, written whole, from which tables and figures are made."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from conure_core.runtime.atomic_files import damaged, read_json, write_text
from conure_experiments.plan import OUT, PACKAGE, Entry
from conure_training.runtime.arrays import UNREADABLE
from conure_training.runtime.torch_files import load_torch

RUNS = "runs"
HERE = Path(__file__).parent


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
    return results / RUNS / f"{key}.json"


def read_records(results: Path, entries: Iterable[Entry]) -> dict[str, Record]:
    """The records of these entries, by key; one of other commands than the plan's is none.

    Raises: DataError for a file that cannot be read.
    """
    found = {}
    for entry in entries:
        record = read_record(record_path(results, entry.key))
        if record is not None and record.digest == entry.digest:
            found[entry.key] = record
    return found


def read_record(path: Path) -> Record | None:
    """None if there is none. Raises: DataError if it is damaged."""
    remedy = "remove it to run that entry again"
    try:
        data = read_json(path, remedy)
        return Record(**{field.name: data[field.name] for field in fields(Record)})
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        raise damaged(path, error, remedy) from error


def write_record(results: Path, record: Record) -> None:
    """Write the record, whole or not at all; a line for each of its fields."""
    lines = (
        f" {json.dumps(name)}: {json.dumps(value, allow_nan=False)}"
        for name, value in asdict(record).items()
    )
    write_text(record_path(results, record.key), "{\n" + ",\n".join(lines) + "\n}\n")


def make_record(
    entry: Entry, out: Path, seconds: dict[str, float], provenance: dict[str, Any]
) -> Record:
    """The record of a finished entry, read from what its commands left below `out`.

    `provenance`: commit, machine, versions, device. Raises: DataError for an output that cannot be
    read.
    """
    configs, results = {}, {}
    for label, command in entry.commands.items():
        configs[label], results[label] = _collected(command.verb, at(command.result, out), out)
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


def at(path: str, out: Path) -> Path:
    """A path of the plan on this machine."""
    return Path(resolved(path, out))


def resolved(word: str, out: Path) -> str:
    """A word of a command on this machine."""
    return word.replace(OUT, str(out)).replace(PACKAGE, str(HERE))


def _collected(verb: str, path: Path, out: Path) -> tuple[Any, Any]:
    """(configuration, results) of one command, with no path of this machine in them."""
    try:
        if verb == "demos":
            config = json.loads((path / "zarr.json").read_text())["attributes"]["config"]
            return _portable(config, out), {"episodes": config["episodes"]}
        data = json.loads(path.read_text())
        given = (
            data.pop("config", {})
            if verb != "prior"
            else _note(path.with_name("prior.pt"))["config"]
        )
        config = _portable(given, out)
        return config, _portable(_compact_curve(data) if verb == "rl" else data, out)
    except UNREADABLE as error:
        raise damaged(path, error, "remove its folder to run the entry again") from error


def _note(prior: Path) -> dict[str, Any]:
    """What was written into a prior's file beside its weights."""
    note: dict[str, Any] = load_torch(prior, "remove its folder to run the entry again")["note"]
    return note


def _compact_curve(data: dict[str, Any]) -> dict[str, Any]:
    """Of every episode only where it ended and whether it succeeded; evaluations as they are."""
    episodes = data.pop("episodes")
    curve = {"steps": [episode["steps"] for episode in episodes]}
    curve["success"] = [int(episode["success"]) for episode in episodes]
    return {**data, "curve": curve, "evaluations": data.get("evaluations", [])}


def _portable(value: Any, out: Path) -> Any:
    """With the plan's names for this machine's folders, and null for what is no number: JSON knows
    no NaN.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return value.replace(str(out), OUT).replace(str(HERE), PACKAGE)
    if isinstance(value, dict):
        return {key: _portable(part, out) for key, part in value.items()}
    return [_portable(part, out) for part in value] if isinstance(value, list) else value
