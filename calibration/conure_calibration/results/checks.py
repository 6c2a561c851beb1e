"""What a result is judged by, as rows of its page and as sentences of its verdict."""

from collections.abc import Sequence

from conure_core.runtime.requirement import Requirement, is_met


def at_most(
    what: str,
    value: float,
    most: float,
    unit: str = "",
) -> Requirement:
    """Compare a number with its upper limit.

    Args:
        what: The quantity.
        value: What was found.
        most: The limit.
        unit: Of both.
    """
    wanted = f"at most {most:g} {unit}"
    found = f"{value:.3g} {unit}"
    met = is_met(value, at_most=most)
    return Requirement(what, wanted.rstrip(), found.rstrip(), met)


def unmet(checks: Sequence[Requirement]) -> tuple[str, ...]:
    """The rows that are not met, in words."""
    wrong = [row for row in checks if row.met is False]
    return tuple(f"{row.what} is {row.found}, {row.wanted} wanted" for row in wrong)
