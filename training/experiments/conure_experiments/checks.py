"""What each experiment must show, computed from the records: met, missed, or incomplete while
entries are missing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conure_experiments.ledger import Record
from conure_experiments.measures import (
    Curve,
    area_under_curve,
    curve_of,
    final_success,
    steps_to,
)
from conure_experiments.plan import Entry
from conure_training.evaluation.intervals import bracketed_interval, wilson_interval

MET, MISSED, INCOMPLETE = "met", "missed", "incomplete"
NEAR_ZERO = 0.10
PLAIN = ("scratch", "vae")  # the rivals that are to stay near 0
ALL_LABELS, ALL_DATA = "48000", "10000"


@dataclass(frozen=True)
class Check:
    """One thing to show: what, how much is asked for, what was measured, and whether that
    suffices.
    """

    what: str
    wanted: str
    measured: str
    state: str


@dataclass(frozen=True)
class Runs:
    """The entries of a scale and the records of those that are filled, by key."""

    entries: Sequence[Entry]
    records: Mapping[str, Record]

    def of(self, experiment: str, **variables: str) -> list[Record]:
        """The records of an experiment whose variables have these values."""
        return [
            self.records[entry.key]
            for entry in self._entries(experiment, variables)
            if entry.key in self.records
        ]

    def complete(self, experiment: str, **variables: str) -> bool:
        """Whether every such entry is filled; False if there is none."""
        entries = self._entries(experiment, variables)
        return bool(entries) and all(entry.key in self.records for entry in entries)

    def values(self, experiment: str, variable: str) -> list[str]:
        """The values that a variable takes, in the plan's order."""
        found = [
            entry.variables[variable]
            for entry in self.entries
            if variable in entry.variables and entry.experiment == experiment
        ]
        return list(dict.fromkeys(found))

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
    return [
        area_under_curve(curve.steps, curve.success, budget([record]))
        for record, curve in zip(records, curves(records), strict=True)
    ]


def finals(records: Iterable[Record]) -> list[float]:
    """Success at the end of each run."""
    return [final_success(curve.success) for curve in curves(records)]


def rate_with_interval(strata: Sequence[Sequence[float]]) -> str:
    """Mean of all runs with its interval over seeds, in percent."""
    scores = [np.array(scores, dtype=float) for scores in strata if len(scores)]
    return percent(float(np.mean(np.concatenate(scores)))) + bracketed_interval(
        scores, lambda share: f"{100 * share:.0f}"
    )


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def headline(runs: Runs) -> list[Check]:
    """The method against each rival on every task; rivals that have no way to the reward; final
    success.
    """
    rivals = [method for method in runs.values("headline", "method") if method != "latent"]
    return [*(_ahead_of(runs, rival) for rival in rivals), *_near_zero(runs), *_final(runs)]


def _ahead_of(runs: Runs, rival: str) -> Check:
    tasks, margins = runs.values("headline", "evaluation"), {}
    for task in tasks:
        ours, theirs = (
            runs.of("headline", method=method, evaluation=task) for method in ("latent", rival)
        )
        if ours and theirs:
            margins[task] = float(np.mean(areas(ours)) - np.mean(areas(theirs)))
    complete = all(runs.complete("headline", method=method) for method in ("latent", rival))
    behind = [task for task, margin in margins.items() if margin <= 0]
    smallest = min(margins, key=lambda task: margins[task], default="")
    measured = f"smallest margin {margins[smallest]:+.2f} ({smallest})" if smallest else ""
    what = f"area under the curve, latent minus {rival}"
    return Check(what, "above 0 on every task", measured, _state(complete, not behind))


