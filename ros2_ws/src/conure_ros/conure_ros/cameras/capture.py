"""A thread that takes frames as they come, stamps each at its capture, and opens the source again
after a loss.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from conure_core.errors import ConureError
from conure_core.types import Image
from conure_ros.cameras.sources import BadFrame, CameraLost, Source, SourceEnded


@dataclass(frozen=True)
class Frame:
    """A decoded frame (height, width, 3), BGR, with its time of capture on the stamps' clock and on
    the steady one.
    """

    pixels: Image
    stamp_ns: int
    taken_s: float


@dataclass(frozen=True)
class Backoff:
    """Waiting times between attempts to open a lost source: doubled from the first to the most,
    s.
    """

    first_s: float = 0.5
    most_s: float = 8.0

    def wait_s(self, attempt: int) -> float:
        """Before the attempt of this number, counted from 0."""
        return min(self.most_s, self.first_s * 2.0 ** min(attempt, 30))


class Capture:
    """`grab`, stamp, `retrieve`, hand on; never waits for who takes the frames beyond the call
    itself.

    `on_frame` takes each frame, `on_bad` the steady time of one that cannot be used and why,
    `on_lost` why the source gives no more. `period_s` above 0 paces a source that does not pace
    itself. An error that nobody foresaw is kept in `error`, where the owner's own thread finds it:
    a dead camera must not look idle.
    """

    def __init__(
        self,
        source: Source,
        reopen: Callable[[], Source],
        clock_ns: Callable[[], int],
        on_frame: Callable[[Frame], None],
        on_bad: Callable[[float, str], None],
        on_lost: Callable[[str], None],
        period_s: float = 0.0,
        backoff: Backoff | None = None,
    ) -> None:
        self._source: Source | None = source
        self._reopen, self._clock_ns = reopen, clock_ns
        self._on_frame, self._on_bad, self._on_lost = on_frame, on_bad, on_lost
        self._period_s, self._backoff = period_s, backoff or Backoff()
        self._ended = threading.Event()
        self._attempt, self._due_s = 0, time.monotonic()
        self.reconnects = 0
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """No frame is handed on afterwards. A read that hangs longer than this is left to
        itself.
        """
        self._ended.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                try:
                    self._once()
                except SourceEnded as end:
                    self._on_lost(str(end))
                    return
                except ConureError as error:
                    self._lose(str(error))
        except BaseException as error:
            self.error = error
        finally:
            if self._source is not None:
                self._source.close()

    def _once(self) -> None:
        """One frame. Raises: CameraLost."""
        if self._source is None:
            self._source = self._reopen()
            self.reconnects += 1
        self._pace()
        if self._ended.is_set():
            return
        if not self._source.grab():
            raise CameraLost("the source gives no frames any more")
        taken_s, stamp_ns = time.monotonic(), self._clock_ns()
        try:
            pixels = self._source.retrieve()
        except BadFrame as error:
            self._on_bad(taken_s, str(error))
            return
        if not self._ended.is_set():
            self._on_frame(Frame(pixels, stamp_ns, taken_s))
            self._attempt = 0

    def _pace(self) -> None:
        if self._period_s > 0:
            self._ended.wait(max(0.0, self._due_s - time.monotonic()))
            # A machine that is too slow loses time; it does not hurry afterwards.
            self._due_s = max(self._due_s, time.monotonic() - self._period_s) + self._period_s

    def _lose(self, why: str) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None
        wait_s = self._backoff.wait_s(self._attempt)
        self._attempt += 1
        if not self._ended.is_set():
            self._on_lost(f"{why}; trying again in {wait_s:.1f} s")
            self._ended.wait(wait_s)
