"""`conure compare A B`: two finished evaluations."""

import re
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from conure_core.config.loader import load_config
from conure_core.config.values import check_values
from conure_core.errors import ConfigError
from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.claim import claimed
from conure_core.runtime.resume import CHANGES_NO_RESULT
from conure_training.evaluation.comparison import (
    Comparison,
    ConditionRow,
    compare_evaluations,
    shown,
)
from conure_training.evaluation.outcomes import load_evaluation

SETTING = re.compile(r"[+~]*[a-z_]+=|-")
"""How a word begins that is not a file."""


@dataclass(frozen=True)
class CompareConfig:
    """The settings of `conure compare`."""

    first: str
    """An evaluation: out= of `conure evaluate`, or folder= of `conure up graph=evaluate`."""

    second: str
    """The evaluation to compare it with."""

    out: str = field(metadata=CHANGES_NO_RESULT)
    """JSON file for the comparison; empty: not written."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))


def run(words: list[str]) -> None:
    """Compare two finished evaluations, conure compare A B."""
    config = load_config("conure_training.conf", "compare", CompareConfig, _overrides(words))
    comparison = compare(config)
    console = Console()
    console.print(comparison.claim, highlight=False, markup=False, soft_wrap=True)
    console.print(_table(config, comparison))
    for line in _details(comparison):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def compare(config: CompareConfig) -> Comparison:
    """Compare two evaluations, and write the comparison.

    Args:
        config: The files.

    Returns:
        The comparison.

    Raises:
        ConfigError: A file is not given, or they do not fit together.
        DataError: A file cannot be used.
    """
    if not config.first or not config.second:
        raise ConfigError(
            f"expected two evaluations, got first='{config.first}' and second='{config.second}';"
            " give conure compare A B, files of conure evaluate out= or folders of conure up"
            " graph=evaluate"
        )
    with claimed(config.out, "conure compare", "file") if config.out else nullcontext():
        first, second = (load_evaluation(Path(path)) for path in (config.first, config.second))
        comparison = compare_evaluations(first, second)
        if config.out:
            write_json(Path(config.out), {"config": asdict(config), **asdict(comparison)})
    return comparison


def _overrides(words: list[str]) -> list[str]:
    """Give the words without a key the keys `first` and `second`, in order."""
    files = [word for word in words if not SETTING.match(word)]
    if len(files) > 2:
        raise ConfigError(f"conure compare takes two evaluations, got {len(files)}: {files}")
    named = [f"{key}={file}" for key, file in zip(("first", "second"), files, strict=False)]
    return [*named, *(word for word in words if SETTING.match(word))]


def _table(config: CompareConfig, comparison: Comparison) -> Table:
    table = Table("condition", "A, %", "B, %", "A - B, points")
    table.caption = escape(f"A: {config.first}, B: {config.second}; 95 % intervals")
    for row in comparison.rows:
        cells = (row.condition, shown(row.first), shown(row.second), _difference(row))
        table.add_row(*map(escape, cells))
    return table


def _difference(row: ConditionRow) -> str:
    found = row.difference
    if found is None:
        return "-"
    return f"{100 * found.value:+.1f} [{100 * found.low:+.0f}, {100 * found.high:+.0f}]"


def _details(comparison: Comparison) -> list[str]:
    better = comparison.probability_first_better
    test = "Fisher's exact test" if comparison.pairs is None else "McNemar's exact test"
    lines = [
        f"{test}: p = {comparison.p_value:.3g}; P(A better than B) = {better:.3f}, uniform priors"
    ]
    if comparison.pairs is not None:
        pairs = comparison.pairs
        lines.append(
            f"pairs: both succeed {pairs.both}, A alone {pairs.only_first}, B alone"
            f" {pairs.only_second}, neither {pairs.neither}"
        )
    if comparison.sequential is not None:
        sequential = comparison.sequential
        ending = "undecided"
        if sequential.decided_after is not None:
            ending = f"{sequential.better} better after {sequential.decided_after} pairs"
        of_first, of_second = sequential.e_values
        lines.append(
            f"looked at after every pair: {ending}, p = {sequential.p_value:.3g} whenever one stops"
            f" (e-value for A {of_first:.3g}, for B {of_second:.3g})"
        )
    for name, left, invalid in zip("AB", comparison.left_out, comparison.invalid, strict=True):
        if left or invalid:
            lines.append(f"{name}: {left} trials without a partner, {invalid} invalid ones")
    return lines
