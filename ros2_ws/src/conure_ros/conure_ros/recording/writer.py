"""Writes one episode: exclusively, locked while it is written, never over an existing file."""

import contextlib
import errno
import fcntl
import os
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from mcap.writer import CompressionType, Writer

from conure_core.errors import DataError
from conure_core.runtime.atomic_files import sync
from conure_core.runtime.json_text import json_text
from conure_ros.recording.episodes import METADATA, METADATA_AT_START, PARTIAL, RECOVER, Topic

CHUNK_BYTES = 256 * 1024
OFFERED_QOS = "offered_qos_profiles"
"""Key of a channel's metadata, of the MCAP profile `ros2`: from it `ros2 bag play` chooses what it
offers.
"""
NAME = re.compile(r"[A-Za-z0-9_-]+")
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""Errors of file systems without hard links."""


class EpisodeWriter:
    """Writes to `<name>.mcap.partial`. Only `close` gives the file its final name, once it is safe
    on disk.

    The partial file is created exclusively and locked while it is written. So neither a finished
    recording nor the partial file of another recorder, living or dead, is ever overwritten.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        topics: Iterable[Topic],
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin an episode.

        Args:
            folder: Folder of the recordings; created if needed.
            name: Name of the episode: letters, digits, '-' and '_'.
            topics: Topics with their types and schemas.
            metadata: Metadata known already; it survives a kill of the recorder.

        Raises:
            DataError: The name is unusable or taken.
            OSError: The disk refuses.
        """
        if not NAME.fullmatch(name):
            raise DataError(f"episode name '{name}': only letters, digits, '-' and '_' are allowed")
        self.path = folder / f"{name}.mcap"
        self.partial = folder / f"{name}.mcap{PARTIAL}"
        if self.path.exists():
            raise DataError(f"{self.path} exists; choose another name or move it away")
        folder.mkdir(parents=True, exist_ok=True)
        self._file = create_exclusively(self.partial)
        self._anchor_ns = time.time_ns() - time.monotonic_ns()
        self.messages = 0
        try:
            sync(folder)
            self._begin(topics, metadata)
        except BaseException:  # such as a full disk: the name stays free
            self.discard()
            raise

    def _begin(self, topics: Iterable[Topic], metadata: Mapping[str, Any] | None) -> None:
        self._writer = Writer(self._file, chunk_size=CHUNK_BYTES, compression=CompressionType.LZ4)
        self._writer.start(profile="ros2", library="conure")
        if metadata:
            self._writer.add_metadata(METADATA_AT_START, encode_metadata(metadata))
        self._channels = {topic.name: self._channel(topic) for topic in topics}
        self._writer.flush()
        self._file.flush()

    def _channel(self, topic: Topic) -> int:
        schema = self._writer.register_schema(topic.type, "ros2msg", topic.schema.encode())
        about = {OFFERED_QOS: topic.offered_qos} if topic.offered_qos else {}
        return int(self._writer.register_channel(topic.name, "cdr", schema, about))

    def now_ns(self) -> int:
        """The log time of a message, ns: the wall clock's time at the start, then a steady
        clock.
        """
        return self._anchor_ns + time.monotonic_ns()

    def write(self, topic: str, cdr: bytes, log_ns: int, publish_ns: int) -> None:
        """Write one message.

        Args:
            topic: Full name of the topic, one of those given at the start.
            cdr: The serialized message.
            log_ns: Time at which it reached the recorder, ns.
            publish_ns: Time at which it was sent, ns.

        Raises:
            OSError: The disk refuses, such as a full one.
        """
        channel = self._channels[topic]
        self._writer.add_message(
            channel, log_ns, data=cdr, publish_time=publish_ns, sequence=self.messages
        )
        self.messages += 1

    def flush(self) -> None:
        """Put everything on the disk, so that it is readable after a crash.

        Raises: OSError, or DataError if the file was removed, so that nothing of it would be left.
        """
        self._writer.flush()
        os.fdatasync(self._file.fileno())
        self._require_not_removed()

    def close(self, metadata: Mapping[str, Any]) -> Path:
        """Finish the recording; returns its final path.

        Raises: OSError, or DataError if that name was taken meanwhile; the partial file stays then.
        """
        try:
            self._complete(metadata)
            self._require_not_removed()
            self._require_in_place()
            finish_name(self.partial, self.path)
        finally:
            self.abandon()
        return self.path

    def _require_not_removed(self) -> None:
        if os.fstat(self._file.fileno()).st_nlink == 0:
            raise DataError(
                f"{self.partial} was removed while it was written, and its messages with it; record"
                " again"
            )

    def _require_in_place(self) -> None:
        found = None
        with contextlib.suppress(FileNotFoundError):
            found = _identity(self.partial.stat())
        if found != _identity(os.fstat(self._file.fileno())):
            raise DataError(
                f"{self.partial} was moved or replaced while it was written; it is whole where it"
                " was moved to"
            )

    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Complete the partial file without giving it its final name."""
        try:
            self._complete(metadata)
        finally:
            self.abandon()

    def _complete(self, metadata: Mapping[str, Any]) -> None:
        self._writer.add_metadata(METADATA, encode_metadata(metadata))
        self._writer.finish()
        self._file.flush()
        os.fsync(self._file.fileno())

    def abandon(self) -> None:
        """Stop writing; the partial file stays as it is on disk."""
        with contextlib.suppress(OSError):
            self._file.close()

    def discard(self) -> None:
        """Delete the recording."""
        mine = _identity(os.fstat(self._file.fileno()))
        with contextlib.suppress(FileNotFoundError):
            if _identity(self.partial.stat()) == mine:
                self.partial.unlink()
        self.abandon()


def encode_metadata(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Metadata as MCAP stores it: texts by name; other values as JSON."""
    return {
        key: value if isinstance(value, str) else json_text(value)
        for key, value in metadata.items()
    }


def create_exclusively(path: Path) -> IO[bytes]:
    """Create a file, locked until it is closed. Raises: DataError if it exists; OSError."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError as error:
        raise DataError(_name_taken(path)) from error
    fcntl.flock(handle, fcntl.LOCK_EX)
    return os.fdopen(handle, "wb")


def _name_taken(path: Path) -> str:
    if is_written(path):
        return f"{path} is being written by another recorder; choose another name, or end that one"
    return (
        f"{path} is what a recorder left that was interrupted; '{RECOVER} {path}' makes a recording"
        " of it, or move it away, or choose another name"
    )


def is_written(path: Path) -> bool:
    """Whether a living process writes this partial file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def finish_name(partial: Path, final: Path) -> None:
    """Give a complete file its final name.

    Args:
        partial: The complete file.
        final: Its final name, in the same folder.

    Raises:
        DataError: The final name is taken.
        OSError: The disk refuses.
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
