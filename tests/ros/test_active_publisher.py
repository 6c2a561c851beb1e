"""A node that is not active, such as one of a second graph, publishes none of the arm's topics."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState

from conure_core.errors import RobotError
from conure_ros.comms.lifecycle import ManagedNode
from conure_ros.comms.qos import NEWEST
from conure_ros.nodes.camera_node import CameraNode
from conure_ros.nodes.control_node import ControlNode
from conure_ros.nodes.policy_node import PolicyNode
from conure_ros.nodes.sim_robot_node import SimRobotNode
from conure_ros.nodes.teleop_node import TeleopNode

pytestmark = pytest.mark.nodes
SUCCESS = TransitionCallbackReturn.SUCCESS
OF_THE_ARM = ("joint_", "camera/", "wrist/", "command/policy", "command/teleop", "gripper")


class Driver(ManagedNode):
    refuses = False

    def configure(self):
        self.joints = self.publisher_while_active(JointState, "joint_states", NEWEST)

    def activate(self):
        if self.refuses:
            raise RobotError("no power")


def of_the_arm(node):
    topics = [publisher.topic.lstrip("/") for publisher in node.publishers]
    return sorted(topic for topic in topics if topic.startswith(OF_THE_ARM))


@pytest.fixture
def made(context):
    nodes = []

    def make(kind, *name):
        nodes.append(kind(*name))
        return nodes[-1]

    yield make
    for node in nodes:
        node.end()
        node.destroy_node()


def test_a_publisher_exists_as_long_as_its_node_is_active(made):
    node = made(Driver, "driver")
    assert node.trigger_configure() == SUCCESS
    node.joints.publish(JointState())
    assert (of_the_arm(node), node.joints.held) == ([], False)
    for _ in range(2):
        assert node.trigger_activate() == SUCCESS
        assert (of_the_arm(node), node.joints.held) == (["joint_states"], True)
        node.joints.publish(JointState())
        assert node.trigger_deactivate() == SUCCESS
        assert of_the_arm(node) == []
    node.refuses = True
    assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert of_the_arm(node) == []
    node.refuses = False
    assert node.trigger_activate() == SUCCESS
    assert node.trigger_shutdown() == SUCCESS
    assert of_the_arm(node) == []


@pytest.mark.parametrize("kind", [SimRobotNode, CameraNode, ControlNode, PolicyNode, TeleopNode])
def test_a_configured_node_publishes_nothing_of_the_arm(made, kind, bundle, tmp_path):
    node = made(kind)
    if kind is PolicyNode:
        assert node.set_parameters([Parameter("bundle", value=str(bundle))])[0].successful
    if kind is ControlNode:
        node.parameters = replace(node.parameters, robot="ur5e_ros2_control")
    if kind is CameraNode:
        picture = np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8)
        assert cv2.imwrite(str(tmp_path / "0.png"), picture)
        node.parameters = replace(node.parameters, source=str(tmp_path))
    assert node.trigger_configure() == SUCCESS
    assert of_the_arm(node) == []
