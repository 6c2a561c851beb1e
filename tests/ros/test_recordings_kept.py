"""Nothing recorded is lost: not to a second recorder, a kill, a slow disk or a stepping clock."""

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from mcap.writer import Writer
from rclpy.serialization import serialize_message
from std_msgs.msg import Float64MultiArray

from conure_core.cli import main
from conure_core.errors import ConfigError, DataError
from conure_ros.comms.schemas import schema_text
from conure_ros.recording import queue as recording_queue
from conure_ros.recording.episodes import (
    CHUNK_MARK,
    CHUNK_MARK_AT,
    PARTIAL,
    Episode,
    Topic,
    free_name,
)
from conure_ros.recording.queue import QueuedRecording
from conure_ros.recording.recover import recover
from conure_ros.recording.writer import EpisodeWriter

TOPIC = Topic(
    "/numbers", "std_msgs/msg/Float64MultiArray", schema_text("std_msgs/msg/Float64MultiArray")
)
RATE_HZ = 200
RECORDER = """
import sys, time
from pathlib import Path
from rclpy.serialization import serialize_message
from std_msgs.msg import Float64MultiArray
from conure_ros.recording.episodes import Topic
from conure_ros.recording.queue import QueuedRecording
from conure_ros.recording.writer import EpisodeWriter
topic = Topic(sys.argv[3], sys.argv[4], sys.argv[5])
recording = QueuedRecording(EpisodeWriter(Path(sys.argv[1]), "one", [topic], {"seed": 7}))
for number in range(100_000):
    recording.put(topic.name, serialize_message(Float64MultiArray(data=[float(number)] * 20)))
    print(number, flush=True)
    time.sleep(1 / float(sys.argv[2]))
"""
MORE_THAN_ALL = 400


def message(number, size=20):
    return serialize_message(Float64MultiArray(data=[float(number)] * size))


def numbers(path, partial=False):
    return [int(one.message.data[0]) for one in Episode(path, partial).messages()]


def interrupted(folder, count=50, name="one"):
    """A partial file of a recorder that was killed: no summary, no metadata at the end."""
    writer = EpisodeWriter(folder, name, [TOPIC], {"seed": 7})
    for number in range(count):
        writer.write(TOPIC.name, message(number), number, number)
        if number % 10 == 9:
            writer.flush()
    writer.abandon()
    return writer.partial


@pytest.fixture
def living_recorder(tmp_path):
    """A process that records into `one`, and the numbers that it recorded so far."""
    words = [
        sys.executable,
        "-c",
        RECORDER,
        str(tmp_path),
        str(RATE_HZ),
        TOPIC.name,
        TOPIC.type,
        TOPIC.schema,
    ]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "0\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_killed_recorder_loses_a_second_at_most_and_its_file_is_recovered(
    tmp_path, living_recorder
):
    last = 0
    while last < 3 * RATE_HZ:
        last = int(living_recorder.stdout.readline())
    living_recorder.kill()
    last = [last, *map(int, living_recorder.stdout.read().split())][-1]
    partial = tmp_path / f"one.mcap{PARTIAL}"
    with pytest.raises(DataError, match=r"partial is damaged .*conure recordings recover"):
        Episode(partial)
    found = numbers(partial, partial=True)
    assert found == list(range(len(found)))
    assert len(found) > last - RATE_HZ
    assert main(["recordings", "recover", str(partial)]) == 0
    episode = Episode(tmp_path / "one.mcap")
    assert numbers(tmp_path / "one.mcap") == found
    assert {
        **episode.metadata,
        "label": "interrupted",
        "seed": "7",
        "recovered": "true",
    } == episode.metadata
    assert [path.name for path in tmp_path.iterdir()] == ["one.mcap"]


def test_of_a_living_recorder_nothing_is_touched(tmp_path, living_recorder):
    with pytest.raises(DataError, match="being written by another recorder"):
        EpisodeWriter(tmp_path, "one", [TOPIC])
    with pytest.raises(DataError, match="being written by a recorder"):
        recover(tmp_path / f"one.mcap{PARTIAL}")
    living_recorder.kill()
    living_recorder.wait()
    recover(tmp_path / f"one.mcap{PARTIAL}")


def test_what_a_dead_recorder_left_is_refused_and_stays_as_it_is(tmp_path):
    partial = interrupted(tmp_path)
    before = partial.read_bytes()
    with pytest.raises(
        DataError, match=r"recordings recover .*one\.mcap\.partial.*or move it away"
    ):
        EpisodeWriter(tmp_path, "one", [TOPIC])
    assert partial.read_bytes() == before


