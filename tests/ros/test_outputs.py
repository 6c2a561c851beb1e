"""What leaves for the controllers and when, with a clock of the test's own; the graph tests run the
real ones.
"""

import numpy as np
import pytest
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from conure_core.control.safety import JointCommand
from conure_core.errors import ConfigError
from conure_core.robot.description import load_robot
from conure_core.robot.ros2_control import Ros2ControlConfig
from conure_ros.control import outputs
from conure_ros.control.outputs import PositionStream, TrajectoryOutput, open_output

ROBOT = load_robot("ur5e")
ARM_RAD = np.array(ROBOT.home_rad)
BACKWARDS = ROBOT.joint_names[::-1]
TICK_S = 0.01


class Publisher:
    def __init__(self, kind, topic):
        self.kind, self.topic, self.sent, self.held = kind, topic, [], True

    def publish(self, message):
        assert isinstance(message, self.kind)
        self.sent.append(message)


class Node:
    """Keeps what an output makes; `tick` is what its timer does, a period later."""

    def __init__(self):
        self.publishers, self.timers, self.warnings = {}, [], []

    def publisher_while_active(self, kind, topic, quality):
        self.publishers[topic] = Publisher(kind, topic)
        return self.publishers[topic]

    def steady_timer(self, period_s, callback):
        self.timers.append((period_s, callback))

    def get_logger(self):
        return self

    def warning(self, text):
        self.warnings.append(text)

    def tick(self, times=1):
        ((period_s, callback),) = self.timers
        assert period_s == pytest.approx(TICK_S), "as the documents promise, 100 Hz"
        for _ in range(times):
            callback()


class Sole(Publisher):
    """Stands for the claim to the arm's topic, which only control_node's process tests can make."""

    def __init__(self, node, kind, topic, quality):
        super().__init__(kind, topic)


@pytest.fixture
def node(monkeypatch):
    monkeypatch.setattr(outputs, "SolePublisher", Sole)
    return Node()


def command(joint_rad=ARM_RAD, gripper_m=0.02, duration_s=0.1):
    return JointCommand(np.array(joint_rad, dtype=float), gripper_m, duration_s)


def opened(node, kind, **words):
    return open_output(node, ROBOT, Ros2ControlConfig(kind, **words))


def test_the_configuration_chooses_the_kind(node):
    assert isinstance(opened(node, "positions"), PositionStream)
    assert isinstance(opened(node, "trajectory"), TrajectoryOutput)


@pytest.mark.parametrize("kind", ["positions", "trajectory"])
def test_a_gripper_that_nothing_commands_is_said_and_one_that_is_commanded_is_not(node, kind):
    opened(node, kind, joints=ROBOT.joint_names)
    assert node.warnings == [
        f"nothing commands {ROBOT.gripper_joint}: neither joints nor gripper_topic"
    ]
    node.warnings.clear()
    opened(node, kind)
    output = opened(node, kind, topic="arm", gripper_topic="gripper")
    assert not node.warnings
    assert output.topics == ("arm", "gripper"), "control watches both"


@pytest.mark.parametrize("kind", ["positions", "trajectory"])
def test_a_joint_that_the_robot_lacks_is_refused(node, kind):
    with pytest.raises(ConfigError, match="elbow_joint"):
        opened(node, kind, joints=("elbow", *BACKWARDS))


# As a trajectory.


def test_a_trajectory_has_the_controllers_joints_in_its_order_and_its_stamp(node):
    output = opened(node, "trajectory", topic="arm", joints=BACKWARDS, gripper_topic="gripper")
    output.send(command(), 1_500_000_000)
    (arm,), (gripper,) = output.sole.sent, node.publishers["gripper"].sent
    assert output.sole.topic == "arm"
    assert list(arm.joint_names) == list(BACKWARDS)
    assert list(arm.points[0].positions) == ARM_RAD[::-1].tolist()
    assert list(gripper.joint_names) == [ROBOT.gripper_joint]
    assert list(gripper.points[0].positions) == [0.02]
    for message in (arm, gripper):
        assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1, 500_000_000)
        assert message.points[0].time_from_start.nanosec == 100_000_000


def test_a_controller_of_all_joints_is_told_the_gripper_as_well(node):
    output = opened(node, "trajectory")
    output.send(command(), 0)
    (message,) = output.sole.sent
    assert isinstance(message, JointTrajectory)
    assert list(message.joint_names) == list(ROBOT.command_names)
    assert list(message.points[0].positions) == [*ARM_RAD.tolist(), 0.02]
    assert not node.publishers


