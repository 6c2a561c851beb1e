"""policy_node and images that are not of the policy's size."""

import time

import pytest
from diagnostic_msgs.msg import DiagnosticArray

from conure_msgs.msg import PolicyCommand
from conure_ros.node_table import GRAPHS, POLICY, SIM_ROBOT, managed

pytestmark = pytest.mark.ros


@pytest.fixture
def seeing(start, bundle, monkeypatch):
    """Simulated robot with images four times as large, and the policy."""
    monkeypatch.setitem(GRAPHS, "large", managed(SIM_ROBOT, POLICY))
    graphs = []

    def started(fit):
        graphs.append(start("large", bundle=str(bundle), **{"sim_robot.camera_scale": 4, "policy.image_fit": fit}))

    yield started
    for graph in graphs:
        graph.stop()


def test_images_of_another_size_are_refused_with_what_to_do(seeing, peer, wait_until):
    commands, diagnostics = peer.listen(PolicyCommand, "command/policy"), peer.listen(DiagnosticArray, "/diagnostics")
    seeing("none")
    wait_until(lambda: any("the camera sends 192x192 px; set" in item.status[0].message for item in diagnostics), 20)
    time.sleep(0.3)
    assert not commands


@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_images_of_another_size_are_used_by_the_rule_that_was_chosen(seeing, peer, fit, wait_until):
    commands = peer.listen(PolicyCommand, "command/policy")
    seeing(fit)
    wait_until(lambda: len(commands) > 5, 20)
