"""Values picked by the names of joints."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from conure_core.errors import RobotError, UnsafeCommand
from conure_core.types import Array


def by_name(names: Sequence[str], values: Any, wanted: Sequence[str], what: str) -> Array:
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
        raise RobotError(
            f"{what} lacks {', '.join(map(repr, missing))}; it has: {', '.join(names) or 'nothing'}"
        )
    doubled = sorted({name for name in wanted if list(names).count(name) > 1})
    if doubled:
        raise RobotError(f"{what} has {', '.join(map(repr, doubled))} more than once")
    table = dict(zip(names, values, strict=True))
    picked = np.array([table[name] for name in wanted], dtype=np.float64)
    if not np.isfinite(picked).all():
        bad = [name for name, value in zip(wanted, picked, strict=True) if not np.isfinite(value)]
        raise UnsafeCommand(f"{what}: the position of {', '.join(map(repr, bad))} is not finite")
    return picked
