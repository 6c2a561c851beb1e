"""Rows, table and JSON report of every `conure bench` that measures against requirements."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol, TypeVar

from rich.console import Console
from rich.table import Table

from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.claim import claimed
from conure_core.runtime.provenance import git_commit, machine


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
        """Whether the requirement is met; None without a requirement or a measurement."""
        if self.value is None or (self.at_least is None and self.at_most is None):
            return None
        above = self.at_least is None or self.value >= self.at_least
        below = self.at_most is None or self.value <= self.at_most
        return bool(above and below)


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


def _table(rows: list[Row]) -> Table:
    met_texts = {None: "", True: "[green]yes[/green]", False: "[red]no[/red]"}
    table = Table("", "measured", "asked for", "met")
    for row in rows:
        value = row.note
        if row.value is not None:
            value = f"{row.value:.4g} {row.unit}".strip()
        table.add_row(row.name, value, _bounds(row), met_texts[row.met])
    return table


def _bounds(row: Row) -> str:
    """The requirement as text, such as '>= 400'."""
    bounds: list[str] = []
    if row.at_least is not None:
        bounds.append(f">= {row.at_least:g}")
    if row.at_most is not None:
        bounds.append(f"<= {row.at_most:g}")
    return " ".join(bounds)
