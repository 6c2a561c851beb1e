"""serial_arm_node in the graph: simulated servos behind a pseudo-terminal, scene and camera beside
it.
"""

import signal
import time
from functools import partial

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Empty
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from conure_core.control.safety import JointCommand
from conure_core.errors import ConfigError
from conure_core.robot.description import load_robot
from conure_core.servos.bus_config import load_bus, port_path
from conure_core.servos.control_channel import ask
from conure_msgs.srv import ResetScene
from conure_ros.bringup.graph_parameters import node_parameters
from conure_ros.bringup.graphs import GRAPHS, SIM_SERVOS, build_graph, find_graph
from conure_ros.bringup.launcher import run_graph
from conure_ros.commands.up import UpConfig
from conure_ros.comms.messages import joint_sample, trajectory_message
from conure_ros.comms.qos import NEWEST
from conure_ros.recording.episodes import Episode
from conure_ros.recording.trials import FILE_NAME, read_trials

pytestmark = pytest.mark.nodes
ROBOT = load_robot("wx250s_serial")
HOME = np.array(ROBOT.home_rad)


class Rig:
    def __init__(self, peer, graph, port, simulate, control):
        self.peer, self.graph, self.port, self.simulate = peer, graph, port, partial(simulate, port)
        self.control = control
        self.joints, self.images = (
            peer.listen(JointState, "joint_states"),
            peer.listen(Image, "camera/image_raw"),
        )
        self.stops = peer.listen(Empty, "stop")
        self.diagnostics = peer.listen(DiagnosticArray, "/diagnostics")
        self.trajectories = peer.node.create_publisher(JointTrajectory, "joint_trajectory", NEWEST)

    def true_rad(self):
        return np.array(ask(self.port, "state")["positions"])[:-1]

    def follow(self, joint_rad, duration_s=0.3, stamp_ns=0):
        self.trajectories.publish(
            trajectory_message(ROBOT, JointCommand(joint_rad, 0.037, duration_s), stamp_ns)
        )

    def change(self, transition):
        return self.peer.call(
            ChangeState, "serial_arm/change_state", transition=Transition(id=transition)
        ).success

    def status(self, name):
        return next(
            status
            for message in self.diagnostics[::-1]
            for status in message.status
            if status.name == name
        )


@pytest.fixture(scope="module")
def rig(start, peer, domain, calm_robot, simulate, stand_in_control):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(GRAPHS, "arm", build_graph(*SIM_SERVOS))
        patch.setenv("ROS_DOMAIN_ID", domain["ROS_DOMAIN_ID"])
        port = port_path("sim", load_bus("wx250s_serial"))
        graph = start("arm", robot=calm_robot, **{"serial_arm.silence_s": 0.5})
        return Rig(peer, graph, port, simulate, stand_in_control)


def test_joint_states_come_fast_with_images_of_the_same_arm_beside_them(rig, wait_until):
    wait_until(lambda: len(rig.joints) > 20 and rig.images, 20)
    rig.joints.clear()
    time.sleep(2.0)
    assert len(rig.joints) >= 100, "the loop's 100 Hz, less what a busy machine leaves out"
    sample = joint_sample(rig.joints[-1], ROBOT)
    assert np.abs(sample.joint_rad - rig.true_rad()).max() < 0.01
    before = np.frombuffer(rig.images[-1].data, np.uint8).astype(int)
    rig.follow(HOME + [0.3, 0, 0, 0, 0, 0])
    wait_until(lambda: abs(rig.true_rad()[0] - HOME[0] - 0.3) < 0.01, 10)
    rig.images.clear()
    wait_until(lambda: len(rig.images) > 1, 5)
    after = np.frombuffer(rig.images[-1].data, np.uint8).astype(int)
    assert np.abs(after - before).mean() > 1.0, "the camera sees the servos' arm"


def test_a_command_that_waited_moves_nothing_and_its_age_is_named(rig):
    before = rig.true_rad()
    rig.follow(before + 0.2, stamp_ns=time.time_ns() - 10**9)
    rig.simulate(0.5)
    assert np.abs(rig.true_rad() - before).max() < 0.01
    rig.graph.wait_for_line("old when it came", 5)


def test_a_deactivated_arm_holds_and_ignores_commands(rig, wait_until):
    assert rig.change(Transition.TRANSITION_DEACTIVATE)
    before = rig.true_rad()
    rig.follow(before + 0.2)
    rig.simulate(0.5)
    assert np.abs(rig.true_rad() - before).max() < 0.01
    assert all(ask(rig.port, "state")["torque"])
    assert rig.change(Transition.TRANSITION_ACTIVATE)


def test_a_scene_is_put_up_only_when_the_driver_rests_so_that_it_does_not_pull_the_arm_back(
    rig, wait_until
):
    rig.follow(HOME + [0.6, 0, 0, 0, 0, 0], 0.6)
    response = rig.peer.call(ResetScene, "scene/reset", seed=0)
    assert response.success, response.message
    away = [
        float(np.abs(rig.true_rad() - HOME).max()) for _ in range(50) if time.sleep(0.01) is None
    ]
    assert max(away) < 0.1


def test_diagnostics_tell_of_the_bus_and_of_every_servo(rig, wait_until):
    rig.diagnostics.clear()
    wait_until(lambda: any(len(message.status) == 10 for message in rig.diagnostics), 10)
    bus = {pair.key: pair.value for pair in rig.status("serial_arm: bus").values}
    assert bus["state"] == "armed" and float(bus["jitter_p99_ms"]) > 0 and int(bus["retried"]) >= 0
    wait_until(
        lambda: (
            "temperature_c"
            in {pair.key for pair in rig.status("serial_arm: elbow (servo 5)").values}
        ),
        10,
    )
    elbow = {pair.key: pair.value for pair in rig.status("serial_arm: elbow (servo 5)").values}
    assert elbow["temperature_c"] == "35" and elbow["voltage_v"] == "12.0"


