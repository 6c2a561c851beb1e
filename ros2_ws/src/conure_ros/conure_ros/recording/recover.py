"""The verb `conure recordings recover FILE...`: finish the recordings of killed recorders."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mcap.writer import CompressionType, Writer

from conure_core.errors import ConfigError, DataError
from conure_ros.recording.episodes import METADATA, PARTIAL, RECOVER, Episode, Scan
from conure_ros.recording.writer import CHUNK_BYTES, encode_metadata, finish_name

FROM = "recovered_from"
USAGE = f"{RECOVER} FILE.mcap{PARTIAL} [FILE...]"


@dataclass(frozen=True)
class Recovered:
    """A recording made from a partial file."""

    path: Path
    messages: int
    damage: str
    """What could not be read; empty if all was read but a last torn record."""


def run(overrides: list[str]) -> None:
    """Write whole recordings from what killed recorders left.

    Each file in turn; what cannot be recovered is named at the end, the others are done
    nevertheless.
    """
    if not overrides or "--help" in overrides or "-h" in overrides:
        print(
            f"{USAGE}\n\nWrites each partial file's messages to FILE.mcap, labelled 'interrupted'."
        )
        return
    failures = []
    for word in overrides:
        try:
            _report(Path(word), recover(Path(word)))
        except (ConfigError, DataError) as error:
            failures.append(str(error))
    if failures:
        raise DataError("; ".join(failures))


def _report(partial: Path, found: Recovered) -> None:
    print(f"{found.path}: {found.messages} messages")
    if found.damage:
        print(
            f"  {partial} is damaged in its midst ({found.damage}); it was kept, as there may be"
            " more in it"
        )


def recover(partial: Path) -> Recovered:
    """Make a finished recording of a partial file, which is removed once the new one is safe on
    disk.

    A damaged partial file is kept. The new recording is labelled "interrupted"; its metadata say
    "recovered".

    Raises: ConfigError for another file name; DataError if it is being written, holds no recording,
    or the final name is taken.
    """
    if not partial.name.endswith(f".mcap{PARTIAL}"):
        raise ConfigError(f"{partial}: a partial file's name ends in .mcap{PARTIAL}; {USAGE}")
    final = partial.with_name(partial.name.removesuffix(PARTIAL))
    with _locked(partial):
        _beside(final).unlink(missing_ok=True)  # left by a killed recovery: the lock is ours
        if final.exists():
            damage = _require_done(partial, final)
            if damage:
                return Recovered(final, _messages(final), damage)
        elif _is_complete(partial):
            finish_name(partial, final)
        else:
            return _rewrite(partial, final)
        partial.unlink(missing_ok=True)
        return Recovered(final, _messages(final), "")


@contextmanager
def _locked(partial: Path) -> Iterator[None]:
    try:
        with partial.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except FileNotFoundError as error:
        raise DataError(f"no file {partial}") from error
    except BlockingIOError as error:
        raise DataError(
            f"{partial} is being written by a recorder; stop the episode, or end that recorder"
        ) from error
    except OSError as error:
        raise DataError(f"{partial} cannot be recovered: {error}; it is as it was") from error


def _require_done(partial: Path, final: Path) -> str:
    """Check that the final file is this very recording: the process was killed before it removed
    the partial name.

    Returns:
        What could not be read of the partial file, '' if nothing; otherwise the partial file stays.

    Raises:
        DataError: The final file is another recording.
    """
    if final.samefile(partial):
        return ""
    with suppress(DataError):
        found = Episode(final)
        counts = {topic: count for topic, count in found.counts.items() if count}
        left = Episode(partial, partial=True)
        if found.metadata.get(FROM) == partial.name and counts == left.counts:
            return left.damage
    raise DataError(f"{final} exists and stays; move it or {partial} away")


def _is_complete(partial: Path) -> bool:
    try:
        Episode(partial)
    except DataError:
        return False
    return True


def _messages(path: Path) -> int:
    return sum(Episode(path).counts.values())


def _beside(final: Path) -> Path:
    return final.with_name(f".{final.name}.recovering")


def _rewrite(partial: Path, final: Path) -> Recovered:
    """Copy every readable message. The copy is checked before it gets the final name."""
    Episode(partial, partial=True)
    beside = _beside(final)
    scan = Scan(partial)
    try:
        written = _copy(scan, beside)
        if _messages(beside) != written:
            raise DataError(
                f"{beside} holds {_messages(beside)} of {written} messages; is the disk in order?"
            )
        finish_name(beside, final)
    finally:
        beside.unlink(missing_ok=True)
    if not scan.damage:
        partial.unlink()
    return Recovered(final, written, scan.damage)


def _copy(scan: Scan, path: Path) -> int:
    """Write the readable messages into a finished recording, on disk when this returns. Returns
    their number.
    """
    count = 0
    channels: dict[int, int] = {}
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=CHUNK_BYTES, compression=CompressionType.LZ4)
        writer.start(profile="ros2", library="conure")
        for raw in scan:
            if raw.channel.id not in channels:
                schema = writer.register_schema(
                    raw.schema.name, raw.schema.encoding, raw.schema.data
                )
                channels[raw.channel.id] = writer.register_channel(
                    raw.channel.topic, raw.channel.message_encoding, schema, raw.channel.metadata
                )
            message = raw.message
            writer.add_message(
                channels[raw.channel.id],
                message.log_time,
                message.data,
                message.publish_time,
                message.sequence,
            )
            count += 1
        about = {"label": "interrupted", "recovered": True, FROM: scan.path.name}
        writer.add_metadata(METADATA, encode_metadata({**scan.metadata, **about}))
        writer.finish()
        file.flush()
        os.fsync(file.fileno())
    return count
