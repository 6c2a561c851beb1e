"""Episodes as MCAP files for Foxglove, PlotJuggler and the MCAP tools: CDR messages, ros2msg
schemas.

Writing needs ROS's message definitions; reading needs no ROS. `conure_ros.recording.writer` writes
them.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from mcap.reader import make_reader
from mcap.records import Channel, Chunk, ChunkIndex, McapRecord, Message, Metadata, Schema
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap_ros2.decoder import DecoderFactory
from numpy.typing import NDArray

from conure_core.errors import DataError
from conure_ros.cameras.encodings import COMPRESSED, compressed_pixels, rgb_pixels

METADATA = "conure"
METADATA_AT_START = "conure/start"
"""Metadata known at the start; an interrupted episode has no other."""
PARTIAL = ".partial"
RECOVER = "conure recordings recover"
"""The command that makes a finished recording of a partial file."""
SMALLEST_RECORD_LIMIT = 1 << 20
ALL = slice(None)
RECORD_HEADER_BYTES, BLOCK_BYTES = 9, 1 << 20
CHUNK_MARK, CHUNK_MARK_AT = b"\x03\0\0\0lz4", 37
"""Every chunk that we write has CHUNK_MARK at this offset; its index contains it too.
"""


@dataclass(frozen=True)
class Topic:
    """A recorded topic: its name, type (`sensor_msgs/msg/Image`) and schema text.

    `offered_qos`: what its publishers offer, as rosbag2 writes it; '': unknown.
    """

    name: str
    type: str
    schema: str
    offered_qos: str = ""


@dataclass(frozen=True)
class RecordedMessage:
    """One decoded message of a recording, with the time at which it reached the recorder.

    `log_ns` never goes back within an episode: it starts at the wall clock's time and follows a
    steady clock.
    """

    topic: str
    log_ns: int
    message: Any


@dataclass(frozen=True)
class RawMessage:
    """One serialized message of a recording, as it was received."""

    schema: Schema
    channel: Channel
    message: Message


def free_name(folder: Path, name: str) -> str:
    """A name for an episode for which neither a recording nor a partial file exists.

    Args:
        folder: Folder of the recordings.
        name: Wanted name; if it is taken, a number is appended.
    """
    number, found = 1, name
    while (folder / f"{found}.mcap").exists() or (folder / f"{found}.mcap{PARTIAL}").exists():
        number += 1
        found = f"{name}_{number}"
    return found


class Scan:
    """Reads a recording from its beginning, finished or not.

    After the iteration: `metadata`, `finished`, and `damage`: what cannot be read, beside a last
    torn record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata: dict[str, str] = {}
        self.finished = False
        self.damage = ""

    def __iter__(self) -> Iterator[RawMessage]:
        """Messages in the order of recording. Raises: DataError if the file is missing or not a
        recording.
        """
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(0)
                yield from self._records(file, size)
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error}") from error

    def _records(self, file: Any, size: int) -> Iterator[RawMessage]:
        schemas: dict[int, Schema] = {}
        channels: dict[int, Channel] = {}
        limit = max(size, SMALLEST_RECORD_LIMIT)
        records = StreamReader(
            file, emit_chunks=True, validate_crcs=True, record_size_limit=limit
        ).records
        chunks = 0
        while True:
            began = file.tell()
            try:
                record = next(records)
                parts = (
                    breakup_chunk(record, validate_crc=True)
                    if isinstance(record, Chunk)
                    else [record]
                )
            except StopIteration:
                self.finished = True
                break
            except OSError:
                raise
            except Exception as error:  # a truncated record can raise anything
                if not _is_torn(file, began, size):
                    self.damage = str(error) or type(error).__name__
                break
            chunks += isinstance(record, Chunk | ChunkIndex)
            for part in parts:
                yield from self._take(part, schemas, channels)
        left_out = _count_marks(file, size, None if self.finished else began) - chunks
        if left_out > 0:
            self.damage = (
                self.damage or f"{left_out} chunks of it are not where they are looked for"
            )

    def _take(
        self, record: McapRecord, schemas: dict[int, Schema], channels: dict[int, Channel]
    ) -> Iterator[RawMessage]:
        if isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel):
            channels[record.id] = record
        elif isinstance(record, Metadata) and record.name in (METADATA, METADATA_AT_START):
            self.metadata.update(record.metadata)
        elif isinstance(record, Message):
            channel = channels.get(record.channel_id)
            schema = None if channel is None else schemas.get(channel.schema_id)
            if channel is None or schema is None:
                self.damage = (
                    self.damage
                    or f"messages of channel {record.channel_id}, which has no topic or type"
                )
            else:
                yield RawMessage(schema, channel, record)


def _is_torn(file: Any, began: int, size: int) -> bool:
    """Whether the record at `began` extends beyond the end of the file, or is the zeros that a
    power cut left.
    """
    file.seek(began)
    header = file.read(RECORD_HEADER_BYTES)
    if not any(header):
        return not any(block.strip(b"\0") for block in iter(lambda: file.read(BLOCK_BYTES), b""))
    length = int.from_bytes(header[1:], "little")
    return len(header) < RECORD_HEADER_BYTES or began + RECORD_HEADER_BYTES + length > size


def _count_marks(file: Any, size: int, torn: int | None) -> int:
    """Count chunks and chunk indices in the file, without a torn one at `torn`.

    A damaged length or record kind skips whole chunks, and only this count reveals it.
    """
    if not size:
        return 0
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        count, found = 0, content.find(CHUNK_MARK)
        while found >= 0:
            count += torn is None or found != torn + CHUNK_MARK_AT
            found = content.find(CHUNK_MARK, found + 1)
    return count


