"""policy_node and images that are not of the policy's size, or not of the present."""

import time
from itertools import pairwise

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image
from std_msgs.msg import String

from conure_msgs.msg import PolicyCommand
from conure_ros.bringup.graphs import (
    FAULT,
    GRAPHS,
    POLICY,
    SIM_ROBOT,
    build_graph,
    through_fault_node,
)
from conure_ros.comms.messages import to_ns
from conure_ros.comms.qos import NEWEST, STREAM

pytestmark = pytest.mark.ros


@pytest.fixture
def seeing(start, bundle, monkeypatch):
    """Simulated robot with images four times as large, and the policy."""
    graphs = []

    def started(fit, *nodes, **parameters):
        monkeypatch.setitem(GRAPHS, "large", build_graph(*(nodes or (SIM_ROBOT, POLICY))))
        large = {"sim_robot.camera_scale": 4, "policy.image_fit": fit}
        graphs.append(start("large", bundle=str(bundle), **large, **parameters))

    yield started
    for graph in graphs:
        graph.stop()


def test_images_of_another_size_are_refused_with_what_to_do(seeing, peer, wait_until):
    commands, diagnostics = (
        peer.listen(PolicyCommand, "command/policy"),
        peer.listen(DiagnosticArray, "/diagnostics"),
    )
    seeing("none")
    wait_until(
        lambda: any(
            "the camera sends 192x192 px; set" in item.status[0].message for item in diagnostics
        ),
        20,
    )
    time.sleep(0.3)
    assert not commands


def test_images_that_are_steadily_late_by_their_stamps_are_refused_until_they_are_not(
    seeing, peer, wait_until
):
    """Images of another size, stretched, are answered as long as they are in time."""
    nodes = (
        through_fault_node(SIM_ROBOT, "camera/image_raw", "joint_states"),
        through_fault_node(POLICY, "command/policy"),
        FAULT,
    )
    commands, diagnostics = (
        peer.listen(PolicyCommand, "command/policy"),
        peer.listen(DiagnosticArray, "/diagnostics"),
    )
    faults = peer.node.create_publisher(String, "faults/inject", STREAM)
    seeing("stretch", *nodes)
    wait_until(lambda: len(commands) > 5, 20, "images in time are answered")
    faults.publish(String(data="camera 200 ms late"))
    wait_until(
        lambda: any("s old when it came" in item.status[0].message for item in diagnostics), 20
    )
    time.sleep(0.3)  # what is on its way comes
    commands.clear()
    time.sleep(1.0)
    assert not commands
    faults.publish(String(data=""))
    wait_until(lambda: len(commands) > 5, 20, "and again, as soon as they are in time")


def test_a_camera_of_three_times_the_control_rate_is_answered_once_a_control_period(
    seeing, peer, wait_until
):
    """Images of another size, cropped, are answered too."""
    commands = peer.listen(PolicyCommand, "command/policy")
    seeing("crop", **{"sim_robot.camera_period_s": 1 / 30})
    wait_until(lambda: len(commands) > 30, 30)
    stamps_s = [to_ns(command.header.stamp) / 1e9 for command in commands]
    assert min(after - before for before, after in pairwise(stamps_s)) >= 0.05
    assert (stamps_s[-1] - stamps_s[0]) / (len(stamps_s) - 1) > 0.095

    # Beside a second camera it is unknown which one sees the scene.
    diagnostics = peer.listen(DiagnosticArray, "/diagnostics")
    second = peer.node.create_publisher(Image, "camera/image_raw", NEWEST)
    try:
        named = "/sim_robot, /test all publish /camera/image_raw"
        wait_until(
            lambda: any(named in item.status[0].message for item in diagnostics), 20, "both named"
        )
        commands.clear()
        time.sleep(0.5)
        assert not commands
    finally:
        peer.node.destroy_publisher(second)
    wait_until(lambda: commands, 20, "one camera is answered again")
