"""The foreign arm over real DDS: it lags, can be blocked and made to measure wrongly, and says what
it cannot do.
"""

import json

import numpy as np
import pytest
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from conure_core.control.safety import JointCommand
from conure_core.robot.description import load_robot
from conure_ros.bringup.graphs import ARM_MODEL, GRAPHS, build_graph
from conure_ros.comms.messages import joint_sample, trajectory_message
from conure_ros.comms.qos import STREAM

pytestmark = pytest.mark.nodes
ROBOT = load_robot("wx250s")
HOME = np.array(ROBOT.home_rad)
THERE = HOME + [0.2, 0.0, 0.0, 0.0, 0.0, 0.3]


class Arm:
    def __init__(self, peer, wait_until):
        self.peer, self.wait_until = peer, wait_until
        self.joints = peer.listen(JointState, "joint_states", STREAM)
        self.done = peer.listen(String, "arm_model/done", STREAM)
        self.levers = peer.node.create_publisher(String, "arm_model/do", STREAM)
        self.commands = peer.node.create_publisher(JointTrajectory, "joint_trajectory", 10)

    def do(self, **words):
        """What it answers: '' or why not."""
        before = len(self.done)
        self.levers.publish(String(data=json.dumps(words)))
        self.wait_until(lambda: len(self.done) > before, 5)
        return json.loads(self.done[before].data)["error"]

    def go(self, joint_rad, duration_s=0.2):
        command = JointCommand(joint_rad, ROBOT.gripper_open_m, duration_s)
        self.commands.publish(trajectory_message(ROBOT, command, self.peer.now_ns))

    @property
    def joint_rad(self):
        return joint_sample(self.joints[-1], ROBOT).joint_rad

    def is_at(self, joint_rad):
        return bool(np.abs(self.joint_rad - joint_rad).max() < 2e-3)


@pytest.fixture(scope="module")
def process(start, peer, wait_until):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(GRAPHS, "arm", build_graph(ARM_MODEL))
        start(
            "arm", wait=False, **{"arm_model.plant": '{"lag_s": 0.05}'}
        )  # no node with a life cycle, no manager
    arm = Arm(peer, wait_until)
    wait_until(
        lambda: (
            arm.joints
            and arm.levers.get_subscription_count()
            and arm.commands.get_subscription_count()
        ),
        20,
    )
    wait_until(lambda: arm.peer.node.count_publishers("arm_model/done") == 1, 20)
    return arm


@pytest.fixture
def arm(process, wait_until):
    assert process.do(free=True, silent=False, place=HOME.tolist()) == ""
    wait_until(lambda: process.is_at(HOME), 5)
    return process


def test_it_lags_behind_what_it_is_told_and_comes_there(arm, wait_until):
    before = len(arm.joints)
    arm.go(THERE)
    wait_until(lambda: arm.is_at(THERE), 5)
    way = np.array(
        [joint_sample(message, ROBOT).joint_rad[5] for message in list(arm.joints)[before:]]
    )
    assert ((way > HOME[5] + 0.02) & (way < THERE[5] - 0.02)).sum() > 5
    assert "wheel_left" in arm.joints[-1].name


def test_a_blocked_joint_stays_until_it_is_freed(arm, wait_until):
    assert arm.do(block="waist") == ""
    arm.go(THERE)
    wait_until(lambda: arm.is_at([HOME[0], *THERE[1:]]), 5)
    assert arm.do(free=True) == ""
    wait_until(lambda: arm.is_at(THERE), 5)


def test_one_wrong_sample_is_measured_and_the_arm_stays(arm, wait_until):
    before = len(arm.joints)
    assert arm.do(wrong=(HOME + 1.0).tolist()) == ""
    wait_until(lambda: len(arm.joints) > before + 20, 5)
    measured = np.array(
        [joint_sample(message, ROBOT).joint_rad for message in list(arm.joints)[before:]]
    )
    assert (np.abs(measured - HOME - 1.0).max(axis=1) < 1e-9).sum() == 1
    assert arm.is_at(HOME)


def test_what_it_cannot_do_it_says(arm):
    assert "did you mean 'waist'" in arm.do(block="wais")
    assert "did you mean 'block'" in arm.do(blok="waist")
    assert "got 2 values" in arm.do(place=[0.0, 0.0])
    assert arm.is_at(HOME)
