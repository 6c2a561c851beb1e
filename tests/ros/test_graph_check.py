"""`conure doctor graph=true`: what it says of each way in which a topic can be wrong, and that a robot
of one's own which is right passes on the real graph.
"""

import copy
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image, JointState

from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_ros.commands.definition_check import compare_definitions
from conure_ros.commands.findings import Missing
from conure_ros.commands.graph_check import Heard, check_images, check_infos, check_joints
from conure_ros.comms.messages import (
    camera_info_message,
    image_message,
    joint_state_message,
    to_ns,
    to_time,
)

ROBOT = load_robot("wx250s")
ARM = Arm(ROBOT)
HOME = np.array(ROBOT.home_rad)
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own_simulator.py"
BEGAN_NS, LATE_NS = 10**15, 4_000_000
K = np.array([[73.0, 0.0, 23.5], [0.0, 73.0, 23.5], [0.0, 0.0, 1.0]])


def heard(topic, make, rate_hz, change=lambda message: message, seconds=2.0):
    """What `make(stamp_ns)` gives, at that rate, a little after its stamp."""
    kept = Heard(topic)
    for number in range(round(seconds * rate_hz)):
        now_s = number / rate_hz
        stamp_ns = BEGAN_NS + round(now_s * 1e9)
        for message in np.atleast_1d(np.array(change(make(stamp_ns)), dtype=object)):
            kept.add(message, now_s, stamp_ns + LATE_NS)
    return kept


def joints(stamp_ns):
    return joint_state_message(ROBOT, HOME, np.zeros(6), ROBOT.gripper_open_m, stamp_ns)


def images(stamp_ns):
    return image_message(np.full((48, 48, 3), 90, np.uint8), stamp_ns, "camera_optical_frame")


def infos(stamp_ns):
    return camera_info_message(K, 48, 48, stamp_ns, "camera_optical_frame")


def changed(**fields):
    def change(message):
        for name, value in fields.items():
            setattr(message, name, value)
        return message

    return change


def stamped(stamp_of):
    def change(message):
        message.header.stamp = to_time(stamp_of(to_ns(message.header.stamp)))
        return message

    return change


def framed(frame):
    def change(message):
        message.header.frame_id = frame
        return message

    return change


def apart(message):
    gripper = copy.deepcopy(message)
    message.name, message.position = list(message.name[:-1]), list(message.position[:-1])
    gripper.name, gripper.position = list(gripper.name[-1:]), list(gripper.position[-1:])
    return [message, gripper]


def with_position(place, value):
    def change(message):
        message.position[place] = value
        return message

    return change


def test_joints_that_are_right_pass_also_apart_and_beside_another_machines():
    assert check_joints(heard("joint_states", joints, 100), ARM).startswith("100 Hz, 4 ms old, 7")
    assert "100 Hz" in check_joints(heard("joint_states", joints, 100, apart), ARM)
    foreign = JointState(name=["wheel"], position=[7.0])
    foreign.header.stamp = to_time(BEGAN_NS)

    def beside(message):
        other = copy.deepcopy(foreign)
        other.header.stamp = message.header.stamp
        return [message, other]

    assert "7 joints" in check_joints(heard("joint_states", joints, 100, beside), ARM)


@pytest.mark.parametrize(
    ("change", "rate_hz", "found", "advice"),
    [
        (None, 0, "no message", "publish joint_states"),
        (None, 10, "10 Hz", "20 Hz or more"),
        (stamped(lambda _: 0), 100, "no stamp", "stamp each message"),
        (stamped(lambda _: BEGAN_NS), 100, "1 stamps in 200 messages", "its own stamp"),
        (stamped(lambda ns: ns + 10**12), 100, "s in the future", "use_sim_time"),
        (stamped(lambda ns: ns - 10**12), 100, "s old when they come", "by the clock"),
        (changed(name=["joint_1"], position=[0.0]), 100, "it has: joint_1", "robot's file"),
        (lambda message: apart(message)[0], 100, "lacks left_finger", "the gripper too"),
        (changed(position=[0.0]), 100, "7 names but 1 positions", "one finite position"),
        (with_position(0, float("nan")), 100, "'waist' is not finite", "one finite position"),
        (with_position(1, -57.0), 100, "'shoulder' reads -57.000 rad", "degrees: publish rad"),
        (with_position(6, 37.0), 100, "'left_finger' reads +37.000 m", "is in m"),
        (with_position(0, 9.0), 100, "'waist' reads +9.000 rad", "unit, zero and sign"),
    ],
)
def test_joints_that_are_wrong_are_named_with_what_to_do(change, rate_hz, found, advice):
    kept = heard("joint_states", joints, rate_hz, change or (lambda message: message))
    with pytest.raises(Missing) as missing:
        check_joints(kept, ARM)
    assert found in missing.value.found and advice in missing.value.advice


