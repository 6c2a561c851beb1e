"""Episodes as MCAP files that Foxglove, PlotJuggler and the MCAP tools open: CDR messages, ros2msg schemas.

Writing needs ROS's message definitions; reading needs no ROS at all.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer
from mcap_ros2.decoder import DecoderFactory
from numpy.typing import NDArray

from conure_core.errors import DataError

METADATA = "conure"
PARTIAL = ".partial"
CHUNK_BYTES = 256 * 1024
NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Topic:
    """A recorded topic: its name, type (`sensor_msgs/msg/Image`) and schema text."""

    name: str
    type: str
    schema: str


class EpisodeWriter:
    """Writes to `<name>.mcap.partial`; only `close` gives the file its final name, after it is safe on disk."""

    def __init__(self, folder: Path, name: str, topics: Iterable[Topic]) -> None:
        """Raises: DataError for an unusable name or one that is taken; OSError."""
        if not NAME.fullmatch(name):
            raise DataError(f"episode name '{name}': only letters, digits, '-' and '_' are allowed")
        self.path = folder / f"{name}.mcap"
        self.partial = folder / f"{name}.mcap{PARTIAL}"
        if self.path.exists():
            raise DataError(f"{self.path} exists; choose another name or move it away")
        folder.mkdir(parents=True, exist_ok=True)
        self._file = self.partial.open("wb")
        self._writer = Writer(self._file, chunk_size=CHUNK_BYTES, compression=CompressionType.LZ4)
        self._writer.start(profile="ros2", library="conure")
        self._channels = {topic.name: self._channel(topic) for topic in topics}
        self.messages = 0

    def _channel(self, topic: Topic) -> int:
        schema = self._writer.register_schema(topic.type, "ros2msg", topic.schema.encode())
        return self._writer.register_channel(topic.name, "cdr", schema)

    def write(self, topic: str, cdr: bytes, log_ns: int, publish_ns: int) -> None:
        """One serialized message. Raises: OSError, such as a full disk."""
        self._writer.add_message(self._channels[topic], log_time=log_ns, publish_time=publish_ns, data=cdr)
        self.messages += 1

    def close(self, metadata: Mapping[str, Any]) -> Path:
        """The finished recording, under its final name. Raises: OSError; the partial file stays then."""
        self.finish(metadata)
        self.partial.replace(self.path)
        _sync(self.path.parent)
        return self.path

    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Make the partial file complete and readable without giving it its final name."""
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
        self._writer.add_metadata(METADATA, texts)
        self._writer.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Stop writing; what is on disk stays in the partial file."""
        self._file.close()

    def discard(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self.partial.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True)
class Recorded:
    """One message of a recording, decoded, with the time it reached the recorder."""

    topic: str
    log_ns: int
    message: Any


class Episode:
    """A recording, read back.

    >>> episode = Episode(Path("trial_0001.mcap"))
    >>> episode.metadata["label"], [record.message.header.stamp for record in episode.messages("camera/image_raw")]
    """

    def __init__(self, path: Path) -> None:
        """Raises: DataError if the file is missing or not a finished recording."""
        self.path = path
        try:
            with path.open("rb") as file:
                reader = make_reader(file)
                found = [item.metadata for item in reader.iter_metadata() if item.name == METADATA]
                self.metadata: dict[str, str] = found[-1] if found else {}
                summary = reader.get_summary()
        except (OSError, McapError, ValueError, EOFError) as error:
            raise DataError(f"{path} is not a readable recording: {error or type(error).__name__}") from error
        if summary is None or summary.statistics is None:
            raise DataError(f"{path} has no summary: it was not finished")
        counts = summary.statistics.channel_message_counts
        self.counts = {channel.topic: counts.get(channel.id, 0) for channel in summary.channels.values()}

    def messages(self, *topics: str) -> Iterator[Recorded]:
        """The messages of these topics (none given: of all), in the order they were recorded."""
        with self.path.open("rb") as file:
            reader = make_reader(file, decoder_factories=[DecoderFactory()])
            for _, channel, record, message in reader.iter_decoded_messages(topics=list(topics) or None):
                yield Recorded(channel.topic, record.log_time, message)

    def images(self, topic: str = "/camera/image_raw") -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Capture time, ns, and pixels (height, width, 3) of every rgb8 image."""
        for record in self.messages(topic):
            image = record.message
            pixels = np.frombuffer(bytes(image.data), np.uint8).reshape(image.height, image.width, 3)
            yield stamp_ns(image.header.stamp), pixels


def stamp_ns(stamp: Any) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
