"""The command behind `run.py`: it shows what is filled, fills NAME or `all`, prints the `plan`, and
writes the `page` or, as `readme`, the table in README.md.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from conure_core.config.loader import load_config
from conure_core.config.values import bounds, check_values
from conure_core.errors import ConfigError, ConureError, unknown_name
from conure_experiments.checks import CHECKS
from conure_experiments.checks.runs import (
    VERDICTS,
)
from conure_experiments.job import holder, read_state
from conure_experiments.ledger import read_record, record_path
from conure_experiments.page import PAGE, runs_of, write_page
from conure_experiments.plan import SCALES, Entry, Plan, hours, load_plan
from conure_experiments.provenance import provenance
from conure_experiments.readme import write_table
from conure_experiments.runner import Outcome, Places, Runner

WIDTH = 160  # where the output is not a terminal


@dataclass(frozen=True)
class ResultsConfig:
    """How to run the experiments; see conf/results.yaml."""

    out: str
    results: str
    scale: str
    jobs: int = field(metadata=bounds(1, 1024))
    niceness: int = field(metadata=bounds(0, 19))
    fresh: bool
    plan: str
    readme: str

    def __post_init__(self) -> None:
        if self.scale not in ("auto", *SCALES):
            raise unknown_name("scale", self.scale, ("auto", *SCALES))
        check_values(vars(self), type(self))

    @property
    def places(self) -> Places:
        return Places(Path(self.out), Path(self.results), self.jobs, self.niceness)

    @property
    def chosen_scale(self) -> str:
        """`auto`: the larger one where there is a CUDA device."""
        if self.scale != "auto":
            return self.scale
        return SCALES[-1] if torch.cuda.is_available() else SCALES[0]


def run(words: list[str]) -> None:
    """Show the experiments and their records, or run what is missing.

    Words without '=' are names of experiments, or all, plan, page or readme.
    """
    names = [word for word in words if "=" not in word and not word.startswith("-")]
    settings = [word for word in words if word not in names]
    config = load_config("conure_experiments.conf", "results", ResultsConfig, settings)
    plan = load_plan(config.plan)
    if not names:
        _print_overview(plan, config)
    elif names == ["plan"]:
        _print_plan(plan, config)
    elif names == ["page"]:
        path = write_page(plan, config.places.results)
        print(f"written: {path}")
    elif names == ["readme"]:
        path = write_table(plan, config.places.results, Path(config.readme))
        print(f"written: {path}")
    else:
        _fill(plan, config, names)


def _fill(
    plan: Plan,
    config: ResultsConfig,
    names: Sequence[str],
) -> Outcome:
    """Run what these experiments lack.

    Raises:
        ConureError: An entry failed; the others are run all the same.
    """
    wanted: list[Entry] = []
    for name in names:
        experiment = "" if name == "all" else name
        wanted += plan.select(config.chosen_scale, experiment)
    if config.fresh:
        for entry in wanted:
            _forget(entry, config.places)
    runner = Runner(plan, config.places, provenance(config.places.results))
    try:
        outcome = runner.run(wanted)
    finally:
        if runner.outcome.finished:
            path = write_page(plan, config.places.results)
            print(f"written: {path}")
    left = {**outcome.failed, **outcome.skipped}
    if left:
        first = next(iter(left))
        raise ConureError(
            f"{len(outcome.failed)} entries failed and {len(outcome.skipped)} wait for others; the"
            f" first: {first}: {left[first]}. run.py without a name lists them, the same command"
            " tries again"
        )
    return outcome


def _forget(entry: Entry, places: Places) -> None:
    """Remove the entry's record and all that its commands wrote.

    Raises:
        ConfigError: The entry is at work.
    """
    pid = holder(places.out, entry)
    if pid is not None:
        raise ConfigError(f"{entry.key} is at work in process {pid}; wait for it before fresh=true")
    record_path(places.results, entry.key).unlink(missing_ok=True)
    shutil.rmtree(places.out / entry.key, ignore_errors=True)


def _print_overview(plan: Plan, config: ResultsConfig) -> None:
    """Print what is filled, missing, outdated, at work and failed, and what each experiment shows
    so far.
    """
    console = Console()
    places = config.places
    if not console.is_terminal:
        console.width = WIDTH
    runs = runs_of(plan, places.results, config.chosen_scale)
    pace = _pace(plan, runs.records.values())
    counts = Table("experiment", "filled", "at work", "failed", "hours left")
    shown = Table("experiment", "what", "must show", "measured", "")
    for experiment in dict.fromkeys(entry.experiment for entry in runs.entries):
        entries = [entry for entry in runs.entries if entry.experiment == experiment]
        missing = [entry for entry in entries if entry.key not in runs.records]
        working = sum(holder(places.out, entry) is not None for entry in entries)
        failed = sum(bool(read_state(places.out, entry).failure) for entry in missing)
        left = f"{hours(missing, places.jobs) * pace:.1f}" if missing else ""
        counts.add_row(
            experiment,
            f"{len(entries) - len(missing)} of {len(entries)}",
            str(working or ""),
            str(failed or ""),
            left,
        )
        for check in CHECKS[experiment](runs) if experiment in CHECKS else ():
            shown.add_row(
                escape(experiment),
                escape(check.what),
                escape(check.wanted),
                escape(check.found),
                _coloured(check.met),
            )
    console.print(counts, shown)
    unfilled = [entry for entry in runs.entries if entry.key not in runs.records]
    _print_failures(console, unfilled, places)
    print(f"scale {config.chosen_scale}; records: {places.results}, page: {places.results / PAGE}")


def _pace(plan: Plan, records: Any) -> float:
    """What finished entries took over what was estimated."""
    took = []
    estimated = []
    for record in records:
        took.append(sum(record.seconds.values()) / 60)
        estimated.append(plan.entries[record.key].minutes)
    return sum(took) / sum(estimated) if took else 1.0


def _print_failures(
    console: Console,
    missing: Sequence[Entry],
    places: Places,
) -> None:
    for entry in missing:
        state = read_state(places.out, entry)
        if state.failure:
            console.print(
                f"{entry.key} failed: {state.failure}; log: {places.out / entry.key / 'log.txt'}",
                markup=False,
            )
        if read_record(record_path(places.results, entry.key)) is not None:
            console.print(
                f"{entry.key}: its record is of another plan and does not count", markup=False
            )


def _coloured(met: bool | None) -> str:
    colours = {True: "green", False: "red", None: "yellow"}
    return f"[{colours[met]}]{VERDICTS[met]}[/]"


def _print_plan(plan: Plan, config: ResultsConfig) -> None:
    """Print every entry of the scale with its estimated minutes, and the hours of all."""
    entries = plan.select(config.chosen_scale)
    records = runs_of(plan, config.places.results, config.chosen_scale).records
    for entry in entries:
        mark = "filled" if entry.key in records else ""
        print(
            f"{entry.key:<52}{entry.scale:<8}{entry.minutes:6.1f}"
            f" min{'  alone' if entry.alone else '':<8}{mark}"
        )
    for experiment in dict.fromkeys(entry.experiment for entry in entries):
        share = [entry for entry in entries if entry.experiment == experiment]
        print(f"{experiment:<16}{len(share):5} entries {hours(share, config.jobs):6.1f} h")
    print(
        f"{'in all':<16}{len(entries):5} entries {hours(entries, config.jobs):6.1f} h,"
        f" {config.jobs} side by side"
    )
