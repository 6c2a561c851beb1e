"""Is this the same run? What decides a result stands beside it as text, its identity.

A cache of another identity is computed again; a run of another identity is not resumed, and
`require_same` says what differs.
"""

import hashlib
import json
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from conure_core.errors import ConfigError
from conure_core.runtime.json_text import json_text

CHANGES_NO_RESULT = {"identity": False}
"""Metadata of a configuration's field that no result depends on: where its files are, how many
processes work on it, what is logged.
"""
ANOTHER_OUT = "give the same, choose another out= or remove it"
LISTED = 6
"""Differences in a message, at most."""


def identity(
    made_of: Any, without: Collection[str] = (), inputs: Mapping[str, Any] | None = None
) -> str:
    """Write down what decides a result.

    Args:
        made_of: Plain values, lists, mappings and dataclasses, nested. Fields with the metadata
            CHANGES_NO_RESULT are left out.
        without: Names of fields of `made_of` itself that are left out too.
        inputs: What decides the result beside a configuration, such as the `stamp` of a file.

    Returns:
        JSON; the same text for the same values, a tuple being a list.

    >>> identity({"seed": 0, "workers": 8}, without=["workers"], inputs={"demos": 17})
    '{"demos": 17, "seed": 0}'
    """
    plain = _plain(made_of)
    if without or inputs:
        kept = {name: value for name, value in plain.items() if name not in without}
        plain = {**kept, **(inputs or {})}
    return json_text(plain, sort_keys=True)


def digest(made_of: Any) -> str:
    """SHA-256 of the identity, hexadecimal: where a chain of steps passes it on."""
    return hashlib.sha256(identity(made_of).encode()).hexdigest()


def stamp(path: Path) -> int | None:
    """A checksum of a file's bytes, or of the names, sizes and times of a folder's files.

    Returns:
        The number; None if there is neither.
    """
    if path.is_file():
        return zlib.crc32(path.read_bytes())
    if not path.is_dir():
        return None
    stamps = []
    for file in sorted(path.rglob("*")):
        if file.is_file():
            status = file.stat()
            stamps.append((str(file.relative_to(path)), status.st_size, status.st_mtime_ns))
    return zlib.crc32(json_text(stamps).encode())


def require_same(path: Path, saved: Any, wanted: str, remedy: str = ANOTHER_OUT) -> None:
    """Refuse to resume another run.

    Args:
        path: The file that an interrupted run left.
        saved: Its identity, or the values of it; None if the file names none.
        wanted: The identity of the run that wants to resume.
        remedy: What to do, for the message.

    Raises:
        ConfigError: Names what differs, with both values.
    """
    text = identity(saved) if isinstance(saved, Mapping) or is_dataclass(saved) else saved
    if text == wanted:
        return
    found = _differences(_values(text), _values(wanted))
    if not found:
        raise ConfigError(
            f"{path} does not belong to this run, or another version of Conure wrote it; {remedy}"
        )
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    raise ConfigError(f"{path} belongs to another run: {', '.join(found[:LISTED])}{more}; {remedy}")


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        kept = [field.name for field in fields(value) if field.metadata.get("identity", True)]
        return {name: _plain(getattr(value, name)) for name in kept}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def _values(text: Any) -> dict[str, str]:
    """Every value of an identity as JSON, by its dotted name; none where there are no names."""
    try:
        values = json.loads(text)
    except (ValueError, TypeError):
        return {}
    return dict(_leaves(values)) if isinstance(values, Mapping) else {}


def _leaves(values: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", json_text(value)


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    found = []
    if before:
        for name in {**now, **before}:
            theirs, ours = before.get(name, "absent"), now.get(name, "absent")
            if theirs != ours:
                found.append(f"its {name} is {theirs}, not {ours}")
    return found