def test_images_that_are_right_pass():
    found = check_images(heard("camera/image_raw", images, 10), 48, ROBOT)
    assert found == "10 Hz, 4 ms old, 48x48 rgb8, frame camera_optical_frame"


@pytest.mark.parametrize(
    ("change", "rate_hz", "found", "advice"),
    [
        (None, 0, "no message", "publish camera/image_raw"),
        (None, 5, "5.0 Hz", "publish at 10 Hz or more"),
        (changed(encoding="bayer_rggb8"), 10, "bayer_rggb8", "publish rgb8"),
        (changed(data=b"x"), 10, "got 1", "publish rgb8"),
        (changed(data=bytes(48 * 48 * 3)), 10, "black", "render the scene"),
        (framed(""), 10, "no frame_id", "optical frame"),
        (stamped(lambda _: 0), 10, "no stamp", "stamp each message"),
    ],
)
def test_images_that_are_wrong_are_named_with_what_to_do(change, rate_hz, found, advice):
    kept = heard("camera/image_raw", images, rate_hz, change or (lambda message: message))
    with pytest.raises(Missing) as missing:
        check_images(kept, 48, ROBOT)
    assert found in missing.value.found and advice in missing.value.advice


def test_images_of_another_size_are_named():
    with pytest.raises(Missing, match="48x48 px, the policy sees 96x96 px"):
        check_images(heard("camera/image_raw", images, 10), 96, ROBOT)


def test_camera_infos_that_are_right_pass():
    found = check_infos(heard("camera_info", infos, 10), heard("image", images, 10))
    assert found == "10 Hz, focal length 73.0 px, frame camera_optical_frame"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (changed(k=[0.0] * 9), "k is empty"),
        (changed(width=640, height=480), "for 640x480 px, images have 48x48 px"),
        (framed("elsewhere"), "frame 'elsewhere', images have 'camera_optical_frame'"),
        (stamped(lambda ns: ns + 1), "no stamp equals an image's"),
        (stamped(lambda _: 0), "no stamp"),
    ],
)
def test_camera_infos_that_are_wrong_are_named(change, found):
    with pytest.raises(Missing) as missing:
        check_infos(heard("camera_info", infos, 10, change), heard("image", images, 10))
    assert found in missing.value.found and missing.value.advice


def end(node_name, topic_type, topic_type_hash):
    return SimpleNamespace(
        node_name=node_name, topic_type=topic_type, topic_type_hash=topic_type_hash
    )


def test_nodes_that_were_built_against_other_definitions_are_named():
    state, command = "conure_msgs/msg/RobotState", "conure_msgs/msg/PolicyCommand"
    alike = [end("control", state, "a"), end("policy", state, "a"), end("policy", command, "b")]
    unknown = [end("bridge", state, "INVALID"), SimpleNamespace(node_name="humble")]
    assert compare_definitions([*alike, *unknown]) == "one definition of each of 2 types"
    with pytest.raises(Missing, match=f"control, policy and own .* definitions of {state}") as no:
        compare_definitions([*alike, end("own", state, "c")])
    assert "one conure_msgs" in no.value.advice


def test_a_topic_of_which_nothing_came_is_said():
    for kind in (Image, CameraInfo):
        with pytest.raises(Missing, match="no message"):
            Heard(kind.__name__).require_messages()


@pytest.mark.ros
def test_a_robot_of_ones_own_passes_on_the_real_graph_and_runs_a_trial(
    start, bundle, domain, tmp_path, wait_until
):
    variables = {**os.environ, **domain}
    with subprocess.Popen([sys.executable, str(EXAMPLE)], env=variables) as own:
        try:
            graph = start(
                "evaluate",
                arm="external",
                bundle=str(bundle),
                folder=str(tmp_path / "trials"),
                trials=1,
                timeout_s=8.0,
            )
            words = "import sys; from conure_core.cli import main; sys.exit(main())"
            done = subprocess.run(
                [sys.executable, "-c", words, "doctor", "graph=true"],
                env=variables,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            rows = done.stdout.splitlines()
            assert done.returncode == 0, done.stdout + done.stderr
            assert [row for row in rows if not row.startswith("OK")] == []
            assert len(rows) == 8
            wait_until(lambda: graph.process("evaluator").poll() == 0, 60)
            assert any("trial 1/1 seed 0: " in line for _, line in graph.lines)
        finally:
            own.send_signal(signal.SIGINT)
            assert own.wait(20) == 0
