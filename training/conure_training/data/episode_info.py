"""What is known of an episode beside its steps: how it ended, who acted, where it comes from."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from conure_core.errors import DataError, unknown_name

OUTCOMES = ("success", "failure", "unknown")
SOURCES = ("expert", "teleoperation", "takeover", "policy")
TASK_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class EpisodeInfo:
    """One episode of a data set."""

    outcome: str = "unknown"
    """How it ended: one of OUTCOMES."""

    source: str = "expert"
    """Who acted: one of SOURCES. A takeover is a policy's episode with a person's intervals."""

    operator: tuple[tuple[int, int], ...] = ()
    """Intervals of steps in which a person acted, [first, one past the last)."""

    robot: str = ""
    """Name of the robot; empty: not known."""

    contract: str = ""
    """Digest of the contract between robot and policy; empty: not known."""

    recorded: str = ""
    """When it was recorded, ISO 8601, UTC; empty: it was simulated."""

    origin: str = ""
    """Name of the file that it was imported from, and the part of it; empty: none."""

    state_size: int = -1
    """Values of its privileged state; 0: none was recorded; -1: as many as the data set's."""

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise unknown_name("outcome", self.outcome, OUTCOMES)
        if self.source not in SOURCES:
            raise unknown_name("source", self.source, SOURCES)


def require_task_name(name: str, where: str) -> None:
    """Refuse a name that could not name a folder.

    Args:
        name: Of a task.
        where: Begins the message: what gave it.

    Raises:
        DataError: It has other letters.
    """
    if not TASK_NAME.fullmatch(name):
        raise DataError(f"{where} names the task {name!r}; use letters, digits, '-' and '_'")


def infos_as_json(infos: Sequence[EpisodeInfo]) -> list[dict[str, Any]]:
    """As plain values; those that are as by default are left out."""
    plain = []
    standard = asdict(EpisodeInfo())
    for info in infos:
        values = asdict(info)
        plain.append({name: value for name, value in values.items() if value != standard[name]})
    return plain


def info_of_json(data: Mapping[str, Any]) -> EpisodeInfo:
    """Read what `infos_as_json` made. Raises: ValueError, TypeError, ConfigError if it is not."""
    known = {field.name for field in fields(EpisodeInfo)}
    if not known >= set(data):
        raise ValueError(f"unknown keys {sorted(set(data) - known)}")
    operator = tuple((int(first), int(end)) for first, end in data.get("operator", ()))
    return EpisodeInfo(**{**data, "operator": operator})
