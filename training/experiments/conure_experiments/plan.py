"""The plan: which experiments there are, of which entries, in which order, at which scale, and what
each may cost.

`plan.yaml` is the data. A group there is one experiment's pattern; `over` says which values its
variables take.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from conure_core.errors import ConfigError, unknown_name
from conure_experiments.estimates import Rates, minutes_of
from conure_sim.envs.evaluation_sets import find_evaluation_task

SCALES = ("first", "second")
PLAN = Path(__file__).parent / "plan.yaml"
OUT, PACKAGE = (
    "$OUT",
    "$PACKAGE",
)  # the folder of the runs, and this one: no machine's paths are recorded
RESULTS = {
    "demos": "",
    "prior": "metrics.json",
    "rl": "curve.json",
    "evaluate": "",
    "experiment": "figures.json",
}


@dataclass(frozen=True)
class Command:
    """`conure VERB words`; `out` is what it writes, `result` the last file of it; paths begin with
    $OUT.
    """

    verb: str
    words: tuple[str, ...]
    out: str

    @property
    def result(self) -> str:
        return f"{self.out}/{RESULTS[self.verb]}".rstrip("/")

    @property
    def line(self) -> str:
        """The command as it is recorded."""
        return " ".join((self.verb, *self.words, f"out={self.out}"))


@dataclass(frozen=True)
class Entry:
    """One run of an experiment: commands by label, after the entries that it needs.

    `scale`: the smallest that it belongs to; `variables`: what distinguishes it within the
    experiment, by name; `alone`: takes the whole machine, because its time counts; `minutes`:
    estimated, of one core, or of the whole machine if alone; `digest`: of its commands and of those
    that it builds on.
    """

    experiment: str
    name: str
    scale: str
    variables: dict[str, str]
    needs: tuple[str, ...]
    commands: dict[str, Command]
    alone: bool
    minutes: float
    digest: str

    @property
    def key(self) -> str:
        return f"{self.experiment}/{self.name}"


@dataclass(frozen=True)
class Plan:
    """Every entry by key, in the order in which the ledger is filled."""

    entries: dict[str, Entry]

    @property
    def experiments(self) -> list[str]:
        return list(dict.fromkeys(entry.experiment for entry in self.entries.values()))

    def select(self, scale: str, experiment: str = "") -> list[Entry]:
        """The entries of a scale, of one experiment or (empty) of all; the second scale holds the
        first.

        Raises: ConfigError listing the valid names.
        """
        if scale not in SCALES:
            raise unknown_name("scale", scale, SCALES)
        if experiment and experiment not in self.experiments:
            raise unknown_name("experiment", experiment, [*self.experiments, "all", "plan", "page"])
        scales = SCALES[: SCALES.index(scale) + 1]
        chosen = (entry for entry in self.entries.values() if entry.scale in scales)
        return [entry for entry in chosen if experiment in ("", entry.experiment)]


def load_plan(path: str = "") -> Plan:
    """The plan in this file; empty: Conure's own. Raises: ConfigError for what cannot be a plan."""
    file = Path(path) if path else PLAN
    try:
        data = yaml.safe_load(file.read_text())
        rates, steps = Rates(**data["rates"]), data.get("steps", {})
        groups, earlier = data["groups"], data.get("earlier_names", {})
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigError(f"{file}: expected a plan with rates and groups ({error})") from error
    entries: dict[str, Entry] = {}
    for group in groups:
        for scale, choice in _choices(group):
            entry = _entry(group, scale, choice, steps)
            if entry.key not in entries:
                entries[entry.key] = replace(
                    entry, minutes=minutes_of(entry.commands.values(), entry.alone, rates)
                )
    return Plan(_digested(entries, earlier))


