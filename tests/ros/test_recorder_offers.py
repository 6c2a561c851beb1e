"""The recorder of one robot of two: it takes what is offered, says what it lacks, and keeps its
own.
"""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from hypothesis import given
from hypothesis import strategies as st
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_check_compatible
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import CameraInfo, Image, JointState

from conure_msgs.msg import RobotState
from conure_msgs.srv import StartEpisode, StopEpisode
from conure_ros.comms.messages import image_message, mode_message
from conure_ros.comms.qos import ANY, LATCHED, NEWEST, RECORDED, STATE
from conure_ros.control.arbiter import Mode
from conure_ros.recording.episodes import Episode
from conure_ros.recording.offered_qos import adapt_request, describe_offers
from conure_ros.recording.own_diagnostics import Graph

MAIN = "from conure_ros.nodes.recorder_node import main; main()"
OVERRIDE = "qos_overrides./left/joint_states.subscription.reliability"
PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


@pytest.fixture(scope="module")
def folder(domain, tmp_path_factory):
    """Of a recorder in the namespace /left, to which a user gave an override."""
    folder = tmp_path_factory.mktemp("recordings")
    words = [sys.executable, "-c", MAIN, "--ros-args", "-r", "__ns:=/left"]
    words += ["-p", f"folder:={folder}", "-p", f"{OVERRIDE}:=best_effort"]
    process = subprocess.Popen(words, env={**os.environ, **domain})
    yield folder
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


@pytest.fixture(scope="module")
def publish(peer, wait_until):
    """A publisher that the recorder takes from; returns its function."""

    def made(kind, topic, quality):
        publisher = peer.node.create_publisher(kind, f"/left/{topic}", quality)
        wait_until(lambda: publisher.get_subscription_count() > 0, 20, f"a recorder of {topic}")
        return publisher.publish

    return made


@pytest.fixture(scope="module")
def right(peer):
    """A node of the other robot."""
    node = rclpy.create_node("camera", namespace="right", context=peer.context)
    yield node
    node.destroy_node()


@pytest.fixture(scope="module")
def recording(folder, peer, publish, right, wait_until):
    """An episode of topics that are offered in other ways than the recorder first asks for."""
    calibrations = peer.node.create_publisher(CameraInfo, "/left/camera/camera_info", LATCHED)
    calibrations.publish(CameraInfo(width=4, height=4))
    images = publish(Image, "camera/image_raw", ANY)
    joints = publish(JointState, "joint_states", NEWEST)
    publish(Image, "wrist/image_raw", NEWEST)
    states = publish(RobotState, "robot_state", STATE)
    ours = publish_diagnostics(peer.node)
    theirs = publish_diagnostics(right)
    said = peer.listen(DiagnosticArray, "/diagnostics")
    wait_until(lambda: len(said) > 1, 20, "the recorder's own diagnostics")
    assert peer.call(StartEpisode, "left/recorder/start_episode", name="one").success

    def send():
        images(image_message(PIXELS, peer.now_ns, "camera"))
        joints(JointState(name=["waist"], position=[0.5]))
        states(RobotState(mode=mode_message(Mode.HOLD)))
        ours("left/control: loop", "shared: cpu")
        theirs("right/camera: capture", "camera: driver")
        time.sleep(0.02)
        return any(
            "no message of /left/wrist/image_raw" in status.message
            for array in list(said)
            for status in array.status
        )

    wait_until(send, 20, "a warning while it is recorded")
    return peer.call(StopEpisode, "left/recorder/stop_episode", label="success"), Episode(
        folder / "one.mcap"
    )


def publish_diagnostics(node):
    publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 20)

    def send(*names):
        status = [DiagnosticStatus(name=name, level=DiagnosticStatus.OK) for name in names]
        publisher.publish(DiagnosticArray(status=status))

    return send


@pytest.mark.nodes
def test_what_is_published_best_effort_or_was_before_is_recorded(recording):
    _, episode = recording
    assert episode.counts["/left/camera/image_raw"] > 10
    assert episode.counts["/left/camera/camera_info"] == 1
    assert episode.counts["/left/joint_states"] > 10
    assert episode.counts["/left/robot_state"] > 10


@pytest.mark.nodes
def test_images_of_a_robot_in_a_namespace_are_found(recording):
    _, episode = recording
    _, pixels = next(episode.images())
    assert np.array_equal(pixels, PIXELS)
    assert sum(1 for _ in episode.messages("joint_states")) == episode.counts["/left/joint_states"]


