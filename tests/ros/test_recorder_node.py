"""The recorder as a process: what it did not get it says, and it shares neither an episode nor a
file.
"""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from diagnostic_msgs.msg import DiagnosticArray, KeyValue
from std_msgs.msg import Float64MultiArray

from conure_core.cli import main
from conure_core.errors import DataError
from conure_msgs.srv import StartEpisode, StopEpisode
from conure_ros.comms.messages import key_values
from conure_ros.comms.qos import NEWEST
from conure_ros.nodes.recorder_node import _read_metadata
from conure_ros.recording.episodes import PARTIAL, Episode

pytestmark = pytest.mark.nodes
MAIN = "from conure_ros.nodes.recorder_node import main; main()"
TOPIC = "position_commands"
PERIOD_S = 0.01
STALL = 300
"""Messages that are sent while the recorder does not run."""
LARGE = 2000
"""Numbers in each of them: more than the middleware keeps for a reader that does not take them."""
MAY_BE_EARLIER = "what was on its way to a lagging recorder may be in its episode too"


@pytest.fixture
def recorder(domain, short_lived, tmp_path):
    """Starts a recorder that writes to this test's folder; returns its process."""
    processes = []

    def started(killed=False):
        words = [sys.executable, "-c", MAIN, "--ros-args", "-p", f"folder:={tmp_path}"]
        variables = short_lived if killed else domain
        processes.append(subprocess.Popen(words, env={**os.environ, **variables}))
        return processes[-1]

    yield started
    for process in processes:
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGINT)
    for process in processes:
        process.wait(20)


@pytest.fixture
def numbers(peer, wait_until):
    """Sends so many messages, numbered on; the recorder gets each of them unless it is kept from
    running.
    """
    publisher = peer.node.create_publisher(Float64MultiArray, TOPIC, NEWEST)
    sent = 0

    def send(count, size=1):
        nonlocal sent
        wait_until(lambda: publisher.get_subscription_count() > 0, 20, "a recorder")
        for _ in range(count):
            publisher.publish(Float64MultiArray(data=[float(sent)] * size))
            sent += 1
            time.sleep(PERIOD_S)
        return sent

    yield send
    peer.node.destroy_publisher(publisher)


def recorded(path, partial=False):
    return [int(one.message.data[0]) for one in Episode(path, partial).messages(f"/{TOPIC}")]


def test_what_a_stalled_recorder_lost_is_counted_to_the_message_and_said(
    recorder, peer, numbers, tmp_path, wait_until
):
    process, health = recorder(), peer.listen(DiagnosticArray, "/diagnostics")
    numbers(20)
    started = peer.call(
        StartEpisode, "recorder/start_episode", name="one", metadata=key_values({"seed": "3"})
    )
    assert started.success, started.message
    numbers(50)
    process.send_signal(signal.SIGSTOP)
    numbers(STALL, LARGE)
    process.send_signal(signal.SIGCONT)
    sent = numbers(50)
    wait_until(
        lambda: any("missing" in one.message for array in list(health) for one in array.status),
        10,
        "a warning",
    )
    said = {
        pair.key: pair.value
        for array in list(health)
        for one in array.status
        for pair in one.values
    }
    assert said["control"] == "control is silent", "nobody's runs here"
    answer = peer.call(StopEpisode, "recorder/stop_episode", label="success")
    assert answer.success, answer.message
    found = recorded(tmp_path / "one.mcap")
    assert found == sorted(set(found))
    assert found[0] <= 20, MAY_BE_EARLIER
    lost = sent - found[0] - len(found)
    assert lost > STALL / 2, "nothing was lost: this test shows nothing"
    assert answer.lost_messages == lost
    assert f"{lost} messages are missing" in answer.message
    assert f"/{TOPIC} {lost}" in answer.message
    metadata = Episode(tmp_path / "one.mcap").metadata
    assert metadata["lost_messages"] == str(lost)
    assert json.loads(metadata["lost_messages_by_topic"]) == {f"/{TOPIC}": lost}
    assert metadata["label"] == "success"
    assert metadata["seed"] == "3"


def test_what_came_before_the_request_to_stop_is_recorded_also_while_the_recorder_lags(
    recorder, peer, numbers, tmp_path
):
    recorder()
    numbers(20)
    assert peer.call(StartEpisode, "recorder/start_episode", name="one").success
    first = numbers(0)
    sent = numbers(300)
    answer = peer.call(StopEpisode, "recorder/stop_episode", label="success")
    assert answer.success, answer.message
    assert answer.lost_messages == 0
    assert answer.message == ""
    found = recorded(tmp_path / "one.mcap")
    assert found[0] <= first, MAY_BE_EARLIER
    assert found == list(range(found[0], sent))


def test_a_killed_recorders_episode_is_recovered_and_its_name_refused_until_then(
    recorder, peer, numbers, tmp_path, wait_until
):
    process = recorder(killed=True)
    numbers(20)
    assert peer.call(
        StartEpisode, "recorder/start_episode", name="one", metadata=key_values({"seed": "3"})
    ).success
    first, sent = numbers(0), numbers(200)
    process.kill()
    process.wait()
    partial = tmp_path / f"one.mcap{PARTIAL}"
    found = recorded(partial, partial=True)
    assert found[0] <= first, MAY_BE_EARLIER
    assert found == list(range(found[0], found[0] + len(found)))
    assert found[0] + len(found) > sent - 1.0 / PERIOD_S
    before = partial.read_bytes()
    for count in (0, 1):  # the killed one is seen for a while yet
        wait_until(
            lambda count=count: peer.node.count_services("/recorder/start_episode") == count,
            40,
            f"{count} recorders",
        )
        if count == 0:
            recorder()
    answer = peer.call(StartEpisode, "recorder/start_episode", name="one")
    assert not answer.success
    assert "conure recordings recover" in answer.message
    assert partial.read_bytes() == before
    assert main(["recordings", "recover", str(partial)]) == 0
    assert recorded(tmp_path / "one.mcap") == found
    assert Episode(tmp_path / "one.mcap").metadata["seed"] == "3"
    assert not peer.call(StartEpisode, "recorder/start_episode", name="one").success
    assert recorded(tmp_path / "one.mcap") == found


def test_of_two_recorders_none_begins_an_episode(recorder, peer, wait_until, tmp_path):
    recorder(), recorder()
    answers = []

    def know_each_other():
        """An unusable name begins nothing, whatever a recorder knows by then."""
        answers.append(
            "several" in peer.call(StartEpisode, "recorder/start_episode", name="no name").message
        )
        return len(answers) >= 5 and all(answers[-5:])

    wait_until(know_each_other, 30, "recorders that know each other")
    answer = peer.call(StartEpisode, "recorder/start_episode", name="one")
    assert not answer.success
    assert "several recorders offer /recorder/start_episode" in answer.message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("keys", "why"), [(["a", "", "b"], "a key is empty"), (["a", "b", "a"], "'a'")]
)
def test_metadata_that_cannot_be_stored_as_given_are_refused(keys, why):
    with pytest.raises(DataError, match=f"metadata: .*{why}"):
        _read_metadata([KeyValue(key=key, value="1") for key in keys])
