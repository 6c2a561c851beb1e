"""Every script in examples/ runs at toy size, in the order in which one makes what the next one
takes.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conure_ros.comms.messages import image_message
from conure_ros.comms.schemas import schema_text
from conure_ros.recording.episodes import Topic
from conure_ros.recording.writer import EpisodeWriter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
MOST_LINES = 45
BESIDE_A_GRAPH = {"own_simulator": 115}
"""Tried in tests/ros; the most lines of each."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("examples")


def run(name, *words):
    """What an example prints, the first line it says on stderr otherwise."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "ROS_LOG_DIR": os.devnull},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def demos(folder):
    printed = run("collect_demonstrations", folder / "demos")
    assert "6 episodes" in printed
    return folder / "demos"


@pytest.fixture(scope="module")
def prior(demos, folder):
    printed = run("train_a_prior", demos, folder / "prior")
    assert "its log-likelihood" in printed
    return folder / "prior" / "prior.pt"


def test_the_expert_succeeds_where_random_actions_do_not():
    printed = run("step_an_environment")
    assert "reward 0.0" in printed
    assert "the expert: success" in printed


def test_a_prior_of_collected_demonstrations_acts(prior):
    assert run("act_with_a_policy", prior).count("target") == 2


def test_a_bundle_runs_without_torch_and_simulator(tried):
    printed = run("run_a_bundle", tried / "out" / "bundle")
    assert "nats" in printed
    assert "standing still" in printed


def test_the_gate_slows_a_leap_and_refuses_what_is_stale():
    printed = run("gate_a_joint_command")
    assert "changed nothing" in printed
    assert "speed waist" in printed
    assert "holding" in printed


def test_a_recording_is_read_without_ros(folder):
    from rclpy.serialization import serialize_message
    from sensor_msgs.msg import JointState

    types = {
        "/camera/image_raw": "sensor_msgs/msg/Image",
        "/joint_states": "sensor_msgs/msg/JointState",
    }
    topics = [Topic(name, kind, schema_text(kind)) for name, kind in types.items()]
    writer = EpisodeWriter(folder, "episode", topics)
    image = image_message(np.zeros((4, 5, 3), np.uint8), 1_500_000_000, "camera")
    writer.write("/camera/image_raw", serialize_message(image), 1, 1)
    writer.write("/joint_states", serialize_message(JointState(position=[0.25])), 2, 2)
    printed = run("read_a_recording", writer.close({}))
    assert "+0.25" in printed
    assert "(4, 5, 3), taken at 1.50 s" in printed


def test_every_example_is_short_and_runs_here():
    names = {path.stem for path in EXAMPLES.glob("*.py")} - set(BESIDE_A_GRAPH)
    here = Path(__file__).read_text()
    assert names == {name for name in names if f'run("{name}"' in here}
    most = {**dict.fromkeys(names, MOST_LINES), **BESIDE_A_GRAPH}
    lengths = {name: len((EXAMPLES / f"{name}.py").read_text().splitlines()) for name in most}
    assert all(lengths[name] <= most[name] for name in most), lengths
