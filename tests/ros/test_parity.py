"""The environment and the ROS graph are the same robot: that is why a policy trained in one runs in
the other.
"""

import numpy as np
import pytest
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger

from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_msgs.msg import PolicyCommand
from conure_msgs.srv import ResetScene, SetMode
from conure_ros.bringup.graphs import CONTROL, GRAPHS, SIM_ROBOT, build_graph
from conure_ros.comms.messages import joint_sample, mode_message, to_ns
from conure_ros.comms.qos import NEWEST, STREAM
from conure_ros.control.arbiter import Mode
from conure_sim.envs.tabletop import TabletopEnv

pytestmark = pytest.mark.ros
STEPS, SEED = 25, 5


@pytest.fixture
def actions():
    """A smooth walk that opens and closes the gripper."""
    rng = np.random.default_rng(1)
    walk = np.clip(np.cumsum(rng.normal(0, 0.4, (STEPS, 7)), axis=0) / 2, -1, 1)
    walk[:, 6] = np.sign(walk[:, 6])
    return walk


def in_the_environment(actions, robot):
    """Joint angles before every action, and after the last, from home."""
    env = TabletopEnv("Lift", arm=robot.name, objects="test")
    env.reset(seed=SEED)
    env.world.follow(np.array(robot.home_rad), robot.gripper_open_m, 0.5)
    env.world.advance(1.0)
    start = env.world.joint_state()
    env.loop.reset(start.joint_rad, start.gripper_m)
    path = [start.joint_rad]
    for action in actions:
        env.step(action)
        path.append(env.world.joint_state().joint_rad)
    env.close()
    return np.array(path)


def through_ros(actions, robot, peer, commands, wait_until):
    """The same, measured at the captures of the images that the actions answer."""
    joints, path, acting = [], [], []

    def act(image):
        if not acting or len(path) > STEPS:
            return
        captured_ns = to_ns(image.header.stamp)
        nearest = min(
            joints[-50:], key=lambda message: abs(to_ns(message.header.stamp) - captured_ns)
        )
        if len(path) < STEPS:
            command = PolicyCommand(action=actions[len(path)].tolist(), source=PolicyCommand.POLICY)
            command.header.stamp = image.header.stamp
            commands.publish(command)
        path.append(joint_sample(nearest, robot).joint_rad)

    heard = (
        peer.node.create_subscription(JointState, "joint_states", joints.append, STREAM),
        peer.node.create_subscription(Image, "camera/image_raw", act, NEWEST),
    )
    wait_until(lambda: joints, 10)
    assert peer.call(SetMode, "control/set_mode", mode=mode_message(Mode.HOLD)).success
    assert peer.call(ResetScene, "scene/reset", seed=SEED, task="Lift").success
    assert peer.call(Trigger, "control/home").success
    assert peer.call(SetMode, "control/set_mode", mode=mode_message(Mode.POLICY)).success
    acting.append(True)
    wait_until(lambda: len(path) > STEPS, 30)
    for subscription in heard:
        peer.node.destroy_subscription(subscription)
    return np.array(path)


@pytest.mark.parametrize("arm", ["wx250s", "panda"])
def test_the_same_actions_move_the_arm_through_ros_as_in_the_environment(
    arm, actions, start, peer, monkeypatch, wait_until
):
    robot = load_robot(arm)
    monkeypatch.setitem(GRAPHS, "arm", build_graph(SIM_ROBOT, CONTROL))
    forward = Arm(robot).forward
    expected = np.array(
        [forward(joint_rad)[:3, 3].copy() for joint_rad in in_the_environment(actions, robot)]
    )
    assert np.linalg.norm(expected[-1] - expected[0]) > 0.03, "the walk goes somewhere"
    graph = start("arm", start_mode="hold", robot=arm)
    commands, found = peer.node.create_publisher(PolicyCommand, "command/policy", NEWEST), []
    try:
        # A machine that stalls for a period moves the arm late; one walk without a stall is enough.
        for _ in range(3):
            walk = np.array(
                [
                    forward(joint_rad)[:3, 3].copy()
                    for joint_rad in through_ros(actions, robot, peer, commands, wait_until)
                ]
            )
            apart_m = np.linalg.norm(expected - walk, axis=1)
            found.append((np.median(apart_m), apart_m.max()))
            if found[-1][0] < 0.002 and found[-1][1] < 0.015:
                return
    finally:
        peer.node.destroy_publisher(commands)
        graph.stop()
        wait_until(lambda: not peer.node.count_publishers("command/policy"), 10)
    raise AssertionError(f"median and largest distance of every walk, m: {found}")
