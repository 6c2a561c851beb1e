"""control_node before controllers that take and refuse what ros2_control's do, in a process of
their own.
"""

import math
import time

import numpy as np
import pytest
import yaml
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot, robot_file
from conure_core.robot.ros2_control import load_ros2_control
from conure_msgs.msg import PolicyCommand, RobotState
from conure_msgs.srv import SetMode
from conure_ros.bringup.graphs import ARM_MODEL, CONTROL, GRAPHS, build_graph
from conure_ros.comms.messages import joint_sample, mode_message
from conure_ros.comms.qos import LATCHED, NEWEST
from conure_ros.control.arbiter import Mode

pytestmark = pytest.mark.nodes
ROBOT = load_robot("ur5e_ros2_control")
BACKWARDS = list(ROBOT.joint_names[::-1])
LATE = "ends in the past"
FORWARD = [
    0.25,
    0.0,
    0.15,
    0.0,
    0.0,
    0.2,
    -1.0,
]  # slow enough for every limit; and the gripper closes


def robot_yaml(folder, name, **section):
    data = {**yaml.safe_load(robot_file("ur5e_ros2_control").read_text()), "ros2_control": section}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**data, "arm": str(robot_file("ur5e"))}))
    return str(path)


class Rig:
    """Controllers, whose joints are in another order, for the robot of this file; and a policy."""

    def __init__(self, peer):
        self.peer = peer
        self.refused = peer.listen(String, "refused", 100)
        self.states = peer.listen(RobotState, "robot_state", LATCHED)
        self.joints = peer.listen(JointState, "joint_states")
        self.policy = peer.node.create_publisher(PolicyCommand, "command/policy", NEWEST)

    def measured(self):
        return joint_sample(self.joints[-1], ROBOT)

    def send(self, action):
        message = PolicyCommand(
            source=PolicyCommand.POLICY,
            log_likelihood=math.nan,
            action=[float(value) for value in action],
        )
        message.header.stamp = self.peer.node.get_clock().now().to_msg()
        self.policy.publish(message)

    def drive(self, periods):
        """The policy commands for so long; then it falls silent, and the arm holds."""
        assert self.peer.call(SetMode, "control/set_mode", mode=mode_message(Mode.POLICY)).success
        time.sleep(0.2)
        for _ in range(periods):
            self.send(FORWARD)
            time.sleep(ROBOT.control_period_s)
        time.sleep(1.0)

    def commanded(self):
        return np.array([state for state in self.states if state.commanded_rad][-1].commanded_rad)


@pytest.fixture
def rig(request, start, peer, tmp_path, wait_until):
    section = request.param
    robot = robot_yaml(tmp_path, "mine", **section) if section else "ur5e_ros2_control"
    gripper_topic = load_ros2_control(robot).gripper_topic or "gripper_controller/joint_trajectory"
    controllers = {"arm_model.joints": BACKWARDS, "arm_model.gripper_topic": gripper_topic}
    rig = Rig(peer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(GRAPHS, "control", build_graph(ARM_MODEL, CONTROL))
        patience = {"control.stale_periods": 4.0}
        graph = start("control", robot=robot, start_mode="hold", **patience, **controllers)
    wait_until(
        lambda: rig.joints and rig.states and rig.states[-1].reason.startswith("activated"), 20
    )
    yield rig
    graph.stop()
    peer.node.destroy_publisher(rig.policy)  # the next one would be a second


POSITIONS = {
    "output": "positions",
    "topic": "arm/commands",
    "joints": BACKWARDS,
    "gripper_topic": "gripper/commands",
}


@pytest.mark.parametrize("rig", [None, POSITIONS], indirect=True, ids=["trajectory", "positions"])
def test_the_arm_goes_where_it_is_told_and_nothing_is_refused(rig, wait_until):
    arm, before = Arm(ROBOT), rig.measured()
    rig.drive(periods=12)
    assert {message.data for message in rig.refused if LATE not in message.data} == set()
    wait_until(lambda: np.abs(rig.measured().joint_rad - rig.commanded()).max() < 1e-3, 5)
    moved = (arm.forward(rig.measured().joint_rad) - arm.forward(before.joint_rad))[:3, 3]
    assert moved[0] > 0.02 and moved[2] > 0.01 and abs(moved[1]) < 0.01
    assert rig.measured().gripper_m < before.gripper_m - 0.01, (
        "the gripper's own controller was told as well"
    )


@pytest.mark.parametrize(
    "rig", [{"topic": "arm/joint_trajectory"}], indirect=True, ids=["gripper among the arm's"]
)
def test_a_joint_that_the_controller_lacks_is_refused_and_the_arm_stays(rig, wait_until):
    """What a file without `gripper_topic` comes to, before an arm whose gripper is another
    controller's.
    """
    before = rig.measured()
    rig.drive(periods=5)
    wait_until(
        lambda: any("don't match the controller joints" in message.data for message in rig.refused),
        5,
    )
    assert np.abs(rig.measured().joint_rad - before.joint_rad).max() < 1e-9


@pytest.mark.parametrize("rig", [None], indirect=True, ids=["shipped"])
def test_the_controllers_refuse_what_ros2_controls_do(rig, wait_until):
    """Partial lists, unknown joints and trajectories that are over: the test above can fail."""
    topic = load_ros2_control("ur5e_ros2_control").arm_topic
    publisher, before = rig.peer.node.create_publisher(JointTrajectory, topic, 10), rig.measured()
    wait_until(lambda: publisher.get_subscription_count() > 0, 10)

    def refusal(names, stamp_s=0):
        rig.refused.clear()
        message = JointTrajectory(joint_names=names)
        message.header.stamp.sec = stamp_s
        message.points = [JointTrajectoryPoint(positions=[0.0] * len(names))]
        publisher.publish(message)
        wait_until(lambda: rig.refused, 5)
        return rig.refused[-1].data

    assert "don't match the controller joints" in refusal(BACKWARDS[:-1])
    assert "Incoming joint elbow doesn't match" in refusal([*BACKWARDS[:-1], "elbow"])
    assert LATE in refusal(BACKWARDS, stamp_s=1)
    assert np.abs(rig.measured().joint_rad - before.joint_rad).max() < 1e-9
    rig.peer.node.destroy_publisher(publisher)