def test_closing_never_replaces_a_finished_recording(tmp_path):
    writer = EpisodeWriter(tmp_path, "one", [TOPIC])
    writer.write(TOPIC.name, message(1), 1, 1)
    (tmp_path / "one.mcap").write_text("another's")
    with pytest.raises(DataError, match="appeared meanwhile"):
        writer.close({})
    assert (tmp_path / "one.mcap").read_text() == "another's"
    assert numbers(writer.partial) == [1]


@pytest.mark.parametrize(
    "end",
    [lambda writer: writer.close({}), lambda writer: writer.discard()],
    ids=["close", "discard"],
)
def test_a_partial_file_that_was_moved_away_and_replaced_is_left_alone(tmp_path, end):
    writer = EpisodeWriter(tmp_path, "one", [TOPIC])
    writer.partial.rename(tmp_path / "moved")
    other = EpisodeWriter(tmp_path, "one", [TOPIC])
    try:
        end(writer)
    except DataError as error:
        assert "was moved or replaced" in str(error)
    assert other.partial.exists()
    other.close({})


def test_a_recording_whose_folder_is_moved_meanwhile_is_whole_there_and_says_so(tmp_path):
    recording = QueuedRecording(EpisodeWriter(tmp_path / "before", "one", [TOPIC]))
    recording.put(TOPIC.name, message(0))
    (tmp_path / "before").rename(tmp_path / "after")
    recording.put(TOPIC.name, message(1))
    with pytest.raises(DataError, match=r"one\.mcap\.partial was moved or replaced"):
        recording.close({"label": "success"})
    assert numbers(recover(tmp_path / "after" / f"one.mcap{PARTIAL}").path) == [0, 1]


