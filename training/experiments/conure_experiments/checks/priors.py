"""What the experiments on priors, and on RL in their latent space, must show."""

import numpy as np

from conure_core.runtime.requirement import Requirement
from conure_experiments.checks.runs import (
    Runs,
    areas,
    budget,
    count_successes,
    curves,
    finals,
    finals_by_task,
    format_steps,
    format_success,
    percent,
    rate_requirement,
    rate_with_interval,
    verdict_of,
)
from conure_experiments.ledger import Record
from conure_experiments.measures import (
    curve_of,
    steps_to,
)
from conure_training.evaluation.intervals import wilson_interval

NEAR_ZERO = 0.10
PLAIN = ("scratch", "vae")  # the baselines that are to stay near 0
ALL_LABELS, ALL_DATA = "48000", "10000"


def headline(runs: Runs) -> list[Requirement]:
    """The method against each baseline on every task; baselines without a way to the reward; final
    success.
    """
    baselines = [method for method in runs.values("headline", "method") if method != "latent"]
    ahead = [_ahead_of(runs, baseline) for baseline in baselines]
    return [*ahead, *_near_zero(runs), *_final(runs)]


def _ahead_of(runs: Runs, baseline: str) -> Requirement:
    margins = {}
    for task in runs.values("headline", "evaluation"):
        ours = runs.of("headline", method="latent", evaluation=task)
        theirs = runs.of("headline", method=baseline, evaluation=task)
        if ours and theirs:
            margins[task] = float(np.mean(areas(ours)) - np.mean(areas(theirs)))
    complete = all(runs.complete("headline", method=method) for method in ("latent", baseline))
    behind = [task for task, margin in margins.items() if margin <= 0]
    measured = ""
    if margins:
        smallest = min(margins, key=lambda task: margins[task])
        measured = f"smallest margin {margins[smallest]:+.2f} ({smallest})"
    what = f"area under the curve, latent minus {baseline}"
    return Requirement(
        what=what,
        wanted="above 0 on every task",
        found=measured,
        met=verdict_of(complete, not behind),
    )


def _near_zero(runs: Runs) -> list[Requirement]:
    checks = []
    for method in runs.values("headline", "method"):
        if method not in PLAIN:
            continue
        by_task = finals_by_task(runs, "headline", method=method)
        means = [float(np.mean(values)) for values in by_task if values]
        measured = f"at most {percent(max(means))}" if means else ""
        met = bool(means) and max(means) <= NEAR_ZERO
        what = f"final success of {method}, any task"
        wanted = f"near 0: at most {percent(NEAR_ZERO)}"
        verdict = verdict_of(runs.complete("headline", method=method), met)
        checks.append(
            Requirement(
                what=what,
                wanted=wanted,
                found=measured,
                met=verdict,
            ),
        )
    return checks


def _final(runs: Runs) -> list[Requirement]:
    checks = []
    for kind, least in (("pick", 0.85), ("place", 0.75)):
        tasks = [task for task in runs.values("headline", "evaluation") if task.startswith(kind)]
        filled = []
        complete = bool(tasks)
        for task in tasks:
            values = finals(runs.of("headline", method="latent", evaluation=task))
            if values:
                filled.append(values)
            complete &= runs.complete("headline", method="latent", evaluation=task)
        measured = ""
        met = False
        if filled:
            lowest = min(float(np.mean(values)) for values in filled)
            measured = f"{rate_with_interval(filled)}, lowest task {percent(lowest)}"
            met = float(np.mean(np.concatenate(filled))) >= least
        what = f"final success of latent, {kind}"
        wanted = f"at least {percent(least)}"
        checks.append(
            Requirement(
                what=what,
                wanted=wanted,
                found=measured,
                met=verdict_of(complete, met),
            ),
        )
    return checks


