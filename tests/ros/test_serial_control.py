"""Control above the serial driver: what the arm does when control is no more."""

import signal
import time

import numpy as np
import pytest
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from conure_core.control.safety import JointCommand
from conure_core.robot.description import load_robot
from conure_core.servos.bus_config import load_bus, port_path
from conure_core.servos.control_channel import ask
from conure_ros.bringup.graphs import CONTROL, GRAPHS, SIM_SERVOS, build_graph
from conure_ros.comms import service_names
from conure_ros.comms.messages import trajectory_message
from conure_ros.comms.qos import NEWEST

pytestmark = pytest.mark.nodes
ROBOT = load_robot("wx250s_serial")
HOME = np.array(ROBOT.home_rad)


def test_a_killed_control_node_leaves_the_arm_at_its_last_set_point(
    start, peer, calm_robot, wait_until, domain, simulate
):
    """On the way home, in the midst of motion: 0.1 s after the last command the driver's set point
    stands still.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(GRAPHS, "arm", build_graph(*SIM_SERVOS))
        patch.setenv("ROS_DOMAIN_ID", domain["ROS_DOMAIN_ID"])
        port = port_path("sim", load_bus("wx250s_serial"))
        start("arm", robot=calm_robot)

    def angle_rad():
        return ask(port, "state")["positions"][0]

    away = trajectory_message(ROBOT, JointCommand(HOME + [1.2, 0, 0, 0, 0, 0], 0.037, 0.5), 0)
    publisher = peer.node.create_publisher(JointTrajectory, "joint_trajectory", NEWEST)

    def pushed():
        publisher.publish(away)
        time.sleep(0.05)
        return abs(angle_rad() - 1.2) < 0.02

    wait_until(pushed, 30)
    peer.node.destroy_publisher(
        publisher
    )  # neither control nor driver goes on while two nodes command the arm
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(GRAPHS, "above", build_graph(CONTROL))
        graph = start("above", robot=calm_robot)
    names = (service_names.RESET_STOP, service_names.HOME)
    reset, home = (peer.node.create_client(Trigger, name) for name in names)
    assert reset.wait_for_service(20) and home.wait_for_service(20)

    def on_its_way():
        answer, until_s = reset.call_async(Trigger.Request()), time.monotonic() + 1.0
        wait_until(answer.done, 20)
        home.call_async(Trigger.Request())
        while angle_rad() >= 0.9 and time.monotonic() < until_s:
            time.sleep(0.02)
        return angle_rad() < 0.9

    wait_until(on_its_way, 30)
    graph.process("control").send_signal(signal.SIGKILL)
    time.sleep(0.1 + 0.1)
    simulate(port, 0.2)
    stopped = angle_rad()
    simulate(port, 0.5)
    assert stopped > 0.3, "home is at 0"
    assert abs(angle_rad() - stopped) < 0.005
    assert all(ask(port, "state")["torque"])
