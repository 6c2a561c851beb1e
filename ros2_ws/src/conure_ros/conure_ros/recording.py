"""Episodes as MCAP files that Foxglove, PlotJuggler and the MCAP tools open: CDR messages, ros2msg schemas.

Writing needs ROS's message definitions; reading needs no ROS at all. `conure_ros.recording_writer` writes them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.records import Channel, Message, Metadata, Schema
from mcap.stream_reader import StreamReader
from mcap_ros2.decoder import DecoderFactory
from numpy.typing import NDArray

from conure_core.errors import DataError

METADATA = "conure"
METADATA_AT_START = "conure/start"
"""What is known when an episode begins; of an interrupted one there is nothing else."""
PARTIAL = ".partial"
RECOVER = "conure recordings recover"
"""The command that makes a finished recording of a partial file."""
SMALLEST_RECORD_LIMIT = 1 << 20


@dataclass(frozen=True)
class Topic:
    """A recorded topic: its name, type (`sensor_msgs/msg/Image`) and schema text."""

    name: str
    type: str
    schema: str


@dataclass(frozen=True)
class Recorded:
    """One message of a recording, decoded, with the time it reached the recorder.

    `log_ns` never goes back within an episode: it is the wall clock's time at the start, and a steady clock from there.
    """

    topic: str
    log_ns: int
    message: Any


@dataclass(frozen=True)
class Raw:
    """One message of a recording as it was received, serialized."""

    schema: Schema
    channel: Channel
    message: Message


def free_name(folder: Path, name: str) -> str:
    """This episode name, or with a number behind it: neither a recording nor a partial file has it."""
    number, found = 1, name
    while (folder / f"{found}.mcap").exists() or (folder / f"{found}.mcap{PARTIAL}").exists():
        number += 1
        found = f"{name}_{number}"
    return found


class Scan:
    """What can be read of a recording from its beginning, whether it was finished or not.

    After the iteration: `metadata`, `finished`, and `damage`: what ended it before the end of the file, if anything.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata: dict[str, str] = {}
        self.finished = False
        self.damage = ""

    def __iter__(self) -> Iterator[Raw]:
        """Messages in the order they were recorded. Raises: DataError if the file is missing or not a recording."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(0)
                yield from self._records(file, size)
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error}") from error

    def _records(self, file: Any, size: int) -> Iterator[Raw]:
        schemas: dict[int, Schema] = {}
        channels: dict[int, Channel] = {}
        reader = StreamReader(file, validate_crcs=True, record_size_limit=max(size, SMALLEST_RECORD_LIMIT))
        records = reader.records
        while True:
            try:
                record = next(records)
            except StopIteration:
                self.finished = True
                return
            except OSError:
                raise
            except Exception as error:  # of a record that was not written to its end, anything may come
                if file.tell() < size:
                    self.damage = str(error) or type(error).__name__
                return
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel):
                channels[record.id] = record
            elif isinstance(record, Metadata) and record.name in (METADATA, METADATA_AT_START):
                self.metadata.update(record.metadata)
            elif isinstance(record, Message) and record.channel_id in channels:
                channel = channels[record.channel_id]
                yield Raw(schemas[channel.schema_id], channel, record)


class Episode:
    """A recording, read back.

    >>> episode = Episode(Path("trial_0001.mcap"))
    >>> episode.metadata["label"], [record.message.header.stamp for record in episode.messages("camera/image_raw")]
    """

    def __init__(self, path: Path, partial: bool = False) -> None:
        """Open a recording.

        Args:
            path: The file.
            partial: Take what there is of a file that was not finished, such as a killed recorder's `.mcap.partial`.

        Raises: DataError if the file is missing or not a finished recording; with `partial`, not the beginning of one.
        """
        self.path, self.partial = path, partial
        self.metadata: dict[str, str] = {}
        self.counts: dict[str, int] = {}
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
            raise DataError(f"{self.path} is damaged ({str(error) or type(error).__name__}); {remedy}") from error
        if summary is None or summary.statistics is None:
            raise DataError(f"{self.path} is damaged (it has no summary: it was not finished); {remedy}")
        counts = summary.statistics.channel_message_counts
        self.counts = {channel.topic: counts.get(channel.id, 0) for channel in summary.channels.values()}

    def _open_partial(self) -> None:
        scan = Scan(self.path)
        for raw in scan:
            self.counts[raw.channel.topic] = self.counts.get(raw.channel.topic, 0) + 1
        if not self.counts and not scan.metadata and not scan.finished:
            raise DataError(f"{self.path} is damaged (no message of it can be read); there is nothing to recover")
        self.metadata = scan.metadata

    def messages(self, *topics: str) -> Iterator[Recorded]:
        """The messages of these topics (none given: of all), in the order they were recorded. Raises: DataError."""
        factory = DecoderFactory()
        try:
            for raw in self._raw(topics):
                decode = factory.decoder_for(raw.channel.message_encoding, raw.schema)
                if decode is None:
                    raise DataError(f"{self.path}: '{raw.channel.topic}' is not a topic of ROS 2 messages")
                yield Recorded(raw.channel.topic, raw.message.log_time, decode(raw.message.data))
        except (McapError, ValueError) as error:
            raise DataError(f"{self.path} is damaged ({error or type(error).__name__})") from error

    def _raw(self, topics: tuple[str, ...]) -> Iterator[Raw]:
        if self.partial:
            yield from (raw for raw in Scan(self.path) if not topics or raw.channel.topic in topics)
            return
        with self.path.open("rb") as file:
            reader = make_reader(file)
            for schema, channel, message in reader.iter_messages(topics=list(topics) or None, log_time_order=False):
                yield Raw(schema, channel, message)

    def images(self, topic: str = "/camera/image_raw") -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Capture time, ns, and pixels (height, width, 3) of every rgb8 image."""
        for record in self.messages(topic):
            image = record.message
            pixels = np.frombuffer(bytes(image.data), np.uint8).reshape(image.height, image.width, 3)
            yield stamp_ns(image.header.stamp), pixels


def stamp_ns(stamp: Any) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
