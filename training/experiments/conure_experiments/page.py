"""`docs/results/README.md` and its plots, made of the plan and the records and of nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from conure_core.runtime.atomic_files import write_text
from conure_experiments.checks import CHECKS
from conure_experiments.checks.demonstrations import (
    off_policy_results,
)
from conure_experiments.checks.priors import (
    fresh_starts,
)
from conure_experiments.checks.runs import (
    VERDICTS,
    Runs,
    areas,
    curves,
    finals,
)
from conure_experiments.ledger import Record, read_records
from conure_experiments.measures import steps_to
from conure_experiments.off_policy.measures import table
from conure_experiments.plan import SCALES, Plan
from conure_experiments.plots import write_plots
from conure_training.demo.summary import auxiliary_task
from conure_training.evaluation.intervals import bracketed_interval, interquartile_mean

PAGE, FIGURES = "README.md", "figures"
TITLES = {
    "headline": "Held-out tasks: prior and RL against every baseline, same steps",
    "first_rollouts": "First rollouts",
    "data_size": "Data size",
    "mismatch": "Mismatch: a prior that has only grasped, on a place task",
    "precise": "Precise demonstrations, sigma 0.03",
    "off_policy": "Truly off-policy: agents that learn from data which others collected",
    "operator": "A scripted operator teleoperates through the graph: recordings, and their replays",
    "asymmetric": "Asymmetric against symmetric critic, randomization full",
    "transfer": "Transfer to perturbed worlds, by the randomization of training",
    "auxiliary": "Auxiliary object-position task: fewer labels",
    "fresh_start": "From nothing to 90 % on Lift",
    "montezuma": "Montezuma's Revenge: the first key, from one demonstration",
    "drawer": "A long task with a sparse reward, PlaceInDrawer, from one demonstration",
    "gail": "Adversarial imitation on the privileged state, by demonstrations",
    "gail_task_reward": "Adversarial imitation and the task's reward",
    "dqfd": "Deep Q-learning from demonstrations against the same learner without its parts",
    "visuomotor": "Reinforcement and imitation learning together, from pixels and in z",
}
OPERATOR = ("recorded", "seen_to_succeed", "lost_messages", "imported", "successes_replayed", "replays_that_lift")  # fmt: skip
HEAD = """# Results

Made by `python training/experiments/run.py page` from the files in `runs/`, one a run; nothing here is typed by hand.
[How they are filled](../ledger.md).