def test_a_fault_stops_control_names_the_servo_and_needs_an_explicit_way_back(rig, wait_until):
    rig.stops.clear()
    ask(rig.port, "servo", servo_id=4, overload=True)
    wait_until(lambda: rig.stops, 10, "the latched stop of control")
    rig.graph.wait_for_line("the arm stopped: elbow (servo 4): overload", 5)
    wait_until(lambda: rig.status("serial_arm: bus").level == DiagnosticStatus.ERROR, 10)
    before = rig.true_rad()
    rig.follow(before + 0.2)
    rig.simulate(0.5)
    assert np.abs(rig.true_rad() - before)[[0, 3, 4, 5]].max() < 0.02
    assert rig.change(Transition.TRANSITION_DEACTIVATE)
    assert not rig.change(Transition.TRANSITION_ACTIVATE), "the servo still reports it"
    answer = rig.peer.call(Trigger, "serial_arm/reboot_servos")
    assert answer.success and answer.message == "rebooted elbow (servo 4)"
    assert rig.change(Transition.TRANSITION_ACTIVATE), rig.graph.lines[-5:]
    before = rig.true_rad()
    rig.follow(before + [0.1, 0, 0, 0, 0, 0])
    rig.simulate(0.5)
    assert abs(rig.true_rad()[0] - before[0]) < 0.02, (
        "the stop that the driver sent is latched in the driver too"
    )
    rig.control.reset_stop()
    rig.graph.wait_for_line("the stop was reset", 5)
    goal = rig.true_rad() + [0.1, 0, 0, 0, 0, 0]
    rig.follow(goal)
    wait_until(lambda: abs(rig.true_rad()[0] - goal[0]) < 0.02, 10)


def test_settings_of_another_program_keep_a_deactivated_arm_from_its_torque(rig):
    assert rig.change(Transition.TRANSITION_DEACTIVATE)
    ask(rig.port, "servo", servo_id=1, registers={"secondary_id": 3})
    assert not rig.change(Transition.TRANSITION_ACTIVATE)
    rig.graph.wait_for_line("waist (servo 1): secondary_id 3 -> 255. Nothing was written", 5)
    ask(rig.port, "servo", servo_id=1, registers={"secondary_id": 255})
    assert rig.change(Transition.TRANSITION_ACTIVATE), rig.graph.lines[-5:]


def test_a_killed_driver_leaves_the_arm_where_it_was(rig, wait_until):
    """The last test of this graph: nobody drives the arm after it."""
    rig.simulate(0.5)  # what the test before it commanded is reached
    rig.graph.process("serial_arm").send_signal(signal.SIGKILL)
    wait_until(lambda: rig.graph.process("serial_arm").poll() is not None, 5)
    before = rig.true_rad()
    rig.simulate(0.1)
    assert np.abs(rig.true_rad() - before).max() < 0.005


def test_a_trial_runs_through_simulated_servos(bundle, calm_robot, tmp_path):
    wanted = {
        "bundle": str(bundle),
        "folder": str(tmp_path / "trials"),
        "first_seed": 7,
        "timeout_s": 1.0,
    }
    environment = {"ROS_LOG_DIR": str(tmp_path / "log")}
    run_graph(
        "evaluate",
        {**wanted, "trials": 1, "robot": calm_robot, "port": "sim"},
        environment=environment,
    )
    _, trials = read_trials(tmp_path / "trials" / FILE_NAME)
    assert len(trials) == 1
    episode = Episode(tmp_path / "trials" / trials[0].recording)
    heard = (
        "/joint_states",
        "/joint_trajectory",
        "/camera/image_raw",
        "/camera/camera_info",
        "/robot_state",
    )
    assert all(episode.counts[topic] for topic in heard), episode.counts


def test_settings_are_written_only_where_it_is_asked_for():
    def taken(**given):
        given = {"arm": "serial", "robot": "wx250s_serial", **given}
        return node_parameters("teleop", given)["serial_arm"]["write_settings"]

    assert taken() is False
    assert taken(write_settings=True) is True
    assert taken(write_settings="true") is True, "as ros2 launch gives it"
    assert taken(write_settings="False") is False
    with pytest.raises(ConfigError, match="write_settings must be of type bool, got 'maybe'"):
        taken(write_settings="maybe")
    with pytest.raises(ConfigError, match="no node of the graph takes it"):
        node_parameters("teleop", {"arm": "sim", "write_settings": True})


def test_port_sim_puts_the_arm_of_a_graph_behind_simulated_servos():
    config = UpConfig(graph="evaluate", robot="wx250s_serial", port="sim", bundle="folder")
    nodes = [node.name for node in find_graph(config.graph, config.given())]
    assert nodes[:2] == ["sim_robot", "serial_arm"]
    values = node_parameters(config.graph, config.given())
    assert values["serial_arm"] == values["serial_arm"] | {"port": "sim", "robot": "wx250s_serial"}
    real = UpConfig(graph="teleop", arm="serial", robot="wx250s_serial", port="/dev/ttyUSB0")
    assert node_parameters(real.graph, real.given())["serial_arm"]["port"] == "/dev/ttyUSB0"
    with pytest.raises(ConfigError, match="arm=sim has no serial port"):
        UpConfig(graph="sim", port="/dev/ttyUSB0", bundle="folder")