def test_a_recording_that_is_removed_meanwhile_says_so_at_once_and_not_at_its_end(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(recording_queue, "FLUSH_S", 0.0)
    recording = QueuedRecording(EpisodeWriter(tmp_path / "gone", "one", [TOPIC]))
    shutil.rmtree(tmp_path / "gone")
    recording.put(TOPIC.name, message(0))
    recording._thread.join(10)
    assert recording.failure.startswith(f"recording one.mcap failed: {tmp_path}/gone/one.mcap")
    assert "was removed while it was written" in recording.failure
    assert recording.lost() == {TOPIC.name: 1}
    with pytest.raises(DataError, match="was removed"):
        recording.close({})


def test_a_recording_that_cannot_begin_leaves_its_name_free(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk, pytest.raises(OSError, match="No space"):
        disk.setattr(Writer, "start", full)
        EpisodeWriter(tmp_path, "one", [TOPIC])
    assert list(tmp_path.iterdir()) == []
    EpisodeWriter(tmp_path, "one", [TOPIC]).close({})


def test_without_hard_links_a_recording_is_closed_all_the_same_and_never_over_another(
    tmp_path, monkeypatch
):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    EpisodeWriter(tmp_path, "one", [TOPIC]).close({})
    assert numbers(tmp_path / "one.mcap") == []
    writer = EpisodeWriter(tmp_path, "two", [TOPIC])
    (tmp_path / "two.mcap").write_text("another's")
    with pytest.raises(DataError, match="appeared meanwhile"):
        writer.close({})
    assert (tmp_path / "two.mcap").read_text() == "another's"


def test_a_file_cut_anywhere_gives_its_beginning(tmp_path):
    content = interrupted(tmp_path).read_bytes()
    lengths = set()
    for cut in range(0, len(content), 7):
        path = tmp_path / f"cut.mcap{PARTIAL}"
        path.write_bytes(content[:cut])
        try:
            found = numbers(path, partial=True)
        except DataError:
            found = []
        assert found == list(range(len(found)))
        lengths.add(len(found))
    assert lengths >= {0, 10, 20, 30, 40}


def test_of_a_file_damaged_in_its_midst_the_beginning_is_recovered_and_the_file_kept(
    tmp_path, capsys
):
    partial = interrupted(tmp_path)
    content = bytearray(partial.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 20] = b"\xff" * 20
    partial.write_bytes(content)
    assert main(["recordings", "recover", str(partial)]) == 0
    assert "damaged in its midst" in capsys.readouterr().out
    found = numbers(tmp_path / "one.mcap")
    assert found == list(range(len(found)))
    assert 0 < len(found) < 50
    assert partial.read_bytes() == bytes(content)


@pytest.mark.parametrize("damage", ["length", "kind", "content of the last", "channel"])
def test_a_file_that_holds_more_than_can_be_read_is_kept_also_by_a_second_recovery(
    tmp_path, capsys, damage
):
    partial = interrupted(tmp_path)
    content = bytearray(partial.read_bytes())
    marks = [at.start() for at in re.finditer(re.escape(CHUNK_MARK), content)]
    second, last = marks[1] - CHUNK_MARK_AT, marks[-1] - CHUNK_MARK_AT
    if damage == "length":
        content[second + 1 : second + 9] = (1 << 19).to_bytes(8, "little")
    elif damage == "kind":
        content[second] = 0x86
    elif damage == "channel":
        before = content.index(TOPIC.name.encode()) - 4
        content[before - 4 : before - 2] = b"\x07\x00"
    else:
        content[last + 60] ^= 0xFF
    partial.write_bytes(content)
    for _ in range(2):
        assert main(["recordings", "recover", str(partial)]) == 0
        assert "it was kept" in capsys.readouterr().out
        assert partial.read_bytes() == bytes(content)


def test_whatever_bytes_are_altered_a_recording_is_read_or_refused_and_nothing_of_it_is_lost(
    tmp_path,
):
    whole = interrupted(tmp_path).read_bytes()
    rng = np.random.default_rng(0)
    for number in range(150):
        content = bytearray(whole)
        at, width = int(rng.integers(len(content))), int(rng.choice([1, 8]))
        content[at : at + width] = rng.bytes(width)
        folder = tmp_path / str(number)
        folder.mkdir()
        partial = folder / f"one.mcap{PARTIAL}"
        partial.write_bytes(content)
        with contextlib.suppress(DataError):
            recovered = recover(partial)
            assert partial.exists() or recovered.messages >= 40, (
                "a damaged length of the last chunk looks as torn"
            )
            numbers(recovered.path)


def test_a_file_whose_end_a_power_cut_left_as_zeros_gives_what_is_before(tmp_path):
    partial = interrupted(tmp_path)
    partial.write_bytes(partial.read_bytes() + bytes(4096))
    assert recover(partial).messages == 50
    assert not partial.exists()


def recovered_until(number, partial):
    """Recover in a child that kills itself at this call; whether it came so far."""
    child = os.fork()
    if child == 0:
        count = 0

        def counting(call):
            def called(*arguments, **named):
                nonlocal count
                count += 1
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*arguments, **named)

            return called

        for name in ("link", "replace", "rename", "unlink", "fsync", "open", "close", "stat"):
            setattr(os, name, counting(getattr(os, name)))
        sys.addaudithook(lambda event, _: counting(lambda: None)() if event == "open" else None)
        try:
            recover(partial)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_a_recovery_killed_at_any_call_loses_nothing_and_can_be_repeated(tmp_path):
    kills = 0
    for number in range(1, MORE_THAN_ALL):
        partial = interrupted(tmp_path)
        killed = recovered_until(number, partial)
        if partial.exists():
            assert numbers(partial, partial=True) == list(range(50)), (
                f"after a kill at call {number}"
            )
            recover(partial)
        assert numbers(tmp_path / "one.mcap") == list(range(50)), f"after a kill at call {number}"
        assert [path.name for path in tmp_path.iterdir()] == ["one.mcap"]
        (tmp_path / "one.mcap").unlink()
        if not killed:
            break
        kills += 1
    assert kills > 5


def test_what_cannot_be_recovered_is_said_and_the_rest_is_done(tmp_path, capsys):
    whole, empty, text = (
        interrupted(tmp_path),
        tmp_path / f"two.mcap{PARTIAL}",
        tmp_path / f"three.mcap{PARTIAL}",
    )
    empty.touch()
    text.write_text("not a recording at all")
    words = [
        str(path)
        for path in (empty, text, tmp_path / f"four.mcap{PARTIAL}", tmp_path / "five", whole)
    ]
    assert main(["recordings", "recover", *words]) == 1
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 1
    assert all(name in printed.err for name in ("two.mcap", "three.mcap", "no file", "five"))
    assert numbers(tmp_path / "one.mcap") == list(range(50))
    assert empty.exists()
    assert text.exists()
    with pytest.raises(ConfigError, match=r"ends in \.mcap\.partial"):
        recover(tmp_path / "one.mcap")


def test_recovering_never_replaces_a_recording(tmp_path):
    partial = interrupted(tmp_path)
    (tmp_path / "one.mcap").write_text("another's")
    with pytest.raises(DataError, match="exists and stays"):
        recover(partial)
    assert (tmp_path / "one.mcap").read_text() == "another's"
    assert partial.exists()


def test_the_order_is_that_of_recording_and_log_times_never_go_back_when_the_clock_does(
    tmp_path, monkeypatch
):
    recording = QueuedRecording(EpisodeWriter(tmp_path, "one", [TOPIC]))
    real = time.time_ns
    for number in range(20):
        monkeypatch.setattr(time, "time_ns", lambda step=number: real() - step * 3_600_000_000_000)
        recording.put(TOPIC.name, message(number))
    path = recording.close({})
    assert numbers(path) == list(range(20))
    times = [one.log_ns for one in Episode(path).messages()]
    assert times == sorted(times)


@pytest.mark.parametrize("partial", [False, True])
def test_a_file_whose_log_times_go_back_is_read_in_the_order_it_was_written(tmp_path, partial):
    writer = EpisodeWriter(tmp_path, "one", [TOPIC])
    for number in range(20):
        writer.write(TOPIC.name, message(number), 1000 - number, 0)
        if number == 9:
            writer.flush()
    assert numbers(writer.close({}), partial) == list(range(20))


@pytest.fixture
def stalled_disk(monkeypatch):
    """A disk that takes nothing until the event is set; the writing thread waits in the system
    call.
    """
    goes_on, stalled, real = threading.Event(), threading.Event(), os.fdatasync

    def waiting(handle):
        stalled.set()
        assert goes_on.wait(60)
        real(handle)

    monkeypatch.setattr(os, "fdatasync", waiting)
    monkeypatch.setattr(recording_queue, "FLUSH_S", 0.0)
    yield stalled, goes_on
    goes_on.set()


def test_a_stalled_disk_keeps_nobody_waiting_and_what_is_lost_is_counted(tmp_path, stalled_disk):
    stalled, goes_on = stalled_disk
    recording = QueuedRecording(EpisodeWriter(tmp_path, "one", [TOPIC]), max_messages=100)
    recording.put(TOPIC.name, message(0))
    assert stalled.wait(10)
    began_s = time.monotonic()
    for number in range(1, 151):
        recording.put(TOPIC.name, message(number))
    assert time.monotonic() - began_s < 1.0
    assert recording.lost() == {TOPIC.name: 50}
    goes_on.set()
    path = recording.close({"label": "success"})
    assert numbers(path) == list(range(101))
    metadata = Episode(path).metadata
    assert metadata["lost_messages"] == "50"
    assert json.loads(metadata["lost_messages_by_topic"]) == {TOPIC.name: 50}


def test_the_queue_is_bounded_by_bytes(tmp_path, stalled_disk):
    stalled, goes_on = stalled_disk
    recording = QueuedRecording(
        EpisodeWriter(tmp_path, "one", [TOPIC]), max_bytes=10 * len(message(0))
    )
    recording.put(TOPIC.name, message(0))
    assert stalled.wait(10)
    for number in range(1, 31):
        recording.put(TOPIC.name, message(number))
    assert recording.lost() == {TOPIC.name: 20}
    goes_on.set()
    assert numbers(recording.close({})) == list(range(11))


def test_a_recording_that_lost_nothing_says_so(tmp_path):
    recording = QueuedRecording(EpisodeWriter(tmp_path, "one", [TOPIC]))
    for number in range(500):
        recording.put(TOPIC.name, message(number))
    path = recording.close({})
    assert numbers(path) == list(range(500))
    assert Episode(path).metadata["lost_messages"] == "0"


def test_a_free_name_is_neither_a_recordings_nor_a_partial_files(tmp_path):
    assert free_name(tmp_path, "one") == "one"
    interrupted(tmp_path)
    (tmp_path / "one_2.mcap").touch()
    assert free_name(tmp_path, "one") == "one_3"


@pytest.mark.parametrize("error", [OSError(28, "no space left"), ValueError("a closed file")])
def test_a_writing_thread_that_fails_in_any_way_is_said_and_what_comes_then_is_counted(
    tmp_path, monkeypatch, error
):
    def refuse(*_):
        raise error

    monkeypatch.setattr(recording_queue, "FLUSH_S", 0.0)
    episode = EpisodeWriter(tmp_path, "one", [TOPIC])
    monkeypatch.setattr(episode, "flush", refuse)
    recording = QueuedRecording(episode)
    recording.put(TOPIC.name, message(0))
    recording._thread.join(10)
    recording.put(TOPIC.name, message(1))
    assert str(error) in recording.failure
    assert recording.lost() == {TOPIC.name: 2}, "the one that was not flushed, and the one after it"
    with pytest.raises(DataError, match=r"recording one\.mcap failed"):
        recording.close({})
