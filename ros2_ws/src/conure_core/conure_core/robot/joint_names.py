"""Values picked by the names of joints."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from conure_core.errors import RobotError, UnsafeCommand
from conure_core.types import Array


def by_name(
    names: Sequence[str],
    values: Any,
    wanted: Sequence[str],
    what: str,
) -> Array:
    """Pick values by name.

    Args:
        names: Names of the given values.
        values: One number for each name.
        wanted: Names to pick; each must be there exactly once.
        what: Topic, for errors.

    Returns:
        The wanted values in the wanted order, shape (len(wanted),).

    Raises:
        RobotError: A name is missing or doubled, or the number of values differs.
        UnsafeCommand: A wanted value is not finite.
    """
    if len(names) != len(values):
        raise RobotError(f"{what}: {len(names)} names but {len(values)} positions")
    missing = [name for name in wanted if name not in names]
    if missing:
        present = ", ".join(names) or "nothing"
        raise RobotError(f"{what} lacks {_quoted(missing)}; it has: {present}")
    counts = Counter(names)
    doubled = {name for name in wanted if counts[name] > 1}
    if doubled:
        raise RobotError(f"{what} has {_quoted(sorted(doubled))} more than once")
    table = dict(zip(names, values, strict=True))
    picked = np.array([table[name] for name in wanted], dtype=np.float64)
    finite = np.isfinite(picked)
    if not finite.all():
        bad = [name for name, good in zip(wanted, finite, strict=True) if not good]
        raise UnsafeCommand(f"{what}: the position of {_quoted(bad)} is not finite")
    return picked


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