def _near_zero(runs: Runs) -> list[Check]:
    checks = []
    for method in [method for method in runs.values("headline", "method") if method in PLAIN]:
        by_task = [
            finals(runs.of("headline", method=method, evaluation=task))
            for task in runs.values("headline", "evaluation")
        ]
        means = [float(np.mean(values)) for values in by_task if values]
        measured = f"at most {percent(max(means))}" if means else ""
        met = bool(means) and max(means) <= NEAR_ZERO
        what = f"final success of {method}, any task"
        checks.append(
            Check(
                what,
                f"near 0: at most {percent(NEAR_ZERO)}",
                measured,
                _state(runs.complete("headline", method=method), met),
            )
        )
    return checks


def _final(runs: Runs) -> list[Check]:
    checks = []
    for kind, least in (("pick", 0.85), ("place", 0.75)):
        tasks = [task for task in runs.values("headline", "evaluation") if task.startswith(kind)]
        by_task = [finals(runs.of("headline", method="latent", evaluation=task)) for task in tasks]
        complete = bool(tasks) and all(
            runs.complete("headline", method="latent", evaluation=task) for task in tasks
        )
        filled = [values for values in by_task if values]
        means = [float(np.mean(values)) for values in filled]
        measured = (
            f"{rate_with_interval(filled)}, lowest task {percent(min(means))}" if filled else ""
        )
        met = bool(filled) and float(np.mean(np.concatenate(filled))) >= least
        checks.append(
            Check(
                f"final success of latent, {kind}",
                f"at least {percent(least)}",
                measured,
                _state(complete, met),
            )
        )
    return checks


def first_rollouts(runs: Runs) -> list[Check]:
    """The policy at step 0 inside the prior's interval, and the other way round."""
    checks = []
    for task in runs.values("first_rollouts", "evaluation"):
        records = runs.of("first_rollouts", evaluation=task)
        counts = {name: _counted(records, name) for name in ("policy", "prior")}
        intervals = {name: wilson_interval(*count) for name, count in counts.items()}
        rates = {name: count[0] / max(1, count[1]) for name, count in counts.items()}
        pairs = (("policy", "prior"), ("prior", "policy"))
        met = any(intervals[one][0] <= rates[other] <= intervals[one][1] for one, other in pairs)
        parts = [
            f"{name} {percent(rates[name])} [{100 * intervals[name][0]:.0f},"
            f" {100 * intervals[name][1]:.0f}]"
            for name in counts
        ]
        measured = ", ".join(parts) if records else ""
        complete = runs.complete("first_rollouts", evaluation=task)
        checks.append(
            Check(
                f"success at step 0, {task}",
                "the same within the interval",
                measured,
                _state(complete, met),
            )
        )
    return checks


def _counted(records: Iterable[Record], command: str) -> tuple[int, int]:
    rates = [record.results[command]["success"] for record in records]
    return sum(rate["successes"] for rate in rates), sum(rate["trials"] for rate in rates)


def data_size(runs: Runs) -> list[Check]:
    """Rising with the data, by less for the last doubling than for the first."""
    checks = []
    for task in runs.values("data_size", "evaluation"):
        sizes = sizes_of_data(runs, task)
        means = {size: float(np.mean(areas(records))) for size, records in sizes.items() if records}
        complete = runs.complete("data_size", evaluation=task) and runs.complete(
            "headline", method="latent", evaluation=task
        )
        names = list(means)
        met = (
            len(names) > 2
            and means[names[-1]] > means[names[0]]
            and (means[names[-1]] - means[names[-2]] < means[names[1]] - means[names[0]])
        )
        measured = ", ".join(f"{int(size):,}: {mean:.2f}" for size, mean in means.items())
        wanted = "rises, less at the end than at the beginning"
        checks.append(
            Check(
                f"area under the curve by trajectories, {task}",
                wanted,
                measured,
                _state(complete, met),
            )
        )
    return checks


def sizes_of_data(runs: Runs, task: str) -> dict[str, list[Record]]:
    """The runs on a task by trajectories of their prior; those of all are the headline's."""
    sizes = {
        size: runs.of("data_size", evaluation=task, trajectories=size)
        for size in runs.values("data_size", "trajectories")
    }
    return {**sizes, ALL_DATA: runs.of("headline", method="latent", evaluation=task)}


