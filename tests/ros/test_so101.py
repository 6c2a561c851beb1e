"""SO-101: the real driver at one end of a pseudo-terminal, at the other six simulated STS3215 and
PyBullet.
"""

import math
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

from conure_core.control.loop import ControlLoop
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot, robot_file
from conure_core.servos.bus_config import load_bus, port_path
from conure_core.servos.control_channel import ask
from conure_core.servos.scale import ServoScale
from conure_msgs.msg import PolicyCommand
from conure_ros.bringup.graphs import CONTROL, GRAPHS, SIM_SERVOS, build_graph
from conure_ros.comms.qos import NEWEST
from conure_ros.drivers.arm_loop import ArmLoop

ROBOT = load_robot("so101")
HOME = np.array(ROBOT.home_rad)
LEVER_M, ZERO_COUNTS = 0.08, 1536
PATIENT = {"latency_s": 0.03, "lost_s": 1.0}  # a busy machine is no fault of the bus


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """The shipped servos at the simulation's speed, patient with a busy machine."""
    data = {
        "arm": str(robot_file("so101")),
        "bus": {"like": str(robot_file("so101_serial")), "port": "sim"} | PATIENT,
    }
    path = tmp_path_factory.mktemp("robot") / "so101.yaml"
    path.write_text(yaml.safe_dump(data))
    return str(path)


@pytest.fixture(scope="module")
def simulated(patient, tmp_path_factory):
    port = tmp_path_factory.mktemp("servos") / "port"
    words = [sys.executable, "-m", "conure_sim.servos", patient, str(port)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    yield port
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_the_jaw_is_measured_along_the_arc_of_its_tip():
    scale = ServoScale(load_bus("so101_serial"), ROBOT)
    for gripper_m in np.linspace(0.0, ROBOT.gripper_open_m, 7):
        counts = scale.counts(np.append(HOME, gripper_m))
        assert counts[-1] == round(ZERO_COUNTS + gripper_m / LEVER_M * 4096 / (2 * np.pi))
        assert scale.positions(counts)[-1] == pytest.approx(
            gripper_m, abs=LEVER_M * np.pi / 4096 + 1e-9
        )


def test_the_driver_carries_the_tool_where_the_controller_wants_it_and_opens_the_jaw(
    simulated, patient, simulate
):
    loop = ArmLoop(ServoScale(load_bus(patient), ROBOT), str(simulated), silence_s=0.5)
    loop.start()
    try:
        loop.arm()
        arm, control = Arm(ROBOT), ControlLoop(Arm(ROBOT))
        control.reset(loop.measured.positions[:-1], float(loop.measured.positions[-1]))
        before = arm.forward(loop.measured.positions[:-1])[:3, 3].copy()
        for _ in range(15):
            command = control.step(
                np.array([0.1, 0.1, -0.1, 0.0, 0.0, 0.0, -1.0]), loop.measured.positions[:-1]
            )
            loop.command(command)
            time.sleep(ROBOT.control_period_s)
        simulate(simulated, 0.5)
        true = np.array(ask(simulated, "state")["positions"])
        moved = arm.forward(true[:-1])[:3, 3] - before
        np.testing.assert_allclose(moved, 15 * 0.002 * np.array([1, 1, -1]), atol=0.006)
        np.testing.assert_allclose(true[:-1], command.joint_rad, atol=0.03)
        assert true[-1] < 0.005, "the jaw closed"
        assert loop.fault == ""
    finally:
        loop.close()


def test_the_registers_hold_what_the_file_asks_for(simulated, patient):
    loop = ArmLoop(ServoScale(load_bus(patient), ROBOT), str(simulated))
    try:
        bus = loop.servos.bus
        assert [bus.ping(servo_id) for servo_id in range(1, 7)] == [777] * 6
        assert bus.read(6, "current_limit") == 250
        assert [bus.read(servo_id, "return_delay") for servo_id in range(1, 7)] == [0] * 6
    finally:
        loop.close()


@pytest.mark.nodes
def test_the_graph_with_robot_so101_on_port_sim_moves(start, peer, domain, patient, wait_until):
    """What `conure up robot=so101_serial port=sim` starts, with a person's commands for a
    policy's.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(GRAPHS, "so101", build_graph(*SIM_SERVOS, CONTROL))
        patch.setenv("ROS_DOMAIN_ID", domain["ROS_DOMAIN_ID"])
        port = port_path("sim", load_bus("so101_serial"))
        start("so101", robot=patient, **{"control.stale_periods": 4.0})
    arm, person = Arm(ROBOT), peer.node.create_publisher(PolicyCommand, "command/teleop", NEWEST)

    def tool():
        return arm.forward(np.array(ask(port, "state")["positions"])[:-1])[:3, 3].copy()

    wait_until(
        lambda: all(ask(port, "state")["torque"]) and person.get_subscription_count() > 0, 20
    )
    before = tool()

    def pushed():
        message = PolicyCommand(
            source=PolicyCommand.TELEOP, log_likelihood=math.nan, action=[0.0, 0.3, 0, 0, 0, 0, 1.0]
        )
        message.header.stamp = peer.node.get_clock().now().to_msg()
        person.publish(message)
        time.sleep(ROBOT.control_period_s)
        return tool()[1] - before[1] > 0.05

    wait_until(pushed, 20)
    assert np.abs(tool() - before)[[0, 2]].max() < 0.01
