"""Records of a scale by experiment and variables, and the figures that every check is made of."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conure_core.runtime.requirement import Requirement
from conure_experiments.ledger import Record
from conure_experiments.measures import (
    Curve,
    area_under_curve,
    curve_of,
    final_success,
)
from conure_experiments.plan import Entry
from conure_training.evaluation.intervals import bracketed_interval, wilson_interval

VERDICTS = {True: "met", False: "missed", None: "incomplete"}
"""Words for `Requirement.met`."""


@dataclass(frozen=True)
class Runs:
    """The entries of a scale and the records of those that are filled, by key."""

    entries: Sequence[Entry]
    records: Mapping[str, Record]

    def of(self, experiment: str, **variables: str) -> list[Record]:
        """The records of an experiment whose variables have these values."""
        found = []
        for entry in self._entries(experiment, variables):
            if entry.key in self.records:
                found.append(self.records[entry.key])
        return found

    def complete(self, experiment: str, **variables: str) -> bool:
        """Whether every such entry is filled; False if there is none."""
        entries = self._entries(experiment, variables)
        return bool(entries) and all(entry.key in self.records for entry in entries)

    def values(self, experiment: str, variable: str) -> list[str]:
        """List the values that a variable takes.

        Args:
            experiment: Name of the experiment.
            variable: Name of the variable.

        Returns:
            Every value once, in the plan's order.
        """
        found: dict[str, None] = {}
        for entry in self.entries:
            if entry.experiment == experiment and variable in entry.variables:
                value = entry.variables[variable]
                found[value] = None
        return list(found)

    def _entries(self, experiment: str, variables: Mapping[str, str]) -> list[Entry]:
        return [
            entry
            for entry in self.entries
            if entry.experiment == experiment and variables.items() <= entry.variables.items()
        ]


def curves(records: Iterable[Record]) -> list[Curve]:
    """The learning curves of runs of `conure rl`."""
    return [curve_of(record.results["rl"]) for record in records]


def budget(records: Iterable[Record]) -> float:
    """The environment steps that these runs were given."""
    return max(float(record.configs["rl"]["steps"]) for record in records)


def areas(records: Sequence[Record]) -> list[float]:
    """Area under each run's curve, over the steps that it was given."""
    found = []
    for record in records:
        curve = curve_of(record.results["rl"])
        found.append(area_under_curve(curve.steps, curve.success, budget([record])))
    return found


def finals(records: Iterable[Record]) -> list[float]:
    """Success at the end of each run."""
    return [final_success(curve.success) for curve in curves(records)]


def rate_with_interval(strata: Sequence[Sequence[float]]) -> str:
    """Mean of all runs with its interval over seeds, in percent."""
    scores = [np.array(scores, dtype=float) for scores in strata if len(scores)]
    mean = float(np.mean(np.concatenate(scores)))
    interval = bracketed_interval(scores, lambda share: f"{100 * share:.0f}")
    return percent(mean) + interval


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def finals_by_task(runs: Runs, experiment: str, **variables: str) -> list[list[float]]:
    """Final success of the runs with these values, for each evaluation task of the experiment."""
    found = []
    for task in runs.values(experiment, "evaluation"):
        records = runs.of(experiment, evaluation=task, **variables)
        found.append(finals(records))
    return found


def count_successes(records: Iterable[Record], command: str) -> tuple[int, int]:
    rates = [record.results[command]["success"] for record in records]
    successes = sum(rate["successes"] for rate in rates)
    trials = sum(rate["trials"] for rate in rates)
    return successes, trials


def format_steps(value: float, longest: float) -> str:
    return f"{value:,.0f}" if np.isfinite(value) else f"never in {longest:,.0f}"


def rate_requirement(
    what: str,
    wanted: str,
    by_task: Sequence[Sequence[float]],
    complete: bool,
    holds: Callable[[float], Any],
) -> Requirement:
    filled = [values for values in by_task if len(values)]
    mean = float("nan")
    measured = ""
    if filled:
        mean = float(np.mean(np.concatenate(filled)))
        measured = rate_with_interval(filled)
    return Requirement(
        what=what,
        wanted=wanted,
        found=measured,
        met=verdict_of(complete, bool(holds(mean))),
    )


def format_success(records: Iterable[Record], command: str) -> str:
    """Format the success of a command's episodes with Wilson's interval.

    Args:
        records: Records that hold counts of this command.
        command: Label of the command in the entry, such as "policy" or "calm".

    Returns:
        The rate over the episodes of all records, and its 95 % interval, in percent.
    """
    successes, trials = count_successes(records, command)
    low, high = wilson_interval(successes, trials)
    rate = percent(successes / max(1, trials))
    return f"{rate} [{100 * low:.0f}, {100 * high:.0f}]"


def verdict_of(complete: bool, met: bool) -> bool | None:
    return bool(met) if complete else None
