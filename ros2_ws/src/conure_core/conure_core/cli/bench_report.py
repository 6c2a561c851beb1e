"""Rows, table and JSON report of every `conure bench` that measures against requirements."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.claim import claimed
from conure_core.runtime.provenance import git_commit, machine
from conure_core.runtime.requirement import Requirement, is_met

if TYPE_CHECKING:  # of the benches' extras: a robot has no rich
    from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One measured number and its requirement."""

    name: str
    value: float | None
    """None: not measured; the note says why."""
    unit: str
    at_least: float | None = None
    """Required lower bound; None: none."""
    at_most: float | None = None
    """Required upper bound; None: none."""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the value keeps its limits, see `is_met`."""
        return is_met(self.value, self.at_least, self.at_most)

    @property
    def requirement(self) -> Requirement:
        """The row in words, as the table shows it."""
        limits = []
        if self.at_least is not None:
            limits.append(f">= {self.at_least:g}")
        if self.at_most is not None:
            limits.append(f"<= {self.at_most:g}")
        found = self.note if self.value is None else f"{self.value:.4g} {self.unit}".strip()
        return Requirement(self.name, " ".join(limits), found, self.met)


class Settings(Protocol):
    """A frozen dataclass with the file to write and the names of the measurements, in order."""

    @property
    def out(self) -> str: ...
    @property
    def rows(self) -> list[str]: ...


Config = TypeVar("Config", bound=Settings)


def measure_rows(
    config: Config, measurements: Mapping[str, Callable[[Config], Iterator[Row]]]
) -> list[Row]:
    """Measure the rows of a configuration, write the report after each one, print the table.

    Args:
        config: With the file to write and the names of the rows, in order.
        measurements: By name: gives the rows of a measurement as they come.

    Returns:
        All rows.
    """
    with claimed(config.out, "conure bench", "file"):
        return _measure_rows(config, measurements)


def _measure_rows(
    config: Config, measurements: Mapping[str, Callable[[Config], Iterator[Row]]]
) -> list[Row]:
    from rich.console import Console

    console = Console()
    rows: list[Row] = []
    for name in config.rows:
        began = time.monotonic()
        with console.status(f"measuring: {name}"):
            for row in measurements[name](config):
                rows.append(row)
                _write(config, rows)
        console.print(f"[dim]{name}: {time.monotonic() - began:.0f} s[/dim]")
    console.print(_table(rows))
    console.print(f"written: {config.out}")
    return rows


def _write(config: Settings, rows: list[Row]) -> None:
    report = {
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": git_commit(),
        "machine": machine(),
        "config": asdict(config),  # type: ignore[call-overload]
        "rows": [{**asdict(row), "met": row.met} for row in rows],
    }
    write_json(Path(config.out), report)


def _table(rows: list[Row]) -> "Table":
    from rich.table import Table

    table = Table("", "measured", "asked for", "met")
    verdicts = {None: "", True: "[green]yes[/green]", False: "[red]no[/red]"}
    for row in rows:
        shown = row.requirement
        table.add_row(shown.what, shown.found, shown.wanted, verdicts[shown.met])
    return table
