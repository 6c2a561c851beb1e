"""A worker thread that always takes the newest job; an older one that was not started is dropped
and counted.
"""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Job = TypeVar("Job")


class NewestWins(Generic[Job]):
    """Keeps slow work off the thread that receives messages.

    An error of the work is kept in `error` for the owner's thread: a dead worker must not look
    idle.
    """

    def __init__(self, work: Callable[[Job], None]) -> None:
        self._work = work
        self._changed = threading.Condition()
        self._job: Job | None = None
        self._ended = False
        self._began_s: float | None = None
        self.dropped = 0
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    @property
    def busy_s(self) -> float:
        """How long the present job has taken so far, s; 0 without one."""
        began_s = self._began_s
        return 0.0 if began_s is None else time.monotonic() - began_s

    def submit(self, job: Job) -> None:
        with self._changed:
            self.dropped += self._job is not None
            self._job = job
            self._changed.notify()

    def close(self, timeout_s: float = 2.0) -> None:
        """Finish the present job and end the thread."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._job is not None)
                if self._ended:
                    return
                job, self._job = self._job, None
            self._began_s = time.monotonic()
            try:
                self._work(job)  # type: ignore[arg-type]
            except BaseException as error:
                self.error = error
                return
            finally:
                self._began_s = None
