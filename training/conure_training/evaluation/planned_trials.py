"""`conure trials report`: what planned, blinded trials say, once the key is opened."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from conure_core.config.loader import load_config
from conure_core.config.values import check_values
from conure_core.errors import ConfigError, DataError
from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.resume import CHANGES_NO_RESULT
from conure_ros.trials.journal import FAILURE, INVALID, SUCCESS, Journal, TrialState
from conure_ros.trials.order import PlannedTrial
from conure_ros.trials.session import (
    JOURNAL_FILE,
    claimed_folder,
    read_key,
    read_plan_record,
)
from conure_training.evaluation.comparison import (
    ALL,
    Comparison,
    Rate,
    compare_evaluations,
    shown,
)
from conure_training.evaluation.outcomes import Evaluation, Outcome
from conure_training.evaluation.statistics.agreement import cohen_kappa

REPORT_FILE = "report.json"


@dataclass(frozen=True)
class TrialsReportConfig:
    """The settings of `conure trials report`."""

    folder: str
    """Folder of `conure trials run`."""

    out: str = field(metadata=CHANGES_NO_RESULT)
    """JSON file for the report; empty: report.json in the folder."""

    early: bool
    """Open the key before the last trial is labelled, which ends the blinding."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))


@dataclass(frozen=True)
class PolicyResult:
    """All trials of one policy."""

    policy: str
    bundle_hash: str
    evaluation: Evaluation
    rates: dict[str, Rate]
    """By condition; ALL: of all trials."""
    failures: dict[str, int]
    """Number of failures by reason."""


@dataclass(frozen=True)
class Report:
    """What the trials of a plan say."""

    plan_hash: str
    rule: str
    finished: int
    planned: int
    policies: tuple[PolicyResult, ...]
    comparisons: tuple[Comparison, ...]
    """Of every two policies, in the plan's order."""
    relabelled: dict[str, Any]
    """How far the labels that were given after the fact agree with the first ones."""


def run(overrides: list[str]) -> None:
    """Report on planned trials, claims first; this opens the key."""
    config = load_config("conure_training.conf", "trials_report", TrialsReportConfig, overrides)
    report = report_trials(Path(config.folder), config.early)
    out = Path(config.out) if config.out else Path(config.folder) / REPORT_FILE
    write_json(out, _as_json(report))
    console = Console()
    for line in _claims(report):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(_table(report))
    for line in _details(report):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(f"written: {out}", highlight=False, markup=False, soft_wrap=True)


def report_trials(folder: Path, early: bool = False) -> Report:
    """Open the key of planned trials, and compare the policies.

    Args:
        folder: Folder of `conure trials run`.
        early: Also before the last trial is labelled. The journal says that the blinding is over.

    Returns:
        The report.

    Raises:
        ConfigError: Trials are unfinished, or a session holds the folder.
        DataError: A file is missing or damaged, or a policy has no finished trial.
    """
    record = read_plan_record(folder)
    with claimed_folder(folder, "conure trials report") as path:
        journal, key = Journal(path / JOURNAL_FILE), read_key(folder)
        finished = sum(journal.state(trial.number).is_finished for trial in key)
        if finished < len(key) and not early:
            raise ConfigError(
                f"{finished} of {len(key)} trials in {folder} are labelled, and a look at them ends"
                " the blinding; finish them with conure trials run, or give early=true"
            )
        results = tuple(_result(name, folder, record, key, journal) for name in record["bundles"])
        journal.open("conure trials report")
    evaluations = [result.evaluation for result in results]
    return Report(
        plan_hash=record["hash"],
        rule=record["plan"]["rule"],
        finished=finished,
        planned=len(key),
        policies=results,
        comparisons=tuple(compare_evaluations(a, b) for a, b in combinations(evaluations, 2)),
        relabelled=_relabelled(journal, key),
    )


