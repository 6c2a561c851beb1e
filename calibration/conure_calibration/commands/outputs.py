"""What every `conure calibrate WHAT from=FOLDER` has in common."""

from collections.abc import Sequence
from pathlib import Path

from conure_calibration.results.page import REPORT, Figure, write_page
from conure_calibration.results.result import RESULT, Result, write_result
from conure_core.errors import ConfigError
from conure_core.runtime.requirement import Requirement


def with_data(overrides: Sequence[str]) -> list[str]:
    """The words with `from=FOLDER`, which cannot name a field in Python, as `data=FOLDER`."""
    words = []
    for word in overrides:
        name, equals, value = word.partition("=")
        words.append(f"data={value}" if name + equals == "from=" else word)
    return words


def data_folder(name: str, out: str) -> Path:
    """Find the folder of the raw data.

    Args:
        name: Its path.
        out: Where results go, which must not be within the data.

    Raises:
        ConfigError: There is no such folder, or results would be written into it.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"from={name} is not a folder; give the one with the raw data")
    if Path(out).expanduser().resolve().is_relative_to(folder.resolve()):
        raise ConfigError(
            f"out={out} lies in the data folder, which stays as it was recorded; give another out="
        )
    return folder


def write_outputs(
    out: Path,
    result: Result,
    checks: Sequence[Requirement],
    figures: Sequence[Figure],
) -> None:
    """Write result and page, and say so.

    Args:
        out: The folder.
        result: Numbers and verdict.
        checks: Rows of the page.
        figures: Of the page.
    """
    write_result(out / RESULT, result)
    write_page(out / REPORT, result, checks, figures)
    for quantity in result.quantities:
        print(f"  {quantity.name:24} {quantity.value:12.6g} +- {quantity.deviation:.2g}")
    for line in (*result.verdict.problems, *result.not_observable):
        print(f"  {line}")
    usable = "usable" if result.verdict.usable else "NOT usable"
    print(f"{usable}: {result.verdict.sentence}")
    print(f"written: {out / RESULT} and {out / REPORT}")
