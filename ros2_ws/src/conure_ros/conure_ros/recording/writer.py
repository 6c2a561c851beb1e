"""Writes one episode: exclusively, locked while it is written, never over anything that is
there.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from mcap.writer import CompressionType, Writer

from conure_core.errors import DataError
from conure_core.runtime.atomic_files import sync
from conure_ros.recording.episodes import METADATA, METADATA_AT_START, PARTIAL, RECOVER, Topic

CHUNK_BYTES = 256 * 1024
NAME = re.compile(r"[A-Za-z0-9_-]+")
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What file systems without hard links answer."""


class EpisodeWriter:
    """Writes to `<name>.mcap.partial`; only `close` gives the file its final name, after it is safe
    on disk.

    The partial file is created exclusively and locked for as long as it is written: neither a
    finished recording nor the partial file of another recorder, living or dead, is ever written
    over.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        topics: Iterable[Topic],
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin an episode. `metadata`: what is known already, kept even if the recorder is killed.

        Raises: DataError for an unusable name or one that is taken; OSError.
        """
        if not NAME.fullmatch(name):
            raise DataError(f"episode name '{name}': only letters, digits, '-' and '_' are allowed")
        self.path = folder / f"{name}.mcap"
        self.partial = folder / f"{name}.mcap{PARTIAL}"
        if self.path.exists():
            raise DataError(f"{self.path} exists; choose another name or move it away")
        folder.mkdir(parents=True, exist_ok=True)
        self._file = exclusive(self.partial)
        sync(folder)
        self._anchor_ns = time.time_ns() - time.monotonic_ns()
        self._writer = Writer(self._file, chunk_size=CHUNK_BYTES, compression=CompressionType.LZ4)
        self._writer.start(profile="ros2", library="conure")
        if metadata:
            self._writer.add_metadata(METADATA_AT_START, texts(metadata))
        self._channels = {topic.name: self._channel(topic) for topic in topics}
        self._writer.flush()
        self.messages = 0

    def _channel(self, topic: Topic) -> int:
        schema = self._writer.register_schema(topic.type, "ros2msg", topic.schema.encode())
        return int(self._writer.register_channel(topic.name, "cdr", schema))

    def now_ns(self) -> int:
        """The time to log a message with: the wall clock's at the start, a steady clock from
        there.
        """
        return self._anchor_ns + time.monotonic_ns()

    def write(self, topic: str, cdr: bytes, log_ns: int, publish_ns: int) -> None:
        """One serialized message. Raises: OSError, such as a full disk."""
        channel = self._channels[topic]
        self._writer.add_message(
            channel, log_ns, data=cdr, publish_time=publish_ns, sequence=self.messages
        )
        self.messages += 1

    def flush(self) -> None:
        """Put all that was written so far on the disk, readable whatever happens then. Raises:
        OSError.
        """
        self._writer.flush()
        os.fdatasync(self._file.fileno())

    def close(self, metadata: Mapping[str, Any]) -> Path:
        """The finished recording, under its final name.

        Raises: OSError, or DataError if that name was taken meanwhile; the partial file stays then.
        """
        mine = _identity(os.fstat(self._file.fileno()))
        try:
            self._complete(metadata)
            if _identity(self.partial.stat()) != mine:
                raise DataError(
                    f"{self.partial} was replaced while it was written; look for it where it was"
                    " moved to"
                )
            finish_name(self.partial, self.path)
        finally:
            self.abandon()
        return self.path

    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Make the partial file complete and readable without giving it its final name."""
        try:
            self._complete(metadata)
        finally:
            self.abandon()

    def _complete(self, metadata: Mapping[str, Any]) -> None:
        self._writer.add_metadata(METADATA, texts(metadata))
        self._writer.finish()
        self._file.flush()
        os.fsync(self._file.fileno())

    def abandon(self) -> None:
        """Stop writing; what is on disk stays in the partial file."""
        with contextlib.suppress(OSError):
            self._file.close()

    def discard(self) -> None:
        """Leave nothing behind."""
        mine = _identity(os.fstat(self._file.fileno()))
        with contextlib.suppress(FileNotFoundError):
            if _identity(self.partial.stat()) == mine:
                self.partial.unlink()
        self.abandon()


def texts(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Metadata as MCAP holds it: text by text."""
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in metadata.items()
    }


def exclusive(path: Path) -> IO[bytes]:
    """A new file of this name, locked until it is closed. Raises: DataError if there is one
    already; OSError.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError as error:
        raise DataError(_taken(path)) from error
    fcntl.flock(handle, fcntl.LOCK_EX)
    return os.fdopen(handle, "wb")


def _taken(path: Path) -> str:
    if is_written(path):
        return f"{path} is being written by another recorder; choose another name, or end that one"
    return (
        f"{path} is what a recorder left that was interrupted; '{RECOVER} {path}' makes a recording"
        " of it, or move it away, or choose another name"
    )


def is_written(path: Path) -> bool:
    """Whether a living process has this partial file open for writing."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def finish_name(partial: Path, final: Path) -> None:
    """Give a complete file its final name, unless that is taken. Raises: DataError if it is;
    OSError.
    """
    try:
        try:
            os.link(partial, final)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            os.close(os.open(final, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            partial.replace(final)
    except FileExistsError as error:
        raise DataError(
            f"{final} appeared meanwhile and stays; {partial} is whole: move one of them"
        ) from error
    sync(final.parent)
    partial.unlink(missing_ok=True)
    sync(final.parent)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
