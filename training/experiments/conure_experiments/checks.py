"""What each experiment must show, computed from the records.

A requirement is met, missed, or incomplete while entries are missing.
"""

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
    steps_to,
)
from conure_experiments.off_policy import measures
from conure_experiments.plan import Entry
from conure_training.evaluation.intervals import bracketed_interval, wilson_interval

VERDICTS = {True: "met", False: "missed", None: "incomplete"}
"""Words for `Requirement.met`."""
NEAR_ZERO = 0.10
PLAIN = ("scratch", "vae")  # the baselines that are to stay near 0
ALL_LABELS, ALL_DATA = "48000", "10000"
MOST_DEMONSTRATIONS = "30"
FEWEST_ON_BLOCKS = {"imitated": "BlockLift", "demonstrations": "4"}
BOTH_REWARDS = "0.5"
WHOLE, NOT_CLONED = "all", "no_cloning"
SKILL_BARS = {"BlockLift": 0.9, "BlockStack": 0.6}


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
        met=_verdict(complete, not behind),
    )


def _near_zero(runs: Runs) -> list[Requirement]:
    checks = []
    for method in runs.values("headline", "method"):
        if method not in PLAIN:
            continue
        by_task = _finals_by_task(runs, "headline", method=method)
        means = [float(np.mean(values)) for values in by_task if values]
        measured = f"at most {percent(max(means))}" if means else ""
        met = bool(means) and max(means) <= NEAR_ZERO
        what = f"final success of {method}, any task"
        wanted = f"near 0: at most {percent(NEAR_ZERO)}"
        verdict = _verdict(runs.complete("headline", method=method), met)
        checks.append(
            Requirement(
                what=what,
                wanted=wanted,
                found=measured,
                met=verdict,
            ),
        )
    return checks


def _finals_by_task(runs: Runs, experiment: str, **variables: str) -> list[list[float]]:
    """Final success of the runs with these values, for each evaluation task of the experiment."""
    found = []
    for task in runs.values(experiment, "evaluation"):
        records = runs.of(experiment, evaluation=task, **variables)
        found.append(finals(records))
    return found


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
                met=_verdict(complete, met),
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
            successes, trials = _count_successes(records, name)
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
                met=_verdict(complete, met),
            ),
        )
    return checks


def _count_successes(records: Iterable[Record], command: str) -> tuple[int, int]:
    rates = [record.results[command]["success"] for record in records]
    successes = sum(rate["successes"] for rate in rates)
    trials = sum(rate["trials"] for rate in rates)
    return successes, trials


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
                met=_verdict(complete, met),
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
        by_task = _finals_by_task(runs, "mismatch", learner=name)
        complete = runs.complete("mismatch", learner=name)
        checks.append(_rate_check(what, wanted, by_task, complete, holds))
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
        met = _verdict(runs.complete("precise"), bool(holds(mean)))
        checks.append(
            Requirement(
                what=what,
                wanted=wanted,
                found=measured,
                met=met,
            ),
        )
    return checks


def off_policy(runs: Runs) -> list[Requirement]:
    """DDPG that only learns against the agent whose data it has; what repairs it."""
    checks = []
    for environment in runs.values("off_policy", "environment"):
        for setting in runs.values("off_policy", "setting"):
            case = {"environment": environment, "setting": setting}
            results = off_policy_results(runs, **case)
            complete = runs.complete("off_policy", **case)
            checks += _off_policy_checks(f"{environment}, {setting}", results, complete)
            if setting == "imitation":
                checks.append(_repaired_check(environment, results, complete))
    return checks


def off_policy_results(runs: Runs, **case: str) -> list[dict[str, Any]]:
    """What the entries with this environment and setting measured, one a seed."""
    return [record.results["figures"] for record in runs.of("off_policy", **case)]


def _off_policy_checks(case: str, results: measures.Results, complete: bool) -> list[Requirement]:
    share = measures.share_of_behavioral(results) if results else float("nan")
    predicted = measures.highest_prediction(results) if results else float("nan")
    largest = results[0]["largest_return"] if results else 0.0
    return [
        Requirement(
            what=f"return of off-policy DDPG over the behavioral agent's, {case}",
            wanted=f"below {percent(0.5)}, random actions being 0",
            found=percent(share) if results else "",
            met=_verdict(complete, share < 0.5),
        ),
        Requirement(
            what=f"value that off-policy DDPG predicts on the data, {case}",
            wanted=f"above any possible return, {largest:g}",
            found=f"at most {predicted:.1f}" if results else "",
            met=_verdict(complete, predicted > largest),
        ),
    ]


