"""The launch files' nodes: what they are told, that they end with `ros2 launch`, and that two
graphs do not meet.
"""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.lifecycle import TransitionCallbackReturn
from trajectory_msgs.msg import JointTrajectory

from conure_core.errors import ConfigError, RobotError
from conure_msgs.msg import RobotState
from conure_ros.bringup.graphs import GRAPHS, command_line, find_graph
from conure_ros.comms.messages import to_ns
from conure_ros.comms.qos import LATCHED, STATE_PERIOD_S
from conure_ros.control.arbiter import Mode
from conure_ros.nodes.control_node import ControlNode
from conure_ros.nodes.sim_robot_node import SimRobotNode

PROGRAM = Path(__file__).with_name("stand_in_launch.py")
SPEC = importlib.util.spec_from_file_location("stand_in_launch", PROGRAM)
stand_in_launch = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(stand_in_launch)
LIFECYCLE = ("sim_robot", "control", "policy")


@pytest.fixture
def launch(monkeypatch):
    for name, module in stand_in_launch.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "conure_ros.bringup.launch_description", raising=False)
    yield stand_in_launch
    sys.modules.pop("conure_ros.bringup.launch_description", None)


def told(node):
    """The parameters of a node, by name."""
    text = Path(stand_in_launch.parameters_of(node)).read_text()
    return yaml.safe_load(text)["/**"]["ros__parameters"]


def test_every_node_gets_its_parameters_its_launcher_and_its_graph(launch, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("control: {ros__parameters: {heartbeat_s: 0.5}}")
    words = {"params_file": str(path), "control.slow_ticks": "7", "bundle": "12"}
    nodes = {node.words["name"]: node for node in launch.nodes_of(launch.described("sim", words))}
    assert set(nodes) == {
        "sim_robot",
        "control",
        "policy",
        "recorder",
        "robot_state_publisher",
        "manager",
    }
    control = told(nodes["control"])
    assert (control["heartbeat_s"], control["slow_ticks"], control["bundle"]) == (0.5, 7, "12")
    assert "start_mode" not in control and told(nodes["manager"])["start_mode"] == "policy"
    environments = [node.words["additional_env"] for node in nodes.values()]
    assert {variables["CONURE_LAUNCHER_PID"] for variables in environments} == {str(os.getpid())}
    (graph,) = {variables["CONURE_GRAPH_ID"] for variables in environments}
    (other, *_) = launch.nodes_of(launch.described("sim", words))
    assert other.words["additional_env"]["CONURE_GRAPH_ID"] != graph


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_launch_file_describes_its_graph(launch, graph):
    assert launch.nodes_of(launch.described(graph, {}))


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_possible_node_is_in_the_description_before_its_arguments_are_known(launch, graph):
    from conure_ros.bringup.launch_description import launch_description

    (actions,) = launch_description(graph).args
    shown = [node.words["name"] for node in launch.nodes_of(actions)]
    assert shown == [node.name for node in GRAPHS[graph].possible_nodes()]
    declared = {
        action.args[0]: action.words
        for action in actions
        if type(action).__name__ == "DeclareLaunchArgument"
    }
    assert {"namespace", "use_sim_time", "log_level", "params_file"} <= set(declared)
    assert declared["use_sim_time"]["choices"] == ["false", "true"]
    if GRAPHS[graph].arm:
        assert declared["arm"]["choices"] == ["sim", "serial", "external"]
    for argument in declared.values():
        assert argument["description"]
        assert not argument["choices"] or argument["default_value"] in argument["choices"]


@pytest.mark.parametrize("arm", ["sim", "serial", "external"])
def test_what_is_described_is_what_the_table_starts_with_its_remaps(launch, arm):
    given = {"arm": arm, "camera_source": "0", "wrist_source": "2"}
    given = given if arm != "sim" else {"arm": arm}
    described = {
        node.words["name"]: node for node in launch.nodes_of(launch.described("robot", given))
    }
    table = {node.name: node for node in find_graph("robot", given)}
    assert set(described) == set(table)
    for name, node in table.items():
        assert described[name].words["remappings"] == list(node.remaps)
        assert described[name].words["executable"] == node.executable


def test_a_namespace_a_clock_and_a_log_level_reach_every_node_by_either_launcher(launch):
    given = {"namespace": "left", "use_sim_time": "true", "log_level": "debug"}
    for node in launch.nodes_of(launch.described("sim", given)):
        words = launch.command(node)
        assert "__ns:=/left" in words and words[-2:] == ["--log-level", "debug"]
        assert told(node)["use_sim_time"] is True
    for node in find_graph("sim"):
        words = command_line(node, [], given)
        assert "__ns:=/left" in words
        assert words[words.index("--log-level") + 1] == "debug"
    with pytest.raises(ConfigError, match="use_sim_time must be of type bool, got 'perhaps'"):
        launch.described("sim", {"use_sim_time": "perhaps"})
    for wrong in ("left arm", "1left", "left//arm", "links-rechts", "\u00e9", "/"):
        for name in ("namespace", "frame_prefix"):
            with pytest.raises(ConfigError, match=f"{name}=.*such as left"):
                launch.described("sim", {name: wrong})
    with pytest.raises(ConfigError, match="such as left"):
        launch.described("sim", {"frame_prefix": "/left/"})  # tf2 knows no absolute frames
    with pytest.raises(ConfigError, match="did you mean 'debug'"):
        launch.described("sim", {"log_level": "debugg"})


def test_what_was_meant_for_the_graph_and_fits_nothing_is_refused_before_a_node_starts(
    launch, monkeypatch
):
    monkeypatch.setattr(
        sys, "argv", ["ros2", "launch", "conure_bringup", "sim.launch.py", "bundel:=x"]
    )
    with pytest.raises(ConfigError, match="did you mean 'bundle'"):
        launch.described("sim", {"bundel": "x"})
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "theirs", "all.launch.py", "bundel:=x"])
    actions = launch.described("sim", {"bundel": "x"})
    (doubt,) = [action.words["msg"] for action in actions if type(action).__name__ == "LogInfo"]
    assert "did you mean 'bundle'" in doubt
    with pytest.raises(ConfigError, match="only a simulated arm"):
        launch.described("sim", {"arm": "serial", "start_mode": "policy"})


