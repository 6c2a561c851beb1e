"""A lock whose holders alternate."""

import threading
import time
from typing import Self


class TurnLock:
    """A reentrant lock: no thread takes it twice while another waits.

    A late loop would take a `threading.RLock` again before a waiting thread wakes up: a request to
    switch the torque off would starve.

    >>> lock = TurnLock()
    >>> with lock:
    ...     lock.acquire(timeout=0.1)
    True
    """

    def __init__(self) -> None:
        self._next, self._held = threading.Lock(), threading.RLock()
        self._owner, self._depth = 0, 0

    def acquire(self, timeout: float = -1.0) -> bool:
        """Whether the lock was taken within `timeout`, s; a negative timeout waits without
        limit.
        """
        if self._owner != threading.get_ident():
            until_s = time.monotonic() + timeout
            if not self._next.acquire(timeout=timeout):
                return False
            try:
                left_s = max(0.0, until_s - time.monotonic()) if timeout >= 0.0 else -1.0
                if not self._held.acquire(timeout=left_s):
                    return False
            finally:
                self._next.release()
            self._owner = threading.get_ident()
        self._depth += 1
        return True

    def release(self) -> None:
        """Raises: RuntimeError if this thread does not hold it."""
        if self._owner != threading.get_ident():
            raise RuntimeError("a lock is released only by the thread that holds it")
        self._depth -= 1
        if self._depth == 0:
            self._owner = 0
            self._held.release()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