Success is that of evaluations on fixed seeds, in simulation, with objects and containers that the prior has never seen.
Seeds are those of learning: all runs of an experiment share their demonstrations and priors; those that start from
nothing make their own, one a seed. Intervals in brackets are 95 %: stratified bootstrap over seeds, none where a task
has a single run; of rates of episodes Wilson's. IQM is the interquartile mean over all runs. Areas are mean success
over the steps given, from 0 to 1.
"""


def write_page(plan: Plan, results: Path) -> Path:
    """Write the page and its plots.

    Args:
        plan: The plan.
        results: Folder of the records, which the page is written to.

    Returns:
        The page's path.
    """
    runs = _largest(plan, results)
    plots = write_plots(runs, results / FIGURES)
    write_text(results / PAGE, _page_text(plan, results, plots))
    return results / PAGE


def _page_text(
    plan: Plan,
    results: Path,
    plots: Mapping[str, Sequence[str]],
) -> str:
    """The page. `plots`: file names by experiment."""
    runs = _largest(plan, results)
    parts = [HEAD, _note(runs)]
    for scale in SCALES:
        of_scale = runs_of(plan, results, scale)
        if scale == SCALES[0] or any(record.scale == scale for record in of_scale.records.values()):
            parts.append(_verdicts(of_scale, scale))
    for experiment in plan.experiments:
        files = plots.get(experiment, ())
        details = DETAILS[experiment](runs) if experiment in DETAILS else ""
        if files or details:
            pictures = "\n".join(f"![{experiment}]({FIGURES}/{name})" for name in files)
            blocks = (f"## {TITLES.get(experiment, experiment)}", details.rstrip(), pictures)
            parts.append("\n\n".join(block for block in blocks if block) + "\n")
    parts.append(_origin(runs))
    return "\n".join(part for part in parts if part)


def runs_of(
    plan: Plan,
    results: Path,
    scale: str,
) -> Runs:
    """Read the entries of a scale with their records.

    Args:
        plan: The plan.
        results: Folder of the records.
        scale: One of SCALES.

    Returns:
        Entries and records.
    """
    entries = plan.select(scale)
    return Runs(entries, read_records(results, entries))


def _largest(plan: Plan, results: Path) -> Runs:
    """Of the second scale once it has a record of its own."""
    runs = runs_of(plan, results, SCALES[-1])
    begun = any(record.scale == SCALES[-1] for record in runs.records.values())
    return runs if begun else runs_of(plan, results, SCALES[0])


def _note(runs: Runs) -> str:
    """What the encoder learns from beyond the demonstrations, wherever results are shown."""
    for record in runs.of("shared"):
        if record.entry == "prior":
            scenes = int(record.configs["prior"]["static_scenes"])
            return f"{auxiliary_task(_prior_metrics(record), scenes)['note']}\n"
    return ""


def _prior_metrics(record: Record) -> dict[str, float]:
    return {
        name: np.nan if value is None else value for name, value in record.results["prior"].items()
    }


def _verdicts(runs: Runs, scale: str) -> str:
    filled = f"{len(runs.records)} of {len(runs.entries)} entries filled"
    rows = []
    for experiment in dict.fromkeys(entry.experiment for entry in runs.entries):
        for check in CHECKS[experiment](runs) if experiment in CHECKS else ():
            rows.append(
                (experiment, check.what, check.wanted, check.found, f"**{VERDICTS[check.met]}**")
            )
    table = _table(("experiment", "what", "must show", "measured", ""), rows)
    return f"## What is shown, {scale} pass\n\n{filled}.\n\n{table}"


def _headline(runs: Runs) -> str:
    rows = []
    for method in runs.values("headline", "method"):
        by_task = [
            runs.of("headline", method=method, evaluation=task)
            for task in runs.values("headline", "evaluation")
        ]
        filled = [records for records in by_task if records]
        if not filled:
            continue
        scores = [_iqm([measure(records) for records in filled]) for measure in (areas, finals)]
        reached = [
            steps_to(curve.steps, curve.success, 0.8)
            for records in filled
            for curve in curves(records)
        ]
        got = f"{np.isfinite(reached).sum()} of {len(reached)}"
        rows.append(
            (method, scores[0], scores[1], _steps(reached), got, str(sum(map(len, filled))))
        )
    return _table(
        (
            "method",
            "area, IQM",
            "final success, IQM",
            "steps to 80 %, median",
            "runs that got there",
            "runs",
        ),
        rows,
    )


def _iqm(strata: Sequence[Sequence[float]]) -> str:
    arrays = [np.array(scores, dtype=float) for scores in strata]
    mean = interquartile_mean(np.concatenate(arrays))
    return f"{mean:.2f}" + bracketed_interval(
        arrays, lambda score: f"{score:.2f}", interquartile_mean
    )


def _steps(reached: Sequence[float]) -> str:
    median = float(np.median(reached))
    return f"{median:,.0f}" if np.isfinite(median) else "never"


def _fresh_start(runs: Runs) -> str:
    rows = [
        (
            entry,
            *(
                f"{part / 60:.1f}" if np.isfinite(part) else "never"
                for part in (*seconds, sum(seconds))
            ),
        )
        for entry, seconds in fresh_starts(runs).items()
    ]
    head = (
        "object, seed",
        "demonstrations, min",
        "prior, min",
        "RL until 90 %, min",
        "together, min",
    )
    return _table(head, rows) if rows else ""


def _precise(runs: Runs) -> str:
    rows = []
    for record in runs.of("precise"):
        metrics = record.results["figures"]
        names = ("entropy_nats", "nll_nats_ours", "nll_nats_authors")
        rows.append((str(record.seed), *(f"{metrics[name]:.2f}" for name in names)))
    return (
        _table(("seed", "entropy, nats", "ours, NLL", "authors' clamp, NLL"), rows) if rows else ""
    )


def _off_policy(runs: Runs) -> str:
    by_case = {}
    for environment in runs.values("off_policy", "environment"):
        for setting in runs.values("off_policy", "setting"):
            results = off_policy_results(runs, environment=environment, setting=setting)
            by_case[environment, setting] = results
    rows = table(by_case)
    head = (
        "environment",
        "experiment",
        "agent",
        "return",
        "random 0, expert 1",
        "true value",
        "predicted",
        "predicted on the data",
    )
    legend = (
        "Above: returns; dotted: random actions and the scripted expert. Below, at the first"
        " observation: predicted values; dashed: true ones."
    )
    return f"{_table(head, rows)}\n{legend}" if rows else ""


def _operator(runs: Runs) -> str:
    rows = []
    for record in runs.of("operator"):
        metrics = record.results["figures"]
        numbers = (metrics["config"]["episodes"], *(metrics[name] for name in OPERATOR))
        rows.append(tuple(map(str, numbers)))
    names = tuple(name.replace("_", " ") for name in ("episodes", *OPERATOR))
    return _table(names, rows) if rows else ""


def _priors_of_presets(runs: Runs) -> str:
    """What the priors of the rows on randomization see, and how well."""
    rows = []
    for preset in runs.values("shared", "preset"):
        made = {
            record.entry.partition("-")[0]: record for record in runs.of("shared", preset=preset)
        }
        if {"demos", "prior"} <= set(made):
            metrics, size_px = (
                _prior_metrics(made["prior"]),
                made["demos"].configs["demos"]["image_size"],
            )
            found, error_mm = (
                metrics.get(f"object{name}", np.nan) for name in ("s_found", "_position_error_mm")
            )
            rows.append((preset, str(size_px), f"{found:.0%}", f"{error_mm:.1f}"))
    return (
        _table(("prior under", "images, px", "objects found", "median error, mm"), rows)
        if rows
        else ""
    )


DETAILS = {
    "headline": _headline,
    "precise": _precise,
    "off_policy": _off_policy,
    "operator": _operator,
    "asymmetric": _priors_of_presets,
    "fresh_start": _fresh_start,
}


def _origin(runs: Runs) -> str:
    """Which machines and sources the runs come from, and what they took."""
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in runs.records.values():
        machine = f"{record.machine['cores']} cores {record.machine['cpu']}, {record.device}"
        groups.setdefault(
            (machine, record.commit[:12] + record.commit[40:], record.scale), []
        ).append(record)
    rows = [
        (*names, str(len(records)), f"{_hours(records):.1f}")
        for names, records in sorted(groups.items())
    ]
    return (
        "## Where it was run\n\n" + _table(("machine", "commit", "scale", "runs", "hours"), rows)
        if rows
        else ""
    )


def _hours(records: Iterable[Record]) -> float:
    return sum(sum(record.seconds.values()) for record in records) / 3600


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines) + "\n"