def test_where_ros_has_a_robot_state_publisher_that_one_is_started_with_its_own_parameters(
    launch, tmp_path, monkeypatch
):
    marker = tmp_path / "share/ament_index/resource_index/packages/robot_state_publisher"
    marker.parent.mkdir(parents=True)
    marker.touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    given = {"robot": "panda", "frame_prefix": "left/"}
    nodes = {node.words["name"]: node for node in launch.nodes_of(launch.described("sim", given))}
    node = nodes["robot_state_publisher"]
    assert node.words["package"] == node.words["executable"] == "robot_state_publisher"
    assert nodes["control"].words["package"] == "conure_ros"
    values = told(node)
    assert set(values) == {"frame_prefix", "publish_frequency", "robot_description"}
    assert (
        values["frame_prefix"] == "left/" and '<robot name="panda">' in values["robot_description"]
    )


@pytest.mark.parametrize(
    ("name", "status", "shutting_down", "outcome"),
    [
        ("control", 1, False, "control ended with status 1"),
        ("control", 0, False, "control ended with status 0"),
        ("manager", 1, False, "manager ended with status 1"),
        ("manager", 0, False, []),
        ("evaluator", -9, False, "evaluator ended with status -9"),
        ("evaluator", 0, False, ["EmitEvent"]),
        ("evaluator", 0, True, []),
        ("control", -2, True, []),
    ],
)
def test_a_node_that_ends_too_early_ends_the_launch_with_a_status_that_is_not_zero(
    launch, name, status, shutting_down, outcome
):
    handlers = {
        action.args[0].words["target_action"].words["name"]: action.args[0].words["on_exit"]
        for action in launch.described("evaluate", {})
        if type(action).__name__ == "RegisterEventHandler"
    }
    event, context = SimpleNamespace(returncode=status), SimpleNamespace(is_shutdown=shutting_down)
    if isinstance(outcome, str):
        with pytest.raises(RobotError, match=outcome):
            handlers[name](event, context)
        return
    assert [type(action).__name__ for action in handlers[name](event, context)] == outcome