def _repaired_check(environment: str, results: measures.Results, complete: bool) -> Requirement:
    name, share = measures.worst_repaired(results) if results else ("", float("nan"))
    names = ", ".join(measures.REPAIRED)
    return Requirement(
        what=f"return of {names} over the expert's, {environment}, imitation",
        wanted=f"each at least {percent(0.9)}, random actions being 0",
        found=f"at least {percent(share)} ({name})" if results else "",
        met=_verdict(complete, share >= 0.9),
    )


def montezuma(runs: Runs) -> list[Requirement]:
    """The worst seed's share of evaluated episodes with the first key, at the end of its steps."""
    checks = []
    for curriculum, label, wanted, holds in (
        ("reverse", "one demonstration", "at least 16 of 20", lambda worst: worst >= 0.8),
        ("none", "plain PPO", "0 of 20", lambda worst: worst == 0.0),
    ):
        found = finals(runs.of("montezuma", curriculum=curriculum))
        rates = ", ".join(f"{round(20 * rate)}" for rate in found)
        worst = min(found, default=0.0) if curriculum == "reverse" else max(found, default=0.0)
        complete = runs.complete("montezuma", curriculum=curriculum)
        checks.append(
            Requirement(
                what=f"first key from the true start, {label}",
                wanted=wanted,
                found=f"{rates} of 20, by seed" if found else "",
                met=_verdict(complete, bool(holds(worst))),
            )
        )
    return checks


def gail(runs: Runs) -> list[Requirement]:
    """Final success by demonstrations, the cloned policy's beside it. Experts succeed at most
    always, so 90 % of theirs is at most 90 %.
    """
    checks = []
    for task in runs.values("gail", "imitated"):
        for count in runs.values("gail", "demonstrations"):
            cloned, imitated = imitation_results(runs, task, count).values()
            found = ""
            if imitated:
                found = f"{rate_with_interval([imitated])}, cloned {rate_with_interval([cloned])}"
            complete = runs.complete("gail", imitated=task, demonstrations=count)
            bar = count == MOST_DEMONSTRATIONS
            checks.append(
                Requirement(
                    what=f"success after GAIL, {count} demonstrations of {task}",
                    wanted="at least 90 % of the expert's" if bar else "the table",
                    found=found,
                    met=_verdict(complete, not bar or float(np.mean(imitated or [0.0])) >= 0.9),
                )
            )
    return [*checks, _arm_seen(runs)]


def imitation_results(runs: Runs, task: str, demonstrations: str) -> dict[str, list[float]]:
    """Read the success of cloning and of GAIL.

    Args:
        runs: Entries and records of a scale.
        task: Name of the task.
        demonstrations: How many were imitated.

    Returns:
        By label, success of each run before its first episode, and at its end.
    """
    records = runs.of("gail", imitated=task, demonstrations=demonstrations)
    before = [float(curve.success[0]) for curve in curves(records)]
    return {"behavior cloning": before, "GAIL": finals(records)}


def reward_mixtures(runs: Runs) -> dict[str, list[Record]]:
    """The runs on BlockLift with 4 demonstrations, by lambda; those with 1 are those of `gail`."""
    shares = runs.values("gail_task_reward", "share")
    found = {share: runs.of("gail_task_reward", share=share) for share in shares}
    return {**found, "1": runs.of("gail", **FEWEST_ON_BLOCKS)}


def gail_task_reward(runs: Runs) -> list[Requirement]:
    """Final success with both rewards against that with each alone."""
    means = {}
    for share, records in reward_mixtures(runs).items():
        if records:
            means[share] = float(np.mean(finals(records)))
    parts = [f"lambda {share}: {percent(mean)}" for share, mean in means.items()]
    alone = [mean for share, mean in means.items() if share != BOTH_REWARDS]
    ahead = means.get(BOTH_REWARDS, 0.0) > max(alone, default=1.0)
    complete = runs.complete("gail_task_reward") and runs.complete("gail", **FEWEST_ON_BLOCKS)
    return [
        Requirement(
            what="success with GAIL's and the task's reward",
            wanted="lambda 0.5 ahead of 0 and of 1",
            found=", ".join(parts),
            met=_verdict(complete, ahead),
        )
    ]


def _arm_seen(runs: Runs) -> Requirement:
    """Final success where the discriminator sees the arm, and where it sees objects alone."""
    groups = {
        "the arm too": runs.of("gail", discriminator="arm"),
        "objects alone": runs.of("gail", **FEWEST_ON_BLOCKS),
    }
    parts = [
        f"{label} {rate_with_interval([finals(records)])}"
        for label, records in groups.items()
        if records
    ]
    complete = runs.complete("gail", discriminator="arm")
    return Requirement(
        what="success after GAIL by what the discriminator sees",
        wanted="the table",
        found=", ".join(parts),
        met=_verdict(complete and runs.complete("gail", **FEWEST_ON_BLOCKS), True),
    )


