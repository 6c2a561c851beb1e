import resource
import subprocess
import sys

import numpy as np
import pytest
from rclpy.serialization import serialize_message

from conure_core.errors import ConfigError, DataError
from conure_msgs.msg import PolicyCommand
from conure_ros.comms.messages import image_message, to_time
from conure_ros.comms.schemas import schema_text
from conure_ros.nodes.recorder_node import RECORDED_TYPES
from conure_ros.recording.episodes import PARTIAL, Episode, Topic
from conure_ros.recording.trials import measure
from conure_ros.recording.writer import EpisodeWriter

TOPICS = [
    Topic("/camera/image_raw", "sensor_msgs/msg/Image", schema_text("sensor_msgs/msg/Image")),
    Topic(
        "/command/policy",
        "conure_msgs/msg/PolicyCommand",
        schema_text("conure_msgs/msg/PolicyCommand"),
    ),
]


def write(folder, name="one", count=3):
    writer = EpisodeWriter(folder, name, TOPICS)
    for index in range(count):
        pixels = np.full((4, 5, 3), index % 256, np.uint8)
        writer.write(
            "/camera/image_raw",
            serialize_message(image_message(pixels, index, "camera")),
            index,
            index,
        )
        command = PolicyCommand(
            action=[float(index)] * 7, log_likelihood=-1.5, source=PolicyCommand.POLICY
        )
        command.header.stamp = to_time(index)
        writer.write("/command/policy", serialize_message(command), index, index)
    return writer


def test_a_recording_reads_back_without_ros(tmp_path):
    path = write(tmp_path).close({"seed": 3, "label": "success", "objects": ["cube"]})
    episode = Episode(path)
    assert episode.metadata == {"seed": "3", "label": "success", "objects": '["cube"]'}
    assert episode.counts == {"/camera/image_raw": 3, "/command/policy": 3}
    for index, (stamp_ns, pixels) in enumerate(episode.images()):
        assert stamp_ns == index
        assert (pixels == index).all()
        assert pixels.shape == (4, 5, 3)
    commands = [record.message for record in episode.messages("/command/policy")]
    assert [command.action for command in commands] == [[float(index)] * 7 for index in range(3)]
    assert commands[0].log_likelihood == -1.5


WITHOUT_ROS = """
import sys
sys.modules |= dict.fromkeys(["rclpy", "sensor_msgs", "rosidl_runtime_py"])
from pathlib import Path
from conure_ros.recording.episodes import Episode
print(len(list(Episode(Path(sys.argv[1])).images())))
"""


def test_reading_imports_nothing_of_ros(tmp_path):
    path = write(tmp_path).close({})
    words = [sys.executable, "-c", WITHOUT_ROS, str(path)]
    read = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert read.stdout == "3\n", read.stderr


def test_until_it_is_closed_a_recording_has_no_final_name(tmp_path):
    writer = write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"one.mcap{PARTIAL}"]
    writer.close({})
    assert [path.name for path in tmp_path.iterdir()] == ["one.mcap"]


def test_a_discarded_recording_leaves_nothing(tmp_path):
    write(tmp_path).discard()
    assert not list(tmp_path.iterdir())


def test_a_taken_name_is_refused(tmp_path):
    write(tmp_path).close({})
    with pytest.raises(DataError, match="exists"):
        EpisodeWriter(tmp_path, "one", TOPICS)


@pytest.mark.parametrize("name", ["", "../one", "a b", "one.mcap"])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    with pytest.raises(DataError, match="only letters"):
        EpisodeWriter(tmp_path, name, TOPICS)


def test_a_full_disk_leaves_no_file_under_the_final_name(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = write(tmp_path, count=5000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            writer.close({})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "one.mcap").exists()
    assert (tmp_path / f"one.mcap{PARTIAL}").exists()


def test_a_truncated_recording_is_refused_by_name(tmp_path):
    path = write(tmp_path).close({})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"one\.mcap"):
        Episode(path)
    with pytest.raises(DataError, match=r"two\.mcap"):
        Episode(tmp_path / "two.mcap")


@pytest.mark.parametrize(
    "kind", dict.fromkeys(RECORDED_TYPES.values()), ids=lambda kind: kind.__name__
)
def test_every_recorded_type_has_a_schema_that_its_messages_decode_with(tmp_path, kind):
    name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
    writer = EpisodeWriter(tmp_path, "one", [Topic("/topic", name, schema_text(name))])
    writer.write("/topic", serialize_message(kind()), 1, 1)
    (record,) = Episode(writer.close({})).messages()
    assert set(kind.get_fields_and_field_types()) == set(record.message.__slots__)


def test_an_unknown_package_is_refused_by_name():
    with pytest.raises(ConfigError, match="no_such_msgs/msg/Thing"):
        schema_text("no_such_msgs/msg/Thing")


def test_latency_runs_from_capture_to_the_first_command_after_the_inference(tmp_path):
    from trajectory_msgs.msg import JointTrajectory

    trajectory_type = "trajectory_msgs/msg/JointTrajectory"
    topics = [*TOPICS, Topic("/joint_trajectory", trajectory_type, schema_text(trajectory_type))]
    writer = EpisodeWriter(tmp_path, "one", topics)
    for captured_ms, ended_ms, commanded_ms in ((0, 3, 5), (100, 104, 107), (200, 202, None)):
        decision = PolicyCommand(log_likelihood=2.0)
        decision.header.stamp, decision.inference_start = (
            to_time(captured_ms * 10**6),
            to_time((ended_ms - 1) * 10**6),
        )
        decision.inference_end = to_time(ended_ms * 10**6)
        writer.write("/command/policy", serialize_message(decision), ended_ms, ended_ms)
        if commanded_ms is not None:
            command = JointTrajectory()
            command.header.stamp = to_time(commanded_ms * 10**6)
            writer.write(
                "/joint_trajectory", serialize_message(command), commanded_ms, commanded_ms
            )
    measures = measure(writer.close({}))
    assert measures.capture_to_command_ms == [5.0, 7.0]
    assert measures.inference_ms == [1.0, 1.0, 1.0]
    assert measures.command_interval_ms == [102.0]
    assert measures.log_likelihood == [2.0, 2.0, 2.0]