def first_rollouts(runs: Runs) -> list[Requirement]:
    """The policy at step 0 inside the prior's interval, and the other way round."""
    checks = []
    for task in runs.values("first_rollouts", "evaluation"):
        records = runs.of("first_rollouts", evaluation=task)
        rates = {}
        intervals = {}
        for name in ("policy", "prior"):
            successes, trials = count_successes(records, name)
            rates[name] = successes / max(1, trials)
            intervals[name] = wilson_interval(successes, trials)
        met = False
        for name, other in (("policy", "prior"), ("prior", "policy")):
            low, high = intervals[name]
            met |= low <= rates[other] <= high
        parts = []
        for name, (low, high) in intervals.items():
            rate = percent(rates[name])
            parts.append(f"{name} {rate} [{100 * low:.0f}, {100 * high:.0f}]")
        measured = ", ".join(parts) if records else ""
        complete = runs.complete("first_rollouts", evaluation=task)
        what = f"success at step 0, {task}"
        wanted = "the same within the interval"
        checks.append(
            Requirement(
                what=what,
                wanted=wanted,
                found=measured,
                met=verdict_of(complete, met),
            ),
        )
    return checks


def data_size(runs: Runs) -> list[Requirement]:
    """Rising with the data, by less for the last doubling than for the first."""
    checks = []
    for task in runs.values("data_size", "evaluation"):
        means = {}
        for size, records in sizes_of_data(runs, task).items():
            if records:
                means[size] = float(np.mean(areas(records)))
        complete = runs.complete("data_size", evaluation=task) and runs.complete(
            "headline", method="latent", evaluation=task
        )
        met = False
        if len(means) > 2:
            first, second, *_ = means.values()
            *_, last_but_one, last = means.values()
            met = last > first and last - last_but_one < second - first
        measured = ", ".join(f"{int(size):,}: {mean:.2f}" for size, mean in means.items())
        what = f"area under the curve by trajectories, {task}"
        wanted = "rises, less at the end than at the beginning"
        checks.append(
            Requirement(
                what=what,
                wanted=wanted,
                found=measured,
                met=verdict_of(complete, met),
            ),
        )
    return checks


def sizes_of_data(runs: Runs, task: str) -> dict[str, list[Record]]:
    """Group the runs on a task by the trajectories of their prior.

    Args:
        runs: Entries and records of a scale.
        task: Name of the evaluation task.

    Returns:
        Records by number of trajectories; those of all are the headline's.
    """
    found = {}
    for size in runs.values("data_size", "trajectories"):
        found[size] = runs.of("data_size", evaluation=task, trajectories=size)
    found[ALL_DATA] = runs.of("headline", method="latent", evaluation=task)
    return found


def mismatch(runs: Runs) -> list[Requirement]:
    """A prior that cannot open its gripper: the paper's method, ours, and ours with the escape."""
    checks = []
    for name, wanted, holds in (
        ("original", f"near 0: at most {percent(NEAR_ZERO)}", lambda mean: mean <= NEAR_ZERO),
        ("latent", "the table", lambda _: True),
        ("escape", "above 70 %", lambda mean: mean > 0.70),
    ):
        what = f"final success, {name}"
        by_task = finals_by_task(runs, "mismatch", learner=name)
        complete = runs.complete("mismatch", learner=name)
        checks.append(rate_requirement(what, wanted, by_task, complete, holds))
    return checks


def precise(runs: Runs) -> list[Requirement]:
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
        what = f"likelihood short of the entropy, {flow}"
        met = verdict_of(runs.complete("precise"), bool(holds(mean)))
        checks.append(
            Requirement(
                what=what,
                wanted=wanted,
                found=measured,
                met=met,
            ),
        )
    return checks


def asymmetric(runs: Runs) -> list[Requirement]:
    """Steps to 80 %: the median run's, infinite where a run never gets there."""
    checks = []
    for task in runs.values("asymmetric", "evaluation"):
        steps = {}
        runs_there = {}
        longest = 0.0
        for critic in ("state", "features"):
            records = runs.of("asymmetric", critic=critic, evaluation=task)
            reached = [steps_to(curve.steps, curve.success, 0.80) for curve in curves(records)]
            steps[critic] = float(np.median(reached)) if reached else float("nan")
            count = int(np.isfinite(reached).sum())
            runs_there[critic] = f"{count} of {len(reached)} runs got there"
            longest = max(longest, budget(records) if records else 0.0)
        # A run that never gets there takes longer than the longest.
        met = 2 * steps["state"] <= min(steps["features"], longest)
        parts = []
        for critic, value in steps.items():
            if not np.isnan(value):
                parts.append(f"{critic} {format_steps(value, longest)} ({runs_there[critic]})")
        complete = runs.complete("asymmetric", evaluation=task)
        what = f"steps to 80 %, critic on state or features, {task}"
        wanted = "state at most half of features"
        checks.append(
            Requirement(
                what=what,
                wanted=wanted,
                found=", ".join(parts),
                met=verdict_of(complete, met),
            ),
        )
    return checks


