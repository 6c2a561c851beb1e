"""The plan: which experiments there are, of which entries, in which order, at which scale, and what
each may cost.

`plan.yaml` is the data. A group there is one experiment's pattern; `over` says which values its
variables take.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from conure_core.errors import ConfigError, unknown_name
from conure_core.runtime.resume import digest
from conure_experiments.estimates import Rates, minutes_of
from conure_sim.envs.evaluation_sets import find_evaluation_task

SCALES = ("first", "second")
PLAN = Path(__file__).parent / "plan.yaml"
OUT = "$OUT"
"""Stands for the folder of the runs: no machine's paths are recorded."""
PACKAGE = "$PACKAGE"
"""Stands for this package's folder."""
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
    """Every entry by key, in the order in which the entries run."""

    entries: dict[str, Entry]

    @property
    def experiments(self) -> list[str]:
        return list(dict.fromkeys(entry.experiment for entry in self.entries.values()))

    def select(self, scale: str, experiment: str = "") -> list[Entry]:
        """Choose the entries of a scale; the second scale holds the first.

        Args:
            scale: One of SCALES.
            experiment: Name of an experiment; empty: all.

        Returns:
            The entries, in the plan's order.

        Raises:
            ConfigError: Scale or experiment is unknown; the message lists the valid names.
        """
        if scale not in SCALES:
            raise unknown_name("scale", scale, SCALES)
        if experiment and experiment not in self.experiments:
            raise unknown_name("experiment", experiment, [*self.experiments, "all", "plan", "page"])
        scales = SCALES[: SCALES.index(scale) + 1]
        chosen = (entry for entry in self.entries.values() if entry.scale in scales)
        return [entry for entry in chosen if experiment in ("", entry.experiment)]


def load_plan(path: str = "") -> Plan:
    """Load the plan in this file; empty: Conure's own.

    Raises:
        ConfigError: The file cannot be read or is not a plan.
    """
    file = Path(path) if path else PLAN
    try:
        data = yaml.safe_load(file.read_text())
        rates = Rates(**data["rates"])
        steps = data.get("steps", {})
        groups = data["groups"]
        earlier = data.get("earlier_names", {})
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigError(f"{file}: expected a plan with rates and groups ({error})") from error
    entries: dict[str, Entry] = {}
    for group in groups:
        for scale, choice in _choices(group):
            entry = _entry(group, scale, choice, steps)
            if entry.key not in entries:
                minutes = minutes_of(entry.commands.values(), entry.alone, rates)
                entries[entry.key] = replace(entry, minutes=minutes)
    return Plan(_add_digests(entries, earlier))


def _choices(group: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, tuple[str, str]]]]:
    """(scale, {variable: (name, text)}) of a group's entries, the first scale's before the
    second's.
    """
    for scale, variables in group["over"].items():
        if scale not in SCALES:
            raise unknown_name(f"scale in the group of {group['experiment']}", scale, SCALES)
        tables = [_names_and_texts(values) for values in variables.values()]
        for pairs in itertools.product(*tables):
            yield scale, dict(zip(variables, pairs, strict=True))


def _names_and_texts(values: Mapping[Any, Any] | Iterable[Any]) -> list[tuple[str, str]]:
    """(name, text) of a variable's values; in a list each is its own text."""
    if isinstance(values, Mapping):
        return [(str(name), str(text)) for name, text in values.items()]
    return [(str(value), str(value)) for value in values]


def _entry(
    group: Mapping[str, Any],
    scale: str,
    choice: dict[str, tuple[str, str]],
    steps: Mapping[str, int],
) -> Entry:
    names = {variable: name for variable, (name, _) in choice.items()}
    try:
        name = group["name"].format(**names)
        needs = {}
        paths = {}
        for alias, key in group.get("needs", {}).items():
            needs[alias] = key.format(**names)
            paths[alias] = f"{OUT}/{needs[alias]}"
        paths["here"] = f"{OUT}/{group['experiment']}/{name}"
        texts = {variable: text.format(**names, **paths) for variable, (_, text) in choice.items()}
        texts |= _held_out(names, steps)
        words = {}
        for label, line in group["commands"].items():
            words[label] = line.format(**texts, **paths).split()
    except KeyError as error:
        raise ConfigError(
            f"plan, {group['experiment']}: {error} is not a variable, need or key of the group"
        ) from error
    commands = {label: _command(label, parts, paths["here"]) for label, parts in words.items()}
    return Entry(
        experiment=group["experiment"],
        name=name,
        scale=scale,
        variables=names,
        needs=tuple(needs.values()),
        commands=commands,
        alone=bool(group.get("alone", False)),
        minutes=0.0,
        digest="",
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
    settings = [f"{key}={value}" for key, value in held_out.settings().items()]
    return {
        "evaluation": f"task={held_out.task} {' '.join(settings)}",
        "steps": str(steps[held_out.task]),
        "first_seed": str(held_out.seed),
    }


def _command(
    label: str,
    words: list[str],
    here: str,
) -> Command:
    verb, *rest = words
    if verb not in RESULTS:
        raise unknown_name("verb of a plan's command", verb, RESULTS)
    out = f"{here}/{label}"
    if verb == "evaluate":
        out = f"{out}.json"
    return Command(verb, tuple(rest), out)


def _add_digests(entries: dict[str, Entry], earlier: Mapping[str, str]) -> dict[str, Entry]:
    """The entries with their digests. `earlier`: names of words when records were made, by the
    present ones. Raises: ConfigError for a need that is not an entry, or that needs itself.
    """
    done: dict[str, Entry] = {}

    def add(key: str, above: tuple[str, ...]) -> str:
        if key in above:
            raise ConfigError(f"plan: {' needs '.join((*above, key))}")
        if key not in entries:
            raise unknown_name(f"entry that {above[-1]} needs:", key, entries)
        if key not in done:
            entry = entries[key]
            lines = []
            for command in entry.commands.values():
                lines.append(_restore_earlier_names(command.line, earlier))
            needed = [add(need, (*above, key)) for need in entry.needs]
            done[key] = replace(entry, digest=digest([lines, needed])[:16])
        return done[key].digest

    for key in entries:
        add(key, ())
    return {key: done[key] for key in entries}


def _restore_earlier_names(line: str, earlier: Mapping[str, str]) -> str:
    """A command with the names that its words had when records were made."""
    for now, before in earlier.items():
        line = line.replace(now, before)
    return line


def hours(entries: Iterable[Entry], jobs: int) -> float:
    """Estimate the wall-clock hours of these entries.

    Args:
        entries: Entries to run.
        jobs: How many run side by side; one that runs alone counts in full.

    Returns:
        Hours.
    """
    minutes = [entry.minutes / (1 if entry.alone else jobs) for entry in entries]
    return sum(minutes) / 60