def mismatch(runs: Runs) -> list[Check]:
    """A prior that cannot open its gripper: the paper's method, ours, and ours with the escape."""
    checks = []
    for name, wanted, holds in (
        ("original", f"near 0: at most {percent(NEAR_ZERO)}", lambda mean: mean <= NEAR_ZERO),
        ("latent", "the table", lambda _: True),
        ("escape", "above 70 %", lambda mean: mean > 0.70),
    ):
        by_task = [
            finals(runs.of("mismatch", learner=name, evaluation=task))
            for task in runs.values("mismatch", "evaluation")
        ]
        checks.append(
            _rate_check(
                f"final success, {name}",
                wanted,
                by_task,
                runs.complete("mismatch", learner=name),
                holds,
            )
        )
    return checks


def precise(runs: Runs) -> list[Check]:
    """Excess of the negative log-likelihood over the entropy, nats."""
    records = runs.of("precise")
    checks = []
    for flow, wanted, holds in (
        ("ours", "at most 0.5 nats", lambda excess: excess <= 0.5),
        ("authors", "above 5 nats", lambda excess: excess > 5.0),
    ):
        excess = [record.results["figures"][f"excess_nats_{flow}"] for record in records]
        mean = float(np.mean(excess)) if excess else float("nan")
        measured = f"{mean:.2f} nats, {len(excess)} seeds" if excess else ""
        checks.append(
            Check(
                f"likelihood short of the entropy, {flow}",
                wanted,
                measured,
                _state(runs.complete("precise"), bool(holds(mean))),
            )
        )
    return checks


def asymmetric(runs: Runs) -> list[Check]:
    """Steps to 80 %: the median run's, infinite where a run never gets there."""
    checks = []
    for task in runs.values("asymmetric", "evaluation"):
        steps, runs_there, longest = {}, {}, 0.0
        for critic in ("state", "features"):
            records = runs.of("asymmetric", critic=critic, evaluation=task)
            reached = [steps_to(curve.steps, curve.success, 0.80) for curve in curves(records)]
            steps[critic] = float(np.median(reached)) if reached else float("nan")
            runs_there[critic] = (
                f"{int(np.isfinite(reached).sum())} of {len(reached)} runs got there"
            )
            longest = max(longest, budget(records) if records else 0.0)
        met = 2 * steps["state"] <= min(
            steps["features"], longest
        )  # one that never gets there took longer than that
        measured = ", ".join(
            f"{critic} {_steps(value, longest)} ({runs_there[critic]})"
            for critic, value in steps.items()
            if not np.isnan(value)
        )
        complete = runs.complete("asymmetric", evaluation=task)
        wanted = "state at most half of features"
        checks.append(
            Check(
                f"steps to 80 %, critic on state or features, {task}",
                wanted,
                measured,
                _state(complete, met),
            )
        )
    return checks


def _steps(value: float, longest: float) -> str:
    return f"{value:,.0f}" if np.isfinite(value) else f"never in {longest:,.0f}"


def transfer(runs: Runs) -> list[Check]:
    """The table: success of each training randomization where nothing and where everything is
    perturbed.
    """
    parts = []
    for training in runs.values("transfer", "training"):
        records = runs.of("transfer", training=training)
        if records:
            rates = (counted_rate(records, world) for world in ("calm", "perturbed"))
            parts.append(f"{training} {' / '.join(rates)}")
    complete = runs.complete("transfer")
    return [
        Check(
            "success calm / perturbed, by training",
            "the table",
            ", ".join(parts),
            _state(complete, True),
        )
    ]


def auxiliary(runs: Runs) -> list[Check]:
    """The ablation: final success and area by labels."""
    checks = []
    for task in runs.values("auxiliary", "evaluation"):
        table = labels_of(runs, task)
        parts = [
            f"{int(labels):,}: {np.mean(finals(records)):.0%}"
            for labels, records in table.items()
            if records
        ]
        complete = runs.complete("auxiliary", evaluation=task) and runs.complete(
            "headline", method="latent", evaluation=task
        )
        checks.append(
            Check(
                f"final success by labelled scenes, {task}",
                "the table",
                ", ".join(parts),
                _state(complete, True),
            )
        )
    return checks