def transfer(runs: Runs) -> list[Requirement]:
    """The table: success of each training randomization where nothing and where everything is
    perturbed.
    """
    parts = []
    for training in runs.values("transfer", "training"):
        records = runs.of("transfer", training=training)
        if records:
            calm = format_success(records, "calm")
            perturbed = format_success(records, "perturbed")
            parts.append(f"{training} {calm} / {perturbed}")
    what = "success calm / perturbed, by training"
    met = verdict_of(runs.complete("transfer"), True)
    return [
        Requirement(
            what=what,
            wanted="the table",
            found=", ".join(parts),
            met=met,
        )
    ]


def auxiliary(runs: Runs) -> list[Requirement]:
    """The ablation: final success and area by labels."""
    checks = []
    for task in runs.values("auxiliary", "evaluation"):
        parts = []
        for labels, records in labels_of(runs, task).items():
            if records:
                parts.append(f"{int(labels):,}: {np.mean(finals(records)):.0%}")
        complete = runs.complete("auxiliary", evaluation=task) and runs.complete(
            "headline", method="latent", evaluation=task
        )
        what = f"final success by labelled scenes, {task}"
        checks.append(
            Requirement(
                what=what,
                wanted="the table",
                found=", ".join(parts),
                met=verdict_of(complete, True),
            ),
        )
    return checks


def labels_of(runs: Runs, task: str) -> dict[str, list[Record]]:
    """Group the runs on a task by labelled scenes.

    Args:
        runs: Entries and records of a scale.
        task: Name of the evaluation task.

    Returns:
        Records by number of labelled scenes; those with all of them are the headline's.
    """
    found = {}
    for labels in runs.values("auxiliary", "labels"):
        found[labels] = runs.of("auxiliary", evaluation=task, labels=labels)
    found[ALL_LABELS] = runs.of("headline", method="latent", evaluation=task)
    return found


def fresh_start(runs: Runs) -> list[Requirement]:
    """Demonstrations, prior and learning until an evaluation shows 90 %, added; infinite where none
    does.
    """
    minutes = [sum(seconds) / 60 for seconds in fresh_starts(runs).values()]
    median = float(np.median(minutes)) if minutes else float("nan")
    reached = f"{np.isfinite(minutes).sum()} of {len(minutes)} runs reached it"
    if not minutes:
        measured = ""
    elif np.isfinite(median):
        measured = f"{median:.1f} minutes, {reached}"
    else:
        measured = f"never; {reached}"
    what = "from no data to 90 % on Lift, median"
    met = verdict_of(runs.complete("fresh_start"), median < 10)
    return [
        Requirement(
            what=what,
            wanted="under 10 minutes",
            found=measured,
            met=met,
        )
    ]


def fresh_starts(runs: Runs) -> dict[str, tuple[float, ...]]:
    """Seconds of demonstrations, prior and learning until 90 % of every run that has all three
    recorded, by entry.
    """
    found: dict[str, tuple[float, ...]] = {}
    for record in runs.of("fresh_start"):
        if "evaluation" not in record.variables:
            continue
        seed = record.variables["seed"]
        demos = runs.records.get(f"fresh_start/demos-{seed}")
        prior = runs.records.get(f"fresh_start/prior-{seed}")
        if demos is not None and prior is not None:
            demos_s = sum(demos.seconds.values())
            prior_s = sum(prior.seconds.values())
            found[record.entry] = (demos_s, prior_s, _seconds_to(record, 0.90))
    return found


def _seconds_to(record: Record, level: float) -> float:
    """Wall-clock seconds of a run of `conure rl` until an evaluation first shows `level`.

    Starting the program is included. Where the curve holds no times, its share of the steps is
    taken as that of the time. Infinite where no evaluation shows it.
    """
    curve = curve_of(record.results["rl"])
    total = record.seconds["rl"]
    reached = np.flatnonzero(curve.success >= level)
    if not len(reached):
        return float("inf")
    first = int(reached[0])
    if np.isfinite(curve.seconds).all():
        return float(total - curve.seconds[-1] + curve.seconds[first])
    longest = max(curve.steps[-1], budget([record]))
    return float(total * curve.steps[first] / longest)
