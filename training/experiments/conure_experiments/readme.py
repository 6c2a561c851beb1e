"""The table of results in README.md, made of the same records as the page of results."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from conure_core.runtime.requirement import Requirement
from conure_experiments.checks import CHECKS
from conure_experiments.checks.priors import (
    fresh_starts,
)
from conure_experiments.checks.runs import (
    Runs,
    budget,
    curves,
    finals,
    format_success,
    percent,
    rate_with_interval,
)
from conure_experiments.ledger import Record
from conure_experiments.page import runs_of
from conure_experiments.plan import SCALES, Plan
from conure_training.runtime.marked_blocks import write_block

TABLE = "results"
NAMES = {"scratch": "SAC from scratch", "bc_sac": "behavior cloning, then SAC"}
KINDS = {
    "pick": "Pick an object that training never showed",
    "place": "Place it in a container that training never showed",
}


def write_table(
    plan: Plan,
    results: Path,
    readme: Path,
) -> Path:
    """Write the table of these records into a README.

    Args:
        plan: The plan.
        results: Folder of the records.
        readme: A Markdown file with the markers of the block `results`.

    Returns:
        The README's path.

    Raises:
        DataError: The file is not there or lacks the markers.
    """
    return write_block(readme, TABLE, results_table(plan, results))


def results_table(plan: Plan, results: Path) -> str:
    """Make the table of the first scale, and say how many of its checks are met.

    An experiment that lacks runs has no row.

    Args:
        plan: The plan.
        results: Folder of the records.

    Returns:
        Markdown.
    """
    runs = runs_of(plan, results, SCALES[0])
    rows: list[tuple[str, ...]] = []
    if runs.complete("headline"):
        rows += [_held_out(runs, kind) for kind in KINDS]
    if runs.complete("first_rollouts") and runs.complete("headline", method="scratch"):
        rows.append(_first_rollouts(runs))
    if runs.complete("shared"):
        rows.append(_shared(runs))
    if runs.complete("fresh_start"):
        rows.append(_fresh_start(runs))
    if runs.complete("transfer") and runs.complete("asymmetric", critic="state"):
        rows.append(_transfer(runs))
    head = ("measured in simulation", "RL in the prior's z", "beside it", "cost")
    table = [head, ("---",) * len(head), *rows]
    lines = [f"| {' | '.join(cells)} |" for cells in table]
    text = "\n".join(lines)
    return f"{text}\n\n{_summarize_checks(runs)}"


def _held_out(runs: Runs, kind: str) -> tuple[str, ...]:
    """Final success on the tasks of a kind: RL in z, the best baseline, SAC from scratch."""
    by_method: dict[str, list[list[Record]]] = {}
    for method in runs.values("headline", "method"):
        by_method[method] = []
        for task in runs.values("headline", "evaluation"):
            if task.startswith(kind):
                records = runs.of("headline", method=method, evaluation=task)
                by_method[method].append(records)
    ours = by_method.pop("latent")
    means = {name: _mean_final(strata) for name, strata in by_method.items()}
    best = max(means, key=lambda method: means[method])
    beside = []
    for method in dict.fromkeys((best, "scratch")):
        name = NAMES.get(method, method)
        beside.append(f"{name} {_rate(by_method[method])}")
    records = [record for part in ours for record in part]
    return (
        f"{KINDS[kind]}, {budget(records):,.0f} steps",
        f"**{_rate(ours)}**",
        "; ".join(beside),
        _cost(records),
    )


def _mean_final(strata: Iterable[Sequence[Record]]) -> float:
    """Final success, the mean over all runs of all strata."""
    values: list[float] = []
    for records in strata:
        values += finals(records)
    return float(np.mean(values))


def _rate(strata: Iterable[Sequence[Record]]) -> str:
    return rate_with_interval([finals(records) for records in strata])


def _first_rollouts(runs: Runs) -> tuple[str, ...]:
    """The prior's samples, before any reward, and the first evaluation of SAC from scratch."""
    task = runs.values("first_rollouts", "evaluation")[0]
    records = runs.of("first_rollouts", evaluation=task)
    scratch = runs.of("headline", method="scratch")
    starts = [curve.success[0] for curve in curves(scratch)]
    rate = percent(float(np.mean(starts)))
    return (
        "One of these picks by the prior alone, before any reward",
        f"**{format_success(records, 'prior')}**",
        f"SAC from scratch {rate} in {len(starts)} first evaluations",
        _cost(records),
    )