def _choices(group: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, tuple[str, str]]]]:
    """(scale, {variable: (name, text)}) of a group's entries, the first scale's before the
    second's.
    """
    for scale, variables in group["over"].items():
        if scale not in SCALES:
            raise unknown_name(f"scale in the group of {group['experiment']}", scale, SCALES)
        tables = [
            values.items() if isinstance(values, Mapping) else ((value, value) for value in values)
            for values in variables.values()
        ]
        for chosen in itertools.product(*tables):
            pairs = ((str(name), str(text)) for name, text in chosen)
            yield scale, dict(zip(variables, pairs, strict=True))


def _entry(
    group: Mapping[str, Any],
    scale: str,
    choice: dict[str, tuple[str, str]],
    steps: Mapping[str, int],
) -> Entry:
    names = {variable: name for variable, (name, _) in choice.items()}
    try:
        name = group["name"].format(**names)
        needs = {alias: key.format(**names) for alias, key in group.get("needs", {}).items()}
        paths = {alias: f"{OUT}/{key}" for alias, key in needs.items()} | {
            "here": f"{OUT}/{group['experiment']}/{name}"
        }
        texts = {variable: text.format(**names, **paths) for variable, (_, text) in choice.items()}
        texts |= _held_out(names, steps)
        words = {
            label: line.format(**texts, **paths).split()
            for label, line in group["commands"].items()
        }
    except KeyError as error:
        raise ConfigError(
            f"plan, {group['experiment']}: {error} is no variable, need or key of the group"
        ) from error
    commands = {label: _command(label, parts, paths["here"]) for label, parts in words.items()}
    alone = bool(group.get("alone", False))
    return Entry(
        group["experiment"], name, scale, names, tuple(needs.values()), commands, alone, 0.0, ""
    )


def _held_out(names: Mapping[str, str], steps: Mapping[str, int]) -> dict[str, str]:
    """What a variable `evaluation` stands for: a held-out task's settings, steps to learn it, seed
    to test it.
    """
    if "evaluation" not in names:
        return {}
    held_out = find_evaluation_task(names["evaluation"])
    if held_out.task not in steps:
        raise unknown_name("task in the steps of the plan", held_out.task, steps)
    settings = " ".join(f"{key}={value}" for key, value in held_out.settings().items())
    return {
        "evaluation": f"task={held_out.task} {settings}",
        "steps": str(steps[held_out.task]),
        "first_seed": str(held_out.seed),
    }


def _command(label: str, words: list[str], here: str) -> Command:
    verb, *rest = words
    if verb not in RESULTS:
        raise unknown_name("verb of a plan's command", verb, RESULTS)
    return Command(
        verb, tuple(rest), f"{here}/{label}.json" if verb == "evaluate" else f"{here}/{label}"
    )


def _digested(entries: dict[str, Entry], earlier: Mapping[str, str]) -> dict[str, Entry]:
    """The entries with their digests. `earlier`: names of words when records were made, by the
    present ones. Raises: ConfigError for a need that is no entry, or that needs itself.
    """
    done: dict[str, Entry] = {}

    def digest(key: str, above: tuple[str, ...]) -> str:
        if key in above:
            raise ConfigError(f"plan: {' needs '.join((*above, key))}")
        if key not in entries:
            raise unknown_name(f"entry that {above[-1]} needs:", key, entries)
        if key not in done:
            entry = entries[key]
            lines = [_as_recorded(command.line, earlier) for command in entry.commands.values()]
            text = json.dumps([lines, [digest(need, (*above, key)) for need in entry.needs]])
            done[key] = replace(entry, digest=hashlib.sha256(text.encode()).hexdigest()[:16])
        return done[key].digest

    for key in entries:
        digest(key, ())
    return {key: done[key] for key in entries}


def _as_recorded(line: str, earlier: Mapping[str, str]) -> str:
    """A command with the names that its words had when records were made."""
    for now, before in earlier.items():
        line = line.replace(now, before)
    return line


def hours(entries: Iterable[Entry], jobs: int) -> float:
    """Estimated hours of these entries, `jobs` at a time."""
    return sum(entry.minutes / (1 if entry.alone else jobs) for entry in entries) / 60
