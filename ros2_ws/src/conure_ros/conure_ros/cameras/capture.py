"""A thread that captures frames, stamps each at its capture, and reopens a lost source."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from conure_core.errors import ConureError
from conure_core.types import Image
from conure_ros.cameras.sources import BadFrame, CameraLost, Source, SourceEnded


@dataclass(frozen=True)
class Frame:
    """A decoded BGR frame (height, width, 3), with its time of capture on the clock of the stamps
    and on the steady one.
    """

    pixels: Image
    stamp_ns: int
    taken_s: float


@dataclass(frozen=True)
class Backoff:
    """Waiting times before each attempt to reopen a lost source, s: doubled from the first to the
    longest.
    """

    first_s: float = 0.5
    most_s: float = 8.0

    def wait_s(self, attempt: int) -> float:
        """The wait before this attempt, counted from 0, s."""
        return min(self.most_s, self.first_s * 2.0 ** min(attempt, 30))


class Capture:
    """Grab, stamp, retrieve and pass on each frame, on an own thread.

    `on_frame` takes each frame. `on_bad` takes the steady time of an unusable one, and why.
    `on_lost` takes why the source gives no more. `period_s` above 0 paces a source without a rate
    of its own. An unexpected error is kept in `error` for the owner's thread: a dead camera must
    not look idle.
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
        """End the thread. No frame is passed on afterwards. A read that hangs longer than this is
        abandoned.
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
        """Capture one frame. Raises: CameraLost."""
        if self._source is None:
            self._source = self._reopen()
            self.reconnects += 1
        self._pace()
        if self._ended.is_set():
            return
        if not self._source.grab():
            raise CameraLost("the source gives no more frames")
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
            # A slow machine skips frames; it does not catch up.
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
