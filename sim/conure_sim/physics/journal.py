"""What was done to a world since its reset, so that it can be done again: the physics' own memory
cannot be saved.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np

from conure_core.errors import StateError

MAX_CALLS = 20_000
Call = tuple[str, tuple[Any, ...], dict[str, Any]]


class Journal:
    """The calls of `recorded` methods since `begin`, outermost ones only."""

    def __init__(self) -> None:
        self._calls: list[Call] | None = None
        self._why_not = "the environment was not reset yet; call reset first"
        self._depth = 0

    def begin(self) -> None:
        """Note every call from now on."""
        self._calls = []

    def stop(self, why: str = "a reset is under way") -> None:
        """Forget all, and note nothing until the next `begin`."""
        self._calls, self._why_not = None, why

    def calls(self) -> tuple[Call, ...]:
        """What was noted. Raises: StateError if nothing is being noted, and why."""
        if self._calls is None:
            raise StateError(f"this moment cannot be saved: {self._why_not}")
        return tuple(self._calls)

    def note(self, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Add a call, its arguments copied; an episode without end is given up rather than kept for
        ever.
        """
        if self._calls is None or self._depth:
            return
        if len(self._calls) == MAX_CALLS:
            self.stop(f"the episode holds more than {MAX_CALLS} commands; reset first")
            return
        copied = tuple(_copied(value) for value in arguments)
        self._calls.append((name, copied, {key: _copied(value) for key, value in named.items()}))


def _copied(value: Any) -> Any:
    """As deepcopy, which takes ten times as long for what most arguments are."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.copy()
    return value if isinstance(value, int | float | str | None) else deepcopy(value)


Method = TypeVar("Method", bound=Callable[..., Any])


def recorded(method: Method) -> Method:
    """Marks a method that changes the physics after a reset, so that a saved state repeats it.

    Its arguments must mean the same after another reset: a body by its order of arrival, never by
    its id.
    """

    @wraps(method)
    def noted(self: Any, *arguments: Any, **named: Any) -> Any:
        self.journal.note(method.__name__, arguments, named)
        self.journal._depth += 1
        try:
            return method(self, *arguments, **named)
        finally:
            self.journal._depth -= 1

    return cast(Method, noted)


def repeat(world: Any, calls: tuple[Call, ...]) -> None:
    """Do again what a journal noted."""
    for name, arguments, named in calls:
        getattr(world, name)(*arguments, **named)