class Launched:
    """A process that starts the graph `sim` as `ros2 launch` does."""

    def __init__(self, bundle, folder, domain, mark):
        words = [f"bundle:={bundle}", f"folder:={folder}", "noise_scale:=0.5"]
        words.append("control.stall_s:=10.0")  # a second graph that starts takes both cores
        name, value = mark.split("=")
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), "sim", *words],
            env={**os.environ, **domain, name: value},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def output(self, timeout_s):
        return self.process.communicate(timeout=timeout_s)[0]


@pytest.fixture
def launched(bundle, domain, tmp_path, processes_with):
    made, marks = [], []

    def begun(name):
        marks.append(f"CONURE_LAUNCH_MARK={name}-{tmp_path.name}-{os.getpid()}")
        made.append(Launched(bundle, tmp_path / name, domain, marks[-1]))
        return made[-1], marks[-1]

    yield begun
    for mark in marks:
        for process in processes_with(mark):
            os.kill(process, signal.SIGKILL)
    for one in made:
        one.process.wait(10)


@contextlib.contextmanager
def configured_beside(wait_until):
    """Driver and control of another graph, whose manager did not see the first one in time;
    control ticks.
    """
    with contextlib.ExitStack() as stack:
        for kind in (SimRobotNode, ControlNode):
            node = kind()
            stack.callback(node.destroy_node)
            stack.callback(node.end)
            assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        wait_until(lambda: node.count_publishers("robot_state") == 2, 10, "it knows the other")
        node.created_s -= 60.0
        for _ in range(5):
            node.supervisor.tick({})
            time.sleep(STATE_PERIOD_S)
        yield


@pytest.mark.ros
def test_a_launched_graph_survives_wrong_transitions_and_a_second_launch_and_ends_with_its_launcher(
    launched, peer, context, processes_with, wait_until
):
    states = peer.listen(RobotState, "robot_state", LATCHED)
    commands = peer.listen(JointTrajectory, "joint_trajectory")
    first, mark = launched("first")
    wait_until(
        lambda: states and states[-1].mode.value == Mode.POLICY and len(commands) > 5,
        60,
        "the policy moves",
    )
    wait_until(
        lambda: len(processes_with(mark)) == 6,
        10,
        "the launcher and five nodes; the manager has ended",
    )

    for name in LIFECYCLE:
        for wrong in (
            {"id": 3},
            {"id": 1},
            {"id": 0},
            {"id": 11},
            {"id": 250},
            {"label": "nonsense"},
        ):
            response = peer.call(
                ChangeState, f"{name}/change_state", transition=Transition(**wrong)
            )
            assert not response.success, (name, wrong)
        assert (
            peer.call(GetState, f"{name}/get_state").current_state.id == State.PRIMARY_STATE_ACTIVE
        )

    count, said = len(commands), len(states)
    with configured_beside(wait_until):
        wait_until(lambda: len(commands) > count + 5, 10, "the policy moves on")
    assert {state.mode.value for state in states[said:]} <= {Mode.POLICY, Mode.HOLD}

    second, others = launched("second")
    output = second.output(60)
    assert "manager ended with status 1" in output
    assert second.process.returncode == 1
    assert (
        f"belongs to the graph of process {first.process.pid} on" in output
        or "several nodes are called" in output
    )
    wait_until(lambda: not processes_with(others), 5, "nothing of the second is left")
    for name in LIFECYCLE:
        assert (
            peer.call(GetState, f"{name}/get_state").current_state.id == State.PRIMARY_STATE_ACTIVE
        )
    count = len(commands)
    wait_until(lambda: len(commands) > count + 5, 10, "the first graph goes on")
    assert len(processes_with(mark)) == 6

    first.process.send_signal(signal.SIGKILL)
    killed_ns = peer.now_ns
    wait_until(lambda: not processes_with(mark), 5, "every node ends with its launcher")
    assert max(to_ns(command.header.stamp) for command in commands) < killed_ns + 0.5e9
    assert states[-1].mode.value == Mode.INACTIVE, "control ended in order, not by a kill"
