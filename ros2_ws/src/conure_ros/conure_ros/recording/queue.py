"""A thread that writes the recording: a slow disk must not delay the reception of messages."""

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conure_core.errors import DataError
from conure_ros.recording.writer import EpisodeWriter

MAX_BYTES = 256 * 1024 * 1024
MAX_MESSAGES = 50_000
BATCH_S = 0.05
FLUSH_S = 0.5
"""A killed recorder loses at most the messages of this time, if the disk is fast enough."""
LOST = "lost_messages"
LOST_BY_TOPIC = "lost_messages_by_topic"


class QueuedRecording:
    """An episode that an own thread writes, from a bounded queue.

    Messages that find the queue full are lost, as are those that the middleware reports lost. Both
    are counted by topic.
    """

    def __init__(
        self, episode: EpisodeWriter, max_bytes: int = MAX_BYTES, max_messages: int = MAX_MESSAGES
    ) -> None:
        self.path = episode.path
        self._episode, self._max_bytes, self._max_messages = episode, max_bytes, max_messages
        self._changed = threading.Condition()
        self._queue: deque[tuple[str, bytes, int]] = deque()
        self._waiting = 0
        self._queued_bytes = 0
        self._ended = False
        self._lost: Counter[str] = Counter()
        self._unsafe: Counter[str] = Counter()
        """Written since the last flush, by topic: a disk that fails then may have none of them."""
        self._failure = ""
        self._thread = threading.Thread(target=self._write, name="recording", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> str:
        """The disk's error; nothing is written after it."""
        with self._changed:
            return self._failure

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the disk."""
        with self._changed:
            return self._queued_bytes

    def lost(self) -> dict[str, int]:
        """Number of lost messages so far, by topic."""
        with self._changed:
            return dict(self._lost)

    def put(self, topic: str, cdr: bytes) -> None:
        """Record one message. Never waits for the disk: if the queue is full, the message counts as
        lost.

        Args:
            topic: Full name of the topic.
            cdr: The serialized message.
        """
        with self._changed:
            full = (
                self._queued_bytes + len(cdr) > self._max_bytes
                or self._waiting >= self._max_messages
            )
            if full or self._failure:
                self._lost[topic] += 1
                return
            self._queue.append((topic, cdr, self._episode.now_ns()))
            self._waiting += 1
            self._queued_bytes += len(cdr)

    def lose(self, topic: str, count: int) -> None:
        """Count messages that were sent and did not arrive.

        Args:
            topic: Full name of the topic.
            count: How many.
        """
        with self._changed:
            self._lost[topic] += count

    def close(self, metadata: Mapping[str, Any]) -> Path:
        """Write the queue and the metadata, with the number of lost messages.

        Raises: OSError or DataError; the partial file stays then.
        """
        self._end()
        if self._failure:
            self._episode.abandon()
            raise DataError(self._failure)
        return self._episode.close({**metadata, **self._losses()})

    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Like `close`, but the file keeps its partial name."""
        self._end()
        if self._failure:
            self._episode.abandon()
        else:
            self._episode.finish({**metadata, **self._losses()})

    def discard(self) -> None:
        """Delete the recording."""
        with self._changed:
            self._queue.clear()
        self._end()
        self._episode.discard()

    def _losses(self) -> dict[str, Any]:
        lost = self.lost()
        return {LOST: sum(lost.values()), LOST_BY_TOPIC: lost}

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()

    def _write(self) -> None:
        flushed_s, dirty = time.monotonic(), False
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._ended, timeout=BATCH_S)
                    batch, ended = list(self._queue), self._ended
                    self._queue.clear()
                dirty |= self._write_all(batch)
                if dirty and time.monotonic() - flushed_s >= FLUSH_S:
                    self._episode.flush()
                    self._unsafe.clear()
                    flushed_s, dirty = time.monotonic(), False
                if ended and not batch:
                    return
        except Exception as error:
            # Whatever it is: a thread that ended unnoticed would lose all that comes.
            why = error if isinstance(error, OSError | DataError) else repr(error)
            self._give_up(f"recording {self.path.name} failed: {why}")

    def _write_all(self, batch: list[tuple[str, bytes, int]]) -> bool:
        self._unsafe.update(topic for topic, _, _ in batch)
        for topic, cdr, log_ns in batch:
            self._episode.write(topic, cdr, log_ns, log_ns)
            with self._changed:
                self._waiting -= 1
                self._queued_bytes -= len(cdr)
        return bool(batch)

    def _give_up(self, failure: str) -> None:
        with self._changed:
            self._failure = failure
            self._lost.update(self._unsafe)
            self._lost.update(topic for topic, _, _ in self._queue)
            self._queue.clear()
            self._queued_bytes = 0
