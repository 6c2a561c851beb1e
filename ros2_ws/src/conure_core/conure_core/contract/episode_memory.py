"""What a policy remembers from tick to tick within one episode."""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Recalled:
    """A policy's memory before a tick."""

    values: NDArray[Any] | None
    """As the last tick left it; None: an episode begins."""
    episode: int
    """Which episode it is of."""


class EpisodeMemory:
    """Keeps a policy's memory; an episode begins when the robot begins to follow the policy.

    Inference and mode may come on different threads: a tick that began before an episode did leaves
    no memory in it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: NDArray[Any] | None = None
        self._episode = 0
        self._following = False

    def begin(self) -> None:
        """Begin an episode: forget everything."""
        with self._lock:
            self._values = None
            self._episode += 1

    def follow(self, following: bool) -> None:
        """Hear whether the robot follows the policy now."""
        with self._lock:
            starts = following and not self._following
            self._following = following
        if starts:
            self.begin()

    def recall(self) -> Recalled:
        """The memory before the next tick."""
        with self._lock:
            return Recalled(self._values, self._episode)

    def remember(self, before: Recalled, values: NDArray[Any]) -> None:
        """Keep what a tick left.

        Args:
            before: What was recalled for it.
            values: The memory after it.
        """
        with self._lock:
            if before.episode == self._episode:
                self._values = np.array(values)
