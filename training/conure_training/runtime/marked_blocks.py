"""Blocks of a text file that a command writes, between two markers; the rest is left alone."""

from pathlib import Path

from conure_core.errors import DataError
from conure_core.runtime.atomic_files import write_text


def write_block(path: Path, name: str, block: str) -> Path:
    """Write a block into a file, whole or not at all.

    Args:
        path: A Markdown file that has this name's markers.
        name: Of the block.
        block: What is to stand between the markers.

    Returns:
        The file's path.

    Raises:
        DataError: The file or its markers are missing.
    """
    before, _, after = _parts(name, path)
    begin, end = markers(name)
    write_text(path, f"{before}{begin}\n{block.strip()}\n{end}{after}")
    return path


def read_block(path: Path, name: str) -> str:
    """What stands between this name's markers. Raises: DataError as `write_block` does."""
    return _parts(name, path)[1].strip()


def markers(name: str) -> tuple[str, str]:
    """The lines before and after a block."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def _parts(name: str, path: Path) -> tuple[str, str, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(f"there is no {path}; give the path of the file to write in") from error
    begin, end = markers(name)
    before, found, rest = text.partition(begin)
    block, closed, after = rest.partition(end)
    if not (found and closed):
        raise DataError(f"{path} lacks the lines '{begin}' and '{end}'; add them, in this order")
    return before, block, after
