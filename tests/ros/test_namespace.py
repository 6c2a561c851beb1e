"""A graph in a namespace: all of it is there, so that another one fits beside it on the same domain."""

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage

from conure_ros.bringup.graphs import find_graph
from conure_ros.comms.qos import NEWEST, RECORDED_LATCHED, STREAM

pytestmark = pytest.mark.ros
OF_ALL = {"/diagnostics", "/parameter_events", "/rosout", "/tf", "/tf_static"}
STATUSES = {
    "left/control: mode",
    "left/recorder: episode",
    "left/robot_state_publisher: frames",
    "left/sim_robot: simulation",
    "left/teleop: input",
}


def test_topics_services_statuses_and_frames_of_a_graph_bear_its_names(
    start, peer, wait_until, tmp_path
):
    given = {"arm": "sim", "namespace": "left", "frame_prefix": "left/"}
    reports = peer.listen(DiagnosticArray, "/diagnostics", STREAM)
    start("teleop", folder=str(tmp_path), **given)
    nodes = {node.name for node in find_graph("teleop", given)} - {"manager"}
    found = {
        name: namespace
        for name, namespace in peer.node.get_node_names_and_namespaces()
        if name in nodes
    }
    assert found == dict.fromkeys(nodes, "/left")
    published = {
        topic
        for name in nodes
        for topic, _ in peer.node.get_publisher_names_and_types_by_node(name, "/left")
    }
    assert not [topic for topic in published - OF_ALL if not topic.startswith("/left/")]

    def statuses():
        return [status for message in list(reports) for status in message.status]

    wait_until(lambda: {status.name for status in statuses()} >= STATUSES, 20)
    assert {status.name for status in statuses()} == STATUSES
    assert all(status.hardware_id for status in statuses())

    frames = [
        peer.listen(TFMessage, "/tf", STREAM),
        peer.listen(TFMessage, "/tf_static", RECORDED_LATCHED),
    ]
    images = peer.listen(Image, "/left/camera/image_raw", NEWEST)
    wait_until(lambda: all(frames) and images and len(frames[1]) == 2, 20)
    transforms = [one for heard in frames for message in list(heard) for one in message.transforms]
    children = {one.child_frame_id for one in transforms}
    assert images[-1].header.frame_id == "left/camera_optical_frame"
    assert {"left/camera_optical_frame", "left/ee_gripper_link"} <= children
    named = children | {one.header.frame_id for one in transforms}
    assert all(name.startswith("left/") for name in named)
