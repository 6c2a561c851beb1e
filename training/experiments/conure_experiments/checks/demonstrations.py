"""What the experiments on learning from demonstrations and task rewards must show."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from conure_core.runtime.requirement import Requirement
from conure_experiments.checks.runs import (
    Runs,
    budget,
    curves,
    finals,
    format_steps,
    percent,
    rate_with_interval,
    verdict_of,
)
from conure_experiments.ledger import Record
from conure_experiments.measures import (
    steps_to,
)
from conure_experiments.off_policy import measures

DQFD_BASELINES = ("no_demonstrations", "imitation", "spiking", "human_replay")
"""Of DQfD; it is to be ahead of the first two at the end as well."""
MOST_DEMONSTRATIONS = "30"
FEWEST_ON_BLOCKS = {"imitated": "BlockLift", "demonstrations": "4"}
BOTH_REWARDS = "0.5"
WHOLE, NOT_CLONED = "all", "no_cloning"
SKILL_BARS = {"BlockLift": 0.9, "BlockStack": 0.6}


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


def operator(runs: Runs) -> list[Requirement]:
    """Nothing that a person records is lost, and its actions do again what they did."""
    results = [record.results["figures"] for record in runs.of("operator")]
    complete = runs.complete("operator")
    asked = sum(result["config"]["episodes"] for result in results)
    imported = sum(result["imported"] for result in results)
    lost = sum(result["lost_messages"] for result in results)
    replayed = sum(result["successes_replayed"] for result in results)
    lifted = sum(result["replays_that_lift"] for result in results)
    share = lifted / max(1, replayed)
    return [
        Requirement(
            what="episodes of a scripted operator through the graph that are in the data set",
            wanted="all, without a lost message",
            found=f"{imported} of {asked}, {lost} messages lost" if results else "",
            met=verdict_of(complete, imported == asked and lost == 0),
        ),
        Requirement(
            what="its successes whose replayed actions lift an object in the simulated scene",
            wanted=f"at least {percent(0.95)}",
            found=f"{percent(share)}, {lifted} of {replayed}" if results else "",
            met=verdict_of(complete, share >= 0.95),
        ),
    ]


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
            met=verdict_of(complete, share < 0.5),
        ),
        Requirement(
            what=f"value that off-policy DDPG predicts on the data, {case}",
            wanted=f"above any possible return, {largest:g}",
            found=f"at most {predicted:.1f}" if results else "",
            met=verdict_of(complete, predicted > largest),
        ),
    ]


def _repaired_check(environment: str, results: measures.Results, complete: bool) -> Requirement:
    name, share = measures.worst_repaired(results) if results else ("", float("nan"))
    names = ", ".join(measures.REPAIRED)
    return Requirement(
        what=f"return of {names} over the expert's, {environment}, imitation",
        wanted=f"each at least {percent(0.9)}, random actions being 0",
        found=f"at least {percent(share)} ({name})" if results else "",
        met=verdict_of(complete, share >= 0.9),
    )


def montezuma(runs: Runs) -> list[Requirement]:
    """The worst seed's share of evaluated episodes with the first key, at the end of its steps;
    the best seed's of plain PPO.
    """
    learned = ("reverse", "one demonstration", "at least 16 of 20", lambda rates: min(rates) >= 0.8)
    plain = ("none", "plain PPO", "0 of 20", lambda rates: max(rates) == 0.0)
    what = "first key from the true start"
    of_20 = "{:.0f} of 20".format
    return [
        _by_curriculum(runs, "montezuma", what, case, lambda rate: of_20(20 * rate))
        for case in (learned, plain)
    ]


def drawer(runs: Runs) -> list[Requirement]:
    """As montezuma, from the true start distribution; uniform resets are reported beside it."""
    cases = (
        ("reverse_forward", "one demonstration", "at least 80 %", lambda rates: min(rates) >= 0.8),
        ("none", "plain PPO", "0 %", lambda rates: max(rates) == 0.0),
        ("uniform", "uniform resets", "reported", lambda rates: True),
    )
    what = "PlaceInDrawer from the true start distribution"
    return [_by_curriculum(runs, "drawer", what, case, percent) for case in cases]


def _by_curriculum(
    runs: Runs,
    experiment: str,
    what: str,
    case: tuple[str, str, str, Callable[[list[float]], bool]],
    text: Callable[[float], str],
) -> Requirement:
    """Final success by seed, of one curriculum: its name, its label, what is wanted, whether final
    rates are that.
    """
    curriculum, label, wanted, holds = case
    found = finals(runs.of(experiment, curriculum=curriculum))
    rates = ", ".join(text(rate) for rate in found)
    complete = runs.complete(experiment, curriculum=curriculum)
    return Requirement(
        what=f"{what}, {label}",
        wanted=wanted,
        found=f"{rates}, by seed" if found else "",
        met=verdict_of(complete, bool(found and holds(found))),
    )


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
                    met=verdict_of(complete, not bar or float(np.mean(imitated or [0.0])) >= 0.9),
                )
            )
    return [*checks, _arm_seen(runs)]


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
        met=verdict_of(complete and runs.complete("gail", **FEWEST_ON_BLOCKS), True),
    )


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
            met=verdict_of(complete, ahead),
        )
    ]


def dqfd(runs: Runs) -> list[Requirement]:
    """DQfD after pretraining and at the end against its baselines; its ablations as they are."""
    checks = []
    for setting in runs.values("dqfd", "setting"):
        rates = {}
        for variant in runs.values("dqfd", "variant"):
            records = runs.of("dqfd", setting=setting, variant=variant)
            if records:
                first = float(np.mean([curve.success[0] for curve in curves(records)]))
                rates[variant] = (first, float(np.mean(finals(records))))
        checks += [
            _dqfd_ahead(runs, setting, rates, "after pretraining", DQFD_BASELINES),
            _dqfd_ahead(runs, setting, rates, "at the end", DQFD_BASELINES[:2]),
        ]
        shown = [f"{name} {first:.0%}, {last:.0%}" for name, (first, last) in rates.items()]
        checks.append(
            Requirement(
                what=f"success after pretraining and at the end, {setting}",
                wanted="the table",
                found="; ".join(shown),
                met=verdict_of(runs.complete("dqfd", setting=setting), True),
            )
        )
    return checks


def _dqfd_ahead(
    runs: Runs,
    setting: str,
    rates: Mapping[str, tuple[float, float]],
    when: str,
    baselines: Sequence[str],
) -> Requirement:
    """DQfD against these baselines; `rates`: mean success after pretraining and at the end."""
    column = 0 if when == "after pretraining" else 1
    theirs = {name: rates[name][column] for name in baselines if name in rates}
    ours = rates["dqfd"][column] if "dqfd" in rates else float("nan")
    found = ""
    met = False
    if theirs and "dqfd" in rates:
        best = max(theirs, key=lambda name: theirs[name])
        found = f"{percent(ours)}; {best} {percent(theirs[best])}"
        met = ours > theirs[best]
    variants = ("dqfd", *baselines)
    complete = all(runs.complete("dqfd", setting=setting, variant=name) for name in variants)
    return Requirement(
        what=f"success of dqfd {when}, {setting}",
        wanted=f"above {', '.join(baselines)}",
        found=found,
        met=verdict_of(complete, met),
    )


def visuomotor(runs: Runs) -> list[Requirement]:
    """Final success of each skill on the privileged state, and of lifting from pixels without each
    part; steps to 80 % in z against those in actions.
    """
    checks = []
    for skill in runs.values("visuomotor", "skill"):
        trained = [item for item in runs.of("visuomotor", skill=skill) if "rl" in item.results]
        checks.append(
            _success_of(
                f"the visuomotor system on the state, {skill}",
                finals(trained),
                SKILL_BARS.get(skill, 0.0),
                runs.complete("visuomotor", skill=skill),
            )
        )
    for part in runs.values("visuomotor", "part"):
        checks.append(
            _success_of(
                f"lifting from pixels, {part.replace('_', ' ')}",
                finals(runs.of("visuomotor", part=part)),
                0.9 if part == WHOLE else 0.0,
                runs.complete("visuomotor", part=part),
            )
        )
    return [*checks, _in_z(runs)]


def _success_of(what: str, found: list[float], bar: float, complete: bool) -> Requirement:
    """Mean success against a bar; 0: it is only shown."""
    return Requirement(
        what=f"success of {what}",
        wanted=f"at least {percent(bar)}" if bar else "the table",
        found=rate_with_interval([found]) if found else "",
        met=verdict_of(complete, float(np.mean(found or [0.0])) >= bar),
    )


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
    in_z, in_actions = (format_steps(steps[part], longest) for part in ("latent", NOT_CLONED))
    found = f"in z {in_z}, in actions {in_actions}"
    return Requirement(
        what="steps to 80 % on lifting, the actor in z or in actions",
        wanted="in z at most a fifth",
        found=found if complete else "",
        met=verdict_of(complete, 5 * steps["latent"] <= min(steps[NOT_CLONED], longest)),
    )