@pytest.mark.parametrize("kind", ["positions", "trajectory"])
def test_without_the_claim_to_the_arm_the_gripper_is_told_nothing(node, kind):
    output = opened(node, kind, gripper_topic="gripper")
    output.begin(ARM_RAD, 0.03)
    output.sole.held = False
    output.send(command(), 0)
    if kind == "positions":
        node.tick(5)
    assert not node.publishers["gripper"].sent
    output.sole.held = True
    output.send(command(), 0)
    if kind == "positions":
        node.tick(1)
    assert len(node.publishers["gripper"].sent) == 1


# As a stream of positions.


def stream(node, **words):
    output = opened(node, "positions", **words)
    output.begin(ARM_RAD, 0.03)
    return output


def test_positions_lead_straight_from_where_the_arm_is_to_the_command_in_its_time_and_then_end(
    node,
):
    output = stream(node)
    goal = ARM_RAD + 0.1
    output.send(command(goal, 0.02, 0.1), 0)
    node.tick(30)
    assert all(isinstance(message, Float64MultiArray) for message in output.sole.sent)
    sent = np.array([message.data for message in output.sole.sent])
    steps = np.arange(1, len(sent) + 1)[:, None] * TICK_S / 0.1
    start, end = np.append(ARM_RAD, 0.03), np.append(goal, 0.02)
    np.testing.assert_allclose(sent, start + (end - start) * np.minimum(steps, 1.0), atol=1e-12)
    assert 10 <= len(sent) <= 12, "an arm at rest is told nothing"
    np.testing.assert_allclose(sent[-1], end)


def test_a_new_command_leads_on_from_the_position_that_was_sent_last(node):
    output = stream(node)
    output.send(command(ARM_RAD + 0.1, 0.03, 0.1), 0)
    node.tick(5)
    output.send(command(ARM_RAD, 0.03, 0.1), 0)
    node.tick(1)
    sent = np.array([message.data for message in output.sole.sent])[:, 0] - ARM_RAD[0]
    np.testing.assert_allclose(sent, [0.01, 0.02, 0.03, 0.04, 0.05, 0.045], atol=1e-12)


@pytest.mark.parametrize("missed", [(), (2,)])
@pytest.mark.parametrize(
    "share", [np.ones(6), -np.eye(6)[2]], ids=["all joints", "one joint, downwards"]
)
def test_a_command_between_two_positions_or_after_missed_ones_makes_no_joint_faster(
    node, share, missed
):
    output = stream(node)
    fastest_rad_s = np.array(ROBOT.max_speed_rad_s)
    way_rad = 0.045 * fastest_rad_s * share
    for number in range(6):
        output.send(command(ARM_RAD + (number + 1) * way_rad, 0.03, 0.045), 0)
        node.tick(0 if number in missed else 4)
    node.tick(20)
    sent = np.vstack([ARM_RAD, [message.data[:6] for message in output.sole.sent]])
    assert (np.abs(np.diff(sent, axis=0)) / TICK_S <= fastest_rad_s * (1 + 1e-9)).all()
    np.testing.assert_allclose(sent[-1], ARM_RAD + 6 * way_rad)


def test_the_values_have_the_order_of_the_controllers_joints_and_the_gripper_its_own_topic(node):
    output = stream(node, joints=BACKWARDS, gripper_topic="gripper")
    output.send(command(ARM_RAD + np.arange(6) * 0.001, 0.02, TICK_S), 0)
    node.tick(1)
    np.testing.assert_allclose(output.sole.sent[0].data, (ARM_RAD + np.arange(6) * 0.001)[::-1])
    (gripper,) = node.publishers["gripper"].sent
    assert gripper.data.tolist() == [pytest.approx(0.02)]


def test_nothing_is_streamed_before_a_command_and_nothing_more_after_the_arm_was_put_elsewhere(
    node,
):
    output = stream(node)
    node.tick(3)
    assert not output.sole.sent
    output.send(command(ARM_RAD + 0.1), 0)
    node.tick(2)
    elsewhere = ARM_RAD - 0.5
    output.begin(elsewhere, 0.03)
    output.sole.sent.clear()
    node.tick(20)
    assert not output.sole.sent
    output.send(command(elsewhere + 0.1, 0.03, 0.1), 0)
    node.tick(1)
    np.testing.assert_allclose(output.sole.sent[0].data[:6], elsewhere + 0.01)


def test_a_first_command_without_a_measured_pose_is_a_position_at_once(node):
    output = opened(node, "positions")
    node.tick(2)
    output.send(command(), 0)
    node.tick(1)
    np.testing.assert_allclose(output.sole.sent[0].data, [*ARM_RAD, 0.02])
