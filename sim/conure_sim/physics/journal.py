"""Record what is done to a world since its reset, so that it can be repeated: the physics' own
memory cannot be saved.
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
        """Start recording, from an empty journal."""
        self._calls = []

    def stop(self, why: str = "a reset is under way") -> None:
        """Discard all calls and record nothing until the next `begin`; `why` goes into errors."""
        self._calls = None
        self._why_not = why

    def calls(self) -> tuple[Call, ...]:
        """The recorded calls. Raises: StateError if nothing is being recorded, with the reason."""
        if self._calls is None:
            raise StateError(f"this moment cannot be saved: {self._why_not}")
        return tuple(self._calls)

    def record(
        self,
        name: str,
        arguments: tuple[Any, ...],
        named: dict[str, Any],
    ) -> None:
        """Add a call, unless recording is off or another recorded call is under way.

        An episode of more than MAX_CALLS is dropped rather than kept for ever.

        Args:
            name: The method of World.
            arguments: Its positional arguments; copied.
            named: Its keyword arguments; copied.
        """
        if self._calls is None or self._depth:
            return
        if len(self._calls) == MAX_CALLS:
            self.stop(f"the episode holds more than {MAX_CALLS} commands; reset first")
            return

        copied = tuple(_copy(value) for value in arguments)
        copied_named = {key: _copy(value) for key, value in named.items()}
        self._calls.append((name, copied, copied_named))


def _copy(value: Any) -> Any:
    """A deep copy; deepcopy takes ten times as long for most arguments."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.copy()
    return value if isinstance(value, int | float | str | None) else deepcopy(value)


Method = TypeVar("Method", bound=Callable[..., Any])


def recorded(method: Method) -> Method:
    """Mark a method that changes the physics after a reset, so that a saved state repeats it.

    Its arguments must mean the same after another reset: a body by its order of arrival, never by
    its id.
    """

    @wraps(method)
    def call(self: Any, *arguments: Any, **named: Any) -> Any:
        self.journal.record(method.__name__, arguments, named)
        self.journal._depth += 1
        try:
            return method(self, *arguments, **named)
        finally:
            self.journal._depth -= 1

    return cast(Method, call)


def repeat(world: Any, calls: tuple[Call, ...]) -> None:
    """Repeat the calls of a journal, in order.

    Args:
        world: A World that was reset as the recorded one was.
        calls: What `Journal.calls` gave.
    """
    for name, arguments, named in calls:
        getattr(world, name)(*arguments, **named)