def visuomotor(runs: Runs) -> list[Requirement]:
    """Final success of each skill on the privileged state, and of lifting from pixels without each
    part; steps to 80 % in z against those in actions.
    """
    checks = []
    for skill in runs.values("visuomotor", "skill"):
        found = finals(
            [item for item in runs.of("visuomotor", skill=skill) if "rl" in item.results]
        )
        bar = SKILL_BARS.get(skill, 0.0)
        checks.append(
            Requirement(
                what=f"success of the visuomotor system on the state, {skill}",
                wanted=f"at least {percent(bar)}" if bar else "the table",
                found=rate_with_interval([found]) if found else "",
                met=_verdict(
                    runs.complete("visuomotor", skill=skill),
                    float(np.mean(found or [0.0])) >= bar,
                ),
            )
        )
    return [*checks, *_pixel_parts(runs), _in_z(runs)]


def _pixel_parts(runs: Runs) -> list[Requirement]:
    """Lifting from pixels, whole and without each part."""
    checks = []
    for part in runs.values("visuomotor", "part"):
        found = finals(runs.of("visuomotor", part=part))
        bar = 0.9 if part == WHOLE else 0.0
        checks.append(
            Requirement(
                what=f"success of lifting from pixels, {part.replace('_', ' ')}",
                wanted=f"at least {percent(bar)}" if bar else "the table",
                found=rate_with_interval([found]) if found else "",
                met=_verdict(
                    runs.complete("visuomotor", part=part),
                    float(np.mean(found or [0.0])) >= bar,
                ),
            )
        )
    return checks


def _in_z(runs: Runs) -> Requirement:
    """Steps to 80 % of the median run: the actor in z against the one in actions, neither of them
    cloned from the demonstrations.
    """
    steps, longest = {}, 0.0
    for part in (NOT_CLONED, "latent"):
        records = runs.of("visuomotor", part=part)
        reached = [steps_to(curve.steps, curve.success, 0.80) for curve in curves(records)]
        steps[part] = float(np.median(reached)) if reached else float("inf")
        longest = max(longest, budget(records) if records else 0.0)
    complete = all(runs.complete("visuomotor", part=part) for part in steps)
    found = (
        f"in z {_steps(steps['latent'], longest)}, in actions {_steps(steps[NOT_CLONED], longest)}"
    )
    return Requirement(
        what="steps to 80 % on lifting, the actor in z or in actions",
        wanted="in z at most a fifth",
        found=found if complete else "",
        met=_verdict(complete, 5 * steps["latent"] <= min(steps[NOT_CLONED], longest)),
    )


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
                parts.append(f"{critic} {_steps(value, longest)} ({runs_there[critic]})")
        complete = runs.complete("asymmetric", evaluation=task)
        what = f"steps to 80 %, critic on state or features, {task}"
        wanted = "state at most half of features"
        checks.append(
            Requirement(
                what=what,
                wanted=wanted,
                found=", ".join(parts),
                met=_verdict(complete, met),
            ),
        )
    return checks


def _steps(value: float, longest: float) -> str:
    return f"{value:,.0f}" if np.isfinite(value) else f"never in {longest:,.0f}"


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
    met = _verdict(runs.complete("transfer"), True)
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
                met=_verdict(complete, True),
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
    met = _verdict(runs.complete("fresh_start"), median < 10)
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


def _rate_check(
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
        met=_verdict(complete, bool(holds(mean))),
    )


def format_success(records: Iterable[Record], command: str) -> str:
    """Format the success of a command's episodes with Wilson's interval.

    Args:
        records: Records that hold counts of this command.
        command: Label of the command in the entry, such as "policy" or "calm".

    Returns:
        The rate over the episodes of all records, and its 95 % interval, in percent.
    """
    successes, trials = _count_successes(records, command)
    low, high = wilson_interval(successes, trials)
    rate = percent(successes / max(1, trials))
    return f"{rate} [{100 * low:.0f}, {100 * high:.0f}]"


def _verdict(complete: bool, met: bool) -> bool | None:
    return bool(met) if complete else None


CHECKS: dict[str, Callable[[Runs], list[Requirement]]] = {
    "headline": headline,
    "first_rollouts": first_rollouts,
    "data_size": data_size,
    "mismatch": mismatch,
    "precise": precise,
    "off_policy": off_policy,
    "asymmetric": asymmetric,
    "transfer": transfer,
    "auxiliary": auxiliary,
    "fresh_start": fresh_start,
    "montezuma": montezuma,
    "gail": gail,
    "gail_task_reward": gail_task_reward,
    "visuomotor": visuomotor,
}