class Episode:
    """A recording, read back.

    >>> episode = Episode(Path("trial_0001.mcap"))
    >>> images = list(episode.messages("camera/image_raw"))
    >>> episode.metadata["label"], images[0].message.header.stamp
    """

    def __init__(self, path: Path, partial: bool = False) -> None:
        """Open a recording.

        Args:
            path: The file.
            partial: Read what exists of an unfinished file, such as a killed recorder's
                `.mcap.partial`.

        Raises:
            DataError: The file is missing or not a finished recording; with `partial`: not the
                beginning of one.
        """
        self.path, self.partial = path, partial
        self.metadata: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.damage = ""
        """With `partial`: what cannot be read, beside a last torn record."""
        if partial:
            self._open_partial()
        else:
            self._open_finished()

    def _open_finished(self) -> None:
        remedy = f"'{RECOVER} {self.path}' makes a recording of what is there"
        try:
            with self.path.open("rb") as file:
                reader = make_reader(file)
                found = [item.metadata for item in reader.iter_metadata() if item.name == METADATA]
                self.metadata = found[-1] if found else {}
                summary = reader.get_summary()
        except FileNotFoundError as error:
            raise DataError(f"no recording at {self.path}") from error
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error}") from error
        except Exception as error:  # struct, MCAP and decompression errors of damaged files
            raise DataError(
                f"{self.path} is damaged ({str(error) or type(error).__name__}); {remedy}"
            ) from error
        if summary is None or summary.statistics is None:
            raise DataError(
                f"{self.path} is damaged (it has no summary: it was not finished); {remedy}"
            )
        counts = summary.statistics.channel_message_counts
        self.counts = {
            channel.topic: counts.get(channel.id, 0) for channel in summary.channels.values()
        }

    def _open_partial(self) -> None:
        scan = Scan(self.path)
        for raw in scan:
            self.counts[raw.channel.topic] = self.counts.get(raw.channel.topic, 0) + 1
        if not self.counts and not scan.metadata and not scan.finished:
            raise DataError(
                f"{self.path} is damaged (no message of it can be read); there is nothing to"
                " recover"
            )
        self.metadata, self.damage = scan.metadata, scan.damage

    def messages(self, *topics: str, part: slice = ALL) -> Iterator[RecordedMessage]:
        """The messages of these topics, or of all if none is given, in the order of recording.

        A topic may be given without its namespace; others than `part` are not decoded. Raises:
        DataError.
        """
        factory = DecoderFactory()
        full_names = tuple(map(self.full_name, topics))
        try:
            for raw in islice(self._raw(full_names), part.start, part.stop):
                decode = factory.decoder_for(raw.channel.message_encoding, raw.schema)
                if decode is None:
                    raise DataError(
                        f"{self.path}: '{raw.channel.topic}' is not a topic of ROS 2 messages"
                    )
                yield RecordedMessage(
                    raw.channel.topic, raw.message.log_time, decode(raw.message.data)
                )
        except (DataError, OSError):
            raise
        except Exception as error:  # damaged schemas, chunks and messages can raise anything
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise DataError(f"{self.path} is damaged ({reason})") from error

    def full_name(self, topic: str) -> str:
        """The recorded topic of this name, which may lack the namespace; as given if there is none.

        >>> episode.full_name("camera/image_raw")
        '/left/camera/image_raw'

        Raises: DataError if several namespaces have it.
        """
        rooted = f"/{topic.lstrip('/')}"
        if rooted in self.counts:
            return rooted
        found = sorted(name for name in self.counts if name.endswith(rooted))
        if len(found) > 1:
            raise DataError(
                f"{self.path} has several topics '{topic}'; give one of: {', '.join(found)}"
            )
        return found[0] if found else rooted

    def _raw(self, topics: tuple[str, ...]) -> Iterator[RawMessage]:
        if self.partial:
            yield from (raw for raw in Scan(self.path) if not topics or raw.channel.topic in topics)
            return
        with self.path.open("rb") as file:
            reader = make_reader(file)
            for schema, channel, message in reader.iter_messages(
                topics=list(topics) or None, log_time_order=False
            ):
                yield RawMessage(schema, channel, message)

    def stamps(self, topic: str) -> list[int]:
        """Stamps of a topic's messages, which begin with a header, in the order of recording, ns;
        nothing else of them is decoded.
        """
        found = []
        for raw in self._raw((self.full_name(topic),)):
            little = raw.message.data[1] & 1
            seconds, rest = struct.unpack_from("<iI" if little else ">iI", raw.message.data, 4)
            found.append(seconds * 1_000_000_000 + rest)
        return found

    def images(
        self, topic: str = "/camera/image_raw", part: slice = ALL
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Capture time, ns, and pixels (height, width, 3) of the images of a topic, as RGB.

        Where the topic holds none, those of its compressed images. The topic may be given without
        its namespace. Others than `part` of them are not decoded. Raises: DataError if the
        recording has no such topic, or for an encoding that is not read, by name.
        """
        name = self.full_name(topic)
        compressed = self.full_name(topic + COMPRESSED)
        if not {name, compressed} & set(self.counts):
            having = ", ".join(sorted(self.counts)) or "none"
            raise DataError(f"{self.path} has no topic '{topic}'; it has: {having}")
        if not self.counts.get(name) and self.counts.get(compressed):
            name = compressed
        decode = compressed_pixels if name.endswith(COMPRESSED) else rgb_pixels
        for record in self.messages(name, part=part):
            image = record.message
            yield stamp_ns(image.header.stamp), decode(image, name)


def stamp_ns(stamp: Any) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
