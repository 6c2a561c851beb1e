"""The table of faults as one page that opens from disk, and as JSON."""

import html
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from conure_core.runtime.atomic_files import write_json, write_text
from conure_ros.faults.table import Result

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2733; background: #fff; margin: 2rem auto; max-width: 68rem;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } p { margin: .3rem 0 1.2rem; color: #50606f; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .45rem .7rem; border-bottom: 1px solid #e3e8ee; }
th { font-weight: 600; color: #50606f; } td.passed { color: #0a6b3d; } td.failed { color: #b3261e; }
td.passed, td.failed { font-weight: 600; white-space: nowrap; } small { color: #50606f; display: block; }
table table td { border: 0; padding: 0 .6rem 0 0; } table table td + td { text-align: right; padding: 0;
  white-space: nowrap; font-variant-numeric: tabular-nums; }
"""
HEAD = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Conure: faults</title>'
COLUMNS = "<tr><th>Fault</th><th>Must happen</th><th>Result</th><th>Measured</th></tr>"


def write_report(html_path: Path, results: Sequence[Result], about: dict[str, Any]) -> None:
    """Write the page and, beside it, the same as `.json`.

    Args:
        html_path: Path of the page.
        results: Rows of the table.
        about: Facts about the run: robot, commit, machine.
    """
    rows = [{**asdict(result), "passed": result.passed} for result in results]
    data = {"passed": all(result.passed for result in results), "about": about, "rows": rows}
    write_json(html_path.with_suffix(".json"), data)
    write_text(html_path, render_page(results, about))


def render_page(results: Sequence[Result], about: dict[str, Any]) -> str:
    """Render the page as one text, without scripts or external resources.

    Args:
        results: Rows of the table.
        about: Facts about the run: robot, commit, machine.
    """
    passed = sum(result.passed for result in results)
    facts = ", ".join(f"{key} {value}" for key, value in about.items())
    summary = f"{passed} of {len(results)} passed. {facts}"
    body = "".join(_row(result) for result in results)
    head = f'{HEAD}<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
    table = f"<table>{COLUMNS}{body}</table>"
    return f"{head}<body><h1>Faults</h1><p>{html.escape(summary)}</p>{table}</body></html>\n"


def _row(result: Result) -> str:
    kind = "passed" if result.passed else "failed"
    figures = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{_number(value)}</td></tr>"
        for name, value in result.outcome.figures.items()
    )
    measured = f"<table>{figures}</table>" if figures else ""
    detail = f"<small>{html.escape(result.outcome.detail)}</small>" if result.outcome.detail else ""
    cells = f"<td>{html.escape(result.name)}</td><td>{html.escape(result.must)}</td>"
    return f'<tr>{cells}<td class="{kind}">{kind}</td><td>{measured}{detail}</td></tr>'


def _number(value: float) -> str:
    """Counts in full, with separators; everything else with four digits."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def format_line(result: Result) -> str:
    """Format one row for the terminal."""
    figures = ", ".join(
        f"{name} {value:.4g}" for name, value in list(result.outcome.figures.items())[:4]
    )
    text = " - ".join(filter(None, [figures, result.outcome.detail]))
    return f"{'ok    ' if result.passed else 'FAILED'} {result.name}: {text}"