def labels_of(runs: Runs, task: str) -> dict[str, list[Record]]:
    """The runs on a task by labelled scenes; those with all of them are the headline's."""
    found = {
        labels: runs.of("auxiliary", evaluation=task, labels=labels)
        for labels in runs.values("auxiliary", "labels")
    }
    return {**found, ALL_LABELS: runs.of("headline", method="latent", evaluation=task)}


def fresh_start(runs: Runs) -> list[Check]:
    """Demonstrations, prior and learning until an evaluation shows 90 %, added; infinite where none
    does.
    """
    minutes = [sum(seconds) / 60 for seconds in fresh_starts(runs).values()]
    median = float(np.median(minutes)) if minutes else float("nan")
    reached = f"{np.isfinite(minutes).sum()} of {len(minutes)} runs reached it"
    measured = (
        ""
        if not minutes
        else f"{median:.1f} minutes, {reached}"
        if np.isfinite(median)
        else f"never; {reached}"
    )
    return [
        Check(
            "from no data to 90 % on Lift, median",
            "under 10 minutes",
            measured,
            _state(runs.complete("fresh_start"), median < 10),
        )
    ]


def fresh_starts(runs: Runs) -> dict[str, tuple[float, ...]]:
    """Seconds of demonstrations, prior and learning until 90 % of every run that has all three
    recorded, by entry.
    """
    found = {}
    for record in runs.of("fresh_start"):
        keys = (f"fresh_start/{part}-{record.variables['seed']}" for part in ("demos", "prior"))
        before = [runs.records[key] for key in keys if key in runs.records]
        if "evaluation" in record.variables and len(before) == 2:
            earlier = (sum(part.seconds.values()) for part in before)
            found[record.entry] = (*earlier, seconds_to(record, 0.90))
    return found


def seconds_to(record: Record, level: float) -> float:
    """Wall-clock of a run of `conure rl` until an evaluation first shows `level`, starting the
    program included.

    Where the curve holds no times, its share of the steps is taken as that of the time.
    """
    curve, total = curve_of(record.results["rl"]), record.seconds["rl"]
    reached = np.flatnonzero(curve.success >= level)
    if not len(reached):
        return float("inf")
    first = int(reached[0])
    if np.isfinite(curve.seconds).all():
        return float(total - curve.seconds[-1] + curve.seconds[first])
    return float(total * curve.steps[first] / max(curve.steps[-1], budget([record])))


def _rate_check(
    what: str,
    wanted: str,
    by_task: Sequence[Sequence[float]],
    complete: bool,
    holds: Callable[[float], Any],
) -> Check:
    filled = [values for values in by_task if len(values)]
    mean = float(np.mean(np.concatenate(filled))) if filled else float("nan")
    return Check(
        what,
        wanted,
        rate_with_interval(filled) if filled else "",
        _state(complete, bool(holds(mean))),
    )


def counted_rate(records: Iterable[Record], command: str) -> str:
    """Success of a command's episodes in all these records, with Wilson's interval, in percent."""
    count = _counted(records, command)
    low, high = wilson_interval(*count)
    return f"{percent(count[0] / max(1, count[1]))} [{100 * low:.0f}, {100 * high:.0f}]"


def _state(complete: bool, met: bool) -> str:
    return (MET if met else MISSED) if complete else INCOMPLETE


CHECKS: dict[str, Callable[[Runs], list[Check]]] = {
    "headline": headline,
    "first_rollouts": first_rollouts,
    "data_size": data_size,
    "mismatch": mismatch,
    "precise": precise,
    "asymmetric": asymmetric,
    "transfer": transfer,
    "auxiliary": auxiliary,
    "fresh_start": fresh_start,
}