def _fresh_start(runs: Runs) -> tuple[str, ...]:
    seconds = [sum(parts) for parts in fresh_starts(runs).values()]
    minutes = np.array(seconds) / 60
    there = int(np.isfinite(minutes).sum())
    found = (
        f"**{np.median(minutes):.1f} minutes** ({minutes.min():.1f} to {minutes.max():.1f}),"
        f" {there} of {len(minutes)} runs"
    )
    records = [record for record in runs.of("fresh_start") if "evaluation" in record.variables]
    return (
        "From no data at all to 90 % on `Lift`: demonstrations, prior and RL",
        found,
        "",
        f"all of it, {_machines(records)}",
    )


def _transfer(runs: Runs) -> tuple[str, ...]:
    """Policies in worlds beyond every range that training draws from, by their randomization."""
    rates = {}
    for training in runs.values("transfer", "training"):
        records = runs.of("transfer", training=training)
        rates[training] = format_success(records, "perturbed")
    ours = rates.pop("full")
    beside = [f"`randomization={name}` {rate}" for name, rate in rates.items()]
    trained = runs.of("asymmetric", critic="state")
    return (
        "Pick where light, friction, delays and camera lie beyond `randomization=full`",
        f"**{ours}**, trained under `full`",
        "; ".join(beside),
        _cost(trained),
    )


def _shared(runs: Runs) -> tuple[str, ...]:
    """What the rows on unseen objects share: demonstrations and prior."""
    made = {record.entry: record for record in runs.of("shared")}
    demos = made["demos"]
    prior = made["prior"]
    episodes = sum(demos.results["demos"]["episodes"].values())
    minutes = f"{_minutes([demos])} demos + {_minutes([prior])} prior"
    return (
        f"{episodes:,} scripted demonstrations and the prior, which the rows above share",
        "",
        "",
        f"{minutes}, {_machines([demos, prior])}",
    )


def _cost(records: Sequence[Record]) -> str:
    return f"{_minutes(records)} a run, {len(records)} runs, {_machines(records)}"


def _minutes(records: Iterable[Record]) -> str:
    """Median wall-clock time of these records, evaluations included."""
    seconds = [sum(record.seconds.values()) for record in records]
    return f"{float(np.median(seconds)) / 60:.0f} min"


def _machines(records: Iterable[Record]) -> str:
    kinds = set()
    for record in records:
        cpu = record.machine["cpu"].removesuffix(" Processor")
        kinds.add(f"{record.machine['cores']}-core {cpu}")
    return " or ".join(sorted(kinds))


def _summarize_checks(runs: Runs) -> str:
    """How many of the checks that the plan was written for are met, and which are not."""
    checks: list[Requirement] = []
    for name in dict.fromkeys(entry.experiment for entry in runs.entries):
        if name in CHECKS:
            checks += CHECKS[name](runs)
    met = [check for check in checks if check.met]
    missed = [
        f"{check.what}, wanted: {check.wanted}, measured: {check.found}"
        for check in checks
        if check.met is False
    ]
    waiting = len(checks) - len(met) - len(missed)
    parts = [f"Of {len(checks)} checks {len(met)} are met."]
    if missed:
        parts.append(f"Missed: {'; '.join(missed)}.")
    if waiting:
        parts.append(f"{waiting} wait for runs.")
    devices = {record.device for record in runs.records.values()}
    if devices == {"cpu"}:
        parts.append("No run used a GPU.")
    return " ".join(parts)
