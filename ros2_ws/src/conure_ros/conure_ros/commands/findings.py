"""What `conure doctor` finds: one line a check, with what to do."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from conure_core.errors import ConureError


@dataclass(frozen=True)
class Finding:
    """One line. `advice` is '' where all is well. `required` findings decide the exit status."""

    subject: str
    found: str
    advice: str = ""
    required: bool = True


class Missing(Exception):
    """A failed check: what was found, and what to do."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.found, self.advice = found, advice


Check = tuple[str, Callable[[], str], bool]
"""Its subject, what finds it or raises `Missing`, and whether it is required."""


def find(checks: Iterable[Check], remedy: str) -> Iterator[Finding]:
    """The findings, one after the other. A check that fails unexpectedly is a finding too.

    Args:
        checks: The checks.
        remedy: What to do after an unexpected failure.
    """
    for subject, check, required in checks:
        try:
            yield Finding(subject, check(), required=required)
        except Missing as missing:
            yield Finding(subject, missing.found, missing.advice, required)
        except Exception as error:
            found, advice = (
                f"{type(error).__name__}: {error}",
                f"look at the message; then {remedy}",
            )
            yield Finding(subject, found, advice, required)


def print_findings(findings: Iterable[Finding]) -> None:
    """Print each finding when it comes. Raises: ConureError naming the required parts that are
    missing.
    """
    broken = []
    for finding in findings:
        print(line(finding), flush=True)
        if finding.advice and finding.required:
            broken.append(finding.subject)
    if broken:
        raise ConureError(f"not ready: {', '.join(broken)}; the lines above say what to do")


def line(finding: Finding) -> str:
    """One finding for a person."""
    mark = "OK" if not finding.advice else "MISSING" if finding.required else "none"
    advice = f"  -> {finding.advice}" if finding.advice else ""
    return f"{mark:<8} {finding.subject:<18} {finding.found}{advice}"
