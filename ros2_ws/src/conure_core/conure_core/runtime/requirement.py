"""Requirements: what was asked for, what was measured, and whether it is met.

Reports and benchmarks share one verdict: True, False, or None for what was not measured.
"""

from dataclasses import dataclass


def is_met(
    value: float | None,
    at_least: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
) -> bool | None:
    """Compare a measured value with its limits.

    Args:
        value: What was measured; NaN meets no limit. None: it was not measured.
        at_least: Lower limit, inclusive; None: there is none.
        at_most: Upper limit, inclusive; None: there is none.
        below: Upper limit, exclusive; None: there is none.

    Returns:
        Whether the value keeps every limit; None without a value or without a limit.

    >>> is_met(0.7, at_least=0.6), is_met(float("nan"), below=2.0), is_met(None, at_least=0.6)
    (True, False, None)
    """
    if value is None:
        return None

    kept = []
    if at_least is not None:
        kept.append(bool(value >= at_least))
    if at_most is not None:
        kept.append(bool(value <= at_most))
    if below is not None:
        kept.append(bool(value < below))
    return all(kept) if kept else None


@dataclass(frozen=True)
class Requirement:
    """One row of a report, in words, with its verdict."""

    what: str
    """The quantity, such as "inference on one core, p99"."""

    wanted: str
    """The limit in words, such as "under 2 ms"; empty where nothing is required."""

    found: str
    """The measured value in words, such as "0.35 ms", or why there is none."""

    met: bool | None
    """The verdict, see `is_met`; None: not measured, or nothing is required."""