def _result(
    name: str, folder: Path, record: dict[str, Any], key: Sequence[PlannedTrial], journal: Journal
) -> PolicyResult:
    """Raises: DataError if the policy has no finished trial."""
    plan = record["plan"]
    trials = [trial for trial in key if trial.policy == name]
    states = {trial.scene: journal.state(trial.number) for trial in trials}
    outcomes = tuple(
        _outcome(scene, plan, state) for scene, state in states.items() if state.is_finished
    )
    if not outcomes:
        raise DataError(f"{folder} holds no finished trial of '{name}'; run the trials first")
    invalid = sum(len(state.invalid) for state in states.values())
    invalid += sum(state.label is not None and not state.is_finished for state in states.values())
    labels = [state.label for state in states.values() if state.label]
    reasons = Counter(label.reason for label in labels if label.label == FAILURE)
    conditions = sorted({outcome.condition for outcome in outcomes})
    rates = {ALL: Rate.of(outcomes)}
    if len(conditions) > 1:
        for condition in conditions:
            rates[condition] = Rate.of([one for one in outcomes if one.condition == condition])
    evaluation = Evaluation(Path(name), "robot", plan["task"], outcomes, {}, invalid)
    return PolicyResult(name, record["bundles"][name], evaluation, rates, dict(reasons))


def _outcome(scene: int, plan: dict[str, Any], state: TrialState) -> Outcome:
    index = scene - 1
    condition = plan["conditions"][index % len(plan["conditions"])]
    is_success = state.label is not None and state.label.label == SUCCESS
    return Outcome(plan["first_seed"] + index, condition, is_success)


def _relabelled(journal: Journal, key: Sequence[PlannedTrial]) -> dict[str, Any]:
    """Cohen's kappa of first labels and the last later ones."""
    states = [journal.state(trial.number) for trial in key]
    pairs = [
        (state.label.label, state.relabels[-1].label)
        for state in states
        if state.label and state.relabels and state.relabels[-1].label != INVALID
    ]
    if not pairs:
        return {}
    first, second = zip(*pairs, strict=True)
    found = cohen_kappa(first, second)
    return {**asdict(found), "kappa": found.kappa, "kappa_interval": found.kappa_interval}


def _claims(report: Report) -> list[str]:
    lines = [comparison.claim for comparison in report.comparisons]
    if report.finished < report.planned:
        lines.append(
            f"the key was opened after {report.finished} of {report.planned} trials: intervals and"
            " tests hold for a number of trials that was fixed in advance"
        )
    if len(report.comparisons) > 1:
        lines.append(f"each of the {len(report.comparisons)} claims keeps 5 % for itself alone")
    return lines


def _table(report: Report) -> Table:
    table = Table("condition", *(escape(result.policy) for result in report.policies))
    table.caption = "success, %, with 95 % intervals"
    conditions = dict.fromkeys(name for result in report.policies for name in result.rates)
    for condition in conditions:
        cells = [escape(shown(result.rates.get(condition))) for result in report.policies]
        table.add_row(escape(condition), *cells)
    return table


def _details(report: Report) -> list[str]:
    lines = []
    for result in report.policies:
        reasons = ", ".join(f"{count} {reason}" for reason, count in result.failures.items())
        invalid = result.evaluation.invalid
        lines.append(
            f"{result.policy}: failures: {reasons or 'none'}; {invalid} invalid attempts; bundle"
            f" {result.bundle_hash[:12]}"
        )
    for comparison in report.comparisons if report.rule == "sequential" else ():
        found = comparison.sequential
        if found is not None:
            ending = f"{found.better} after {found.decided_after} pairs" if found.better else "none"
            lines.append(f"looked at after every pair, better: {ending}; p = {found.p_value:.3g}")
    if report.relabelled:
        agreed = report.relabelled
        lines.append(
            f"labelled again: {agreed['agreed']} of {agreed['trials']} agree, kappa"
            f" {agreed['kappa']}"
        )
    return [*lines, f"plan {report.plan_hash[:12]}"]


def _as_json(report: Report) -> dict[str, Any]:
    data = asdict(report)
    for policy in data["policies"]:
        policy["trials"] = policy.pop("evaluation")["outcomes"]
    return data
