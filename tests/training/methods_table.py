"""The table of docs/train.md that helps to choose a method, as the tests read it."""

import re
from pathlib import Path

TRAIN = Path(__file__).resolve().parents[2] / "docs" / "train.md"


def methods_table() -> dict[str, dict[str, str]]:
    """Cells by method and heading; a row may be that of several methods."""
    section = TRAIN.read_text().partition("## Which method")[2].partition("\n## ")[0]
    head, _, *rows = [line for line in section.splitlines() if line.startswith("|")]
    names = _cells(head)
    table: dict[str, dict[str, str]] = {}
    for row in rows:
        cells = dict(zip(names, _cells(row), strict=True))
        for method in re.findall(r"`(\w+)`", cells["method"]):
            assert method not in table, f"{method} has two rows"
            table[method] = cells
    return table


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|\n ").split("|")]