@pytest.mark.nodes
def test_a_stream_that_is_published_and_missing_is_named_at_the_end_and_in_the_metadata(recording):
    answer, episode = recording
    assert answer.success
    assert "no message of /left/wrist/image_raw, which is published" in answer.message
    assert json.loads(episode.metadata["missing_topics"]) == ["/left/wrist/image_raw"]


@pytest.mark.nodes
def test_other_robots_diagnostics_are_left_out(recording):
    _, episode = recording
    arrays = [one.message for one in episode.messages("/diagnostics")]
    names = {status.name for array in arrays for status in array.status}
    assert names >= {"left/control: loop", "shared: cpu"}
    assert not {name for name in names if "camera" in name}


@pytest.mark.nodes
def test_an_override_holds_whatever_is_offered(recording, peer):
    ends = peer.node.get_subscriptions_info_by_topic("/left/joint_states")
    asked = [end.qos_profile.reliability for end in ends if end.node_name == "recorder"]
    assert asked == [ReliabilityPolicy.BEST_EFFORT]


@pytest.mark.nodes
def test_a_foreign_reader_finds_what_each_publisher_offered(recording):
    _, episode = recording
    with AnyReader([episode.path]) as reader:
        offers = {one.topic: one.ext.offered_qos_profiles for one in reader.connections}
        assert reader.message_count == sum(episode.counts.values())
    (image,) = offers["/left/camera/image_raw"]
    assert image.reliability.name.lower() == "best_effort"
    assert image.durability.name.lower() == "volatile"
    (state,) = offers["/left/robot_state"]
    assert state.durability.name.lower() == "transient_local"
    assert (state.deadline.sec, state.deadline.nsec) == (0, STATE.deadline.nanoseconds)
    (transforms,) = offers["/tf_static"]
    assert transforms.durability.name.lower() == "transient_local", "nobody publishes it yet"


@pytest.mark.parametrize("distribution", ["humble", "jazzy"])
def test_each_distribution_reads_its_own_spelling(distribution):
    from rosbags.rosbag2.metadata import parse_qos

    text = describe_offers([LATCHED, ANY], distribution)
    assert ("transient_local" in text) == (distribution == "jazzy")
    latched, best_effort = parse_qos(text)
    assert latched.durability.name.lower() == "transient_local"
    assert best_effort.reliability.name.lower() == "best_effort"


profiles = st.builds(
    QoSProfile,
    depth=st.just(1),
    reliability=st.sampled_from([ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT]),
    durability=st.sampled_from([DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL]),
)


@given(st.lists(profiles, max_size=4))
def test_what_is_asked_for_fits_every_publisher_and_is_the_most_that_does(offered):
    asked = adapt_request(RECORDED, offered)
    assert asked.history == RECORDED.history
    for one in offered:
        compatibility, why = qos_check_compatible(one, asked)
        assert compatibility.name != "ERROR", why
    if offered and all(one.reliability == ReliabilityPolicy.RELIABLE for one in offered):
        assert asked.reliability == ReliabilityPolicy.RELIABLE
    if offered and all(one.durability == DurabilityPolicy.TRANSIENT_LOCAL for one in offered):
        assert asked.durability == DurabilityPolicy.TRANSIENT_LOCAL


NODES = [
    ("recorder", "/left"), ("camera", "/left"), ("driver", "/left/arm"),
    ("recorder", "/right"), ("camera", "/right"), ("driver", "/right/arm"), ("laser", "/right"),
    ("monitor", "/"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("left/camera: capture", True),
        ("/left/arm/driver: motor 3", True),
        ("right/camera: capture", False),
        ("/right/arm/driver: motor 3", False),
        ("laser: frequency", False),
        ("camera: capture", True),
        ("monitor: cpu", True),
        ("some hardware/left finger: heat", True),
        ("", True),
    ],
)
def test_a_status_belongs_to_the_nearest_recorder_above_its_node(name, own):
    assert Graph("recorder", "/left", NODES).owns_status(name) == own


def test_a_recorder_in_the_root_namespace_leaves_out_robots_that_have_their_own():
    nodes = [("recorder", "/"), ("recorder", "/right"), ("camera", "/right"), ("usb", "/drivers")]
    graph = Graph("recorder", "/", nodes)
    assert not graph.owns_status("right/camera: capture")
    assert graph.owns_status("drivers/usb: camera")
