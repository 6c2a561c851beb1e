"""The table of results in README.md, made of the same records as the page of results."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from conure_experiments.checks import (
    CHECKS,
    INCOMPLETE,
    MET,
    MISSED,
    Check,
    Runs,
    budget,
    counted_rate,
    curves,
    finals,
    fresh_starts,
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


def write_table(plan: Plan, results: Path, readme: Path) -> Path:
    """Write the table of these records into a README; returns its path.

    Raises: DataError if the file is not there or lacks the markers.
    """
    return write_block(readme, TABLE, results_table(plan, results))


def results_table(plan: Plan, results: Path) -> str:
    """The table of the first pass, and how many of its checks are met.

    An experiment that lacks runs has no row.
    """
    runs = runs_of(plan, results, SCALES[0])
    rows = []
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
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines) + f"\n\n{_judged(runs)}"


def _held_out(runs: Runs, kind: str) -> tuple[str, ...]:
    """Final success on the tasks of a kind: RL in z, the best baseline, SAC from scratch."""
    tasks = [name for name in runs.values("headline", "evaluation") if name.startswith(kind)]
    by_method = {
        method: [runs.of("headline", method=method, evaluation=task) for task in tasks]
        for method in runs.values("headline", "method")
    }
    ours = by_method.pop("latent")
    best = max(by_method, key=lambda method: float(np.mean(_all_finals(by_method[method]))))
    beside = [
        f"{NAMES.get(method, method)} {_rate(by_method[method])}"
        for method in dict.fromkeys((best, "scratch"))
    ]
    records = [record for part in ours for record in part]
    what = f"{KINDS[kind]}, {budget(records):,.0f} steps"
    return what, f"**{_rate(ours)}**", "; ".join(beside), _cost(records)


def _all_finals(strata: Iterable[Sequence[Record]]) -> list[float]:
    return [value for records in strata for value in finals(records)]


def _rate(strata: Iterable[Sequence[Record]]) -> str:
    return rate_with_interval([finals(records) for records in strata])


def _first_rollouts(runs: Runs) -> tuple[str, ...]:
    """The prior's samples, before any reward, and the first evaluation of SAC from scratch."""
    task = runs.values("first_rollouts", "evaluation")[0]
    records = runs.of("first_rollouts", evaluation=task)
    starts = [curve.success[0] for curve in curves(runs.of("headline", method="scratch"))]
    beside = (
        f"SAC from scratch {percent(float(np.mean(starts)))} in {len(starts)} first evaluations"
    )
    what = "One of these picks by the prior alone, before any reward"
    return what, f"**{counted_rate(records, 'prior')}**", beside, _cost(records)


def _fresh_start(runs: Runs) -> tuple[str, ...]:
    minutes = np.array([sum(seconds) for seconds in fresh_starts(runs).values()]) / 60
    there = int(np.isfinite(minutes).sum())
    found = (
        f"**{np.median(minutes):.1f} minutes** ({minutes.min():.1f} to {minutes.max():.1f}),"
        f" {there} of {len(minutes)} runs"
    )
    records = [record for record in runs.of("fresh_start") if "evaluation" in record.variables]
    what = "From no data at all to 90 % on `Lift`: demonstrations, prior and RL"
    return what, found, "", f"all of it, {_machines(records)}"


def _transfer(runs: Runs) -> tuple[str, ...]:
    """Policies in worlds beyond every range that training draws from, by their randomization."""
    rates = {
        training: counted_rate(runs.of("transfer", training=training), "perturbed")
        for training in runs.values("transfer", "training")
    }
    ours = rates.pop("full")
    beside = "; ".join(f"`randomization={name}` {rate}" for name, rate in rates.items())
    what = "Pick where light, friction, delays and camera lie beyond `randomization=full`"
    cost = _cost(runs.of("asymmetric", critic="state"))
    return what, f"**{ours}**, trained under `full`", beside, cost


def _shared(runs: Runs) -> tuple[str, ...]:
    """What the rows on unseen objects share: demonstrations and prior."""
    made = {record.entry: record for record in runs.of("shared")}
    episodes = sum(made["demos"].results["demos"]["episodes"].values())
    what = f"{episodes:,} scripted demonstrations and the prior, which the rows above share"
    parts = (f"{_minutes([made[name]])} {name}" for name in ("demos", "prior"))
    return what, "", "", f"{' + '.join(parts)}, {_machines([made['demos'], made['prior']])}"


def _cost(records: Sequence[Record]) -> str:
    return f"{_minutes(records)} a run, {len(records)} runs, {_machines(records)}"


def _minutes(records: Iterable[Record]) -> str:
    """Median wall-clock time of these records, evaluations included."""
    seconds = [sum(record.seconds.values()) for record in records]
    return f"{float(np.median(seconds)) / 60:.0f} min"


def _machines(records: Iterable[Record]) -> str:
    kinds = {f"{record.machine['cores']}-core {record.machine['cpu']}" for record in records}
    return " or ".join(sorted(kind.removesuffix(" Processor") for kind in kinds))


def _judged(runs: Runs) -> str:
    """How many of the checks that the plan was written for are met, and which are not."""
    experiments = dict.fromkeys(entry.experiment for entry in runs.entries)
    checks = [check for name in experiments if name in CHECKS for check in CHECKS[name](runs)]
    by_state: Mapping[str, list[Check]] = {
        state: [check for check in checks if check.state == state]
        for state in (MET, MISSED, INCOMPLETE)
    }
    missed = "; ".join(
        f"{check.what}, wanted: {check.wanted}, measured: {check.measured}"
        for check in by_state[MISSED]
    )
    parts = [f"Of {len(checks)} checks {len(by_state[MET])} are met."]
    if missed:
        parts.append(f"Missed: {missed}.")
    if by_state[INCOMPLETE]:
        parts.append(f"{len(by_state[INCOMPLETE])} wait for runs.")
    if {record.device for record in runs.records.values()} == {"cpu"}:
        parts.append("No run used a GPU.")
    return " ".join(parts)
