"""What somebody sets for a node reaches it, last, or is refused by name; nothing is dropped in
silence. No ROS.
"""

import itertools
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conure_core.errors import ConfigError
from conure_ros.bringup.graph_parameters import file_parameters, node_parameters
from conure_ros.bringup.graphs import CONTROL, GRAPHS, find_graph, graph_arguments, launch_folder
from conure_ros.bringup.launch_arguments import OF_LAUNCH, is_started_directly, read_launch_input
from conure_ros.commands.up import UpConfig


@pytest.fixture
def parameter_file(tmp_path):
    """Writes a ROS parameter file; returns its path."""
    numbers = itertools.count()

    def written(content):
        path = tmp_path / f"parameters_{next(numbers)}.yaml"
        path.write_text(
            content
            if isinstance(content, str)
            else yaml.safe_dump(
                {node: {"ros__parameters": values} for node, values in content.items()}
            )
        )
        return str(path)

    return written


def launched(graph, directly=True, **words):
    """The nodes' parameters as `ros2 launch` with these words would give them; `__` stands for a
    dot.
    """
    defaults = {argument.name: str(argument.default) for argument in graph_arguments(graph)}
    told = read_launch_input(
        graph, {**defaults, **{k.replace("__", "."): v for k, v in words.items()}}, directly
    )
    return node_parameters(graph, told.given, told.others)


# A file of the user's own.


@pytest.mark.parametrize("node", ["control", "/control", "/**"])
def test_a_parameter_file_is_applied_last_whatever_it_calls_the_node(parameter_file, node):
    path = parameter_file({node: {"heartbeat_s": 0.5, "stale_periods": 3}})
    values = node_parameters("robot", {"params_file": path})
    assert values["control"]["heartbeat_s"] == 0.5
    assert values["control"]["stale_periods"] == 3.0
    assert isinstance(values["control"]["stale_periods"], float), (
        "ROS refuses a whole number for a real one"
    )
    assert file_parameters(CONTROL)["heartbeat_s"] == 0.0, "the shipped file says something else"
    assert "heartbeat_s" not in values["recorder"]
    assert launched("robot", params_file=path) == values
    given = UpConfig(graph="robot", bundle="b", params_file=path).given()
    assert node_parameters("robot", given)["control"]["heartbeat_s"] == 0.5


def test_nested_names_are_joined_and_sections_of_other_graphs_nodes_are_let_be(parameter_file):
    path = parameter_file(
        {"/**": {"qos_overrides": {"/joint_states": {"depth": 3}}}, "camera": {"rate_hz": 15.0}}
    )
    values = node_parameters("teleop", {"params_file": path})
    assert values["control"]["qos_overrides./joint_states.depth"] == 3
    assert "camera" not in values
    assert node_parameters("camera", {"params_file": path})["camera"]["rate_hz"] == 15.0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            {"contrl": {"heartbeat_s": 0.5}},
            "unknown node in parameter file .*did you mean 'control'",
        ),
        (
            {"/left/control": {"heartbeat_s": 0.5}},
            "unknown node in parameter file .*'left/control'",
        ),
        (
            {"control": {"heartbeat": 0.5}},
            "unknown parameter of control 'heartbeat'; did you mean 'heartbeat_s'",
        ),
        (
            {"/**": {"hartbeat_s": 0.5}},
            "unknown parameter in parameter file .*did you mean 'heartbeat_s'",
        ),
        ({"control": {"heartbeat_s": float("nan")}}, "heartbeat_s must be a finite number"),
        ("control: {heartbeat_s: 0.5}", "'control' must hold ros__parameters"),
        ("control: {ros__parameters: 5}", "must map names to values"),
        ("- control", "must map nodes"),
        ("", "must map nodes"),
        ("{", "cannot be read"),
        ("\x00", "cannot be read"),
    ],
)
def test_a_parameter_file_that_would_be_without_effect_is_refused_by_name(
    parameter_file, content, reason
):
    with pytest.raises(ConfigError, match=reason):
        node_parameters("robot", {"params_file": parameter_file(content)})


def test_a_parameter_file_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match=r"nowhere\.yaml cannot be read"):
        node_parameters("robot", {"params_file": "nowhere.yaml"})


def test_what_is_given_twice_with_different_values_is_refused(parameter_file):
    path = parameter_file({"control": {"robot": "panda", "stale_periods": 2.0}})
    assert (
        node_parameters("robot", {"params_file": path, "control.stale_periods": 2})["control"][
            "robot"
        ]
        == "panda"
    )
    with pytest.raises(
        ConfigError, match=r"control\.stale_periods sets .* to 3\.0 and parameter file .* to 2\.0"
    ):
        node_parameters("robot", {"params_file": path, "control.stale_periods": 3.0})
    with pytest.raises(
        ConfigError, match=r"robot sets control\.robot to 'ur5e' and parameter file .* to 'panda'"
    ):
        node_parameters("robot", {"params_file": path, "robot": "ur5e"})


# `node.parameter`.


@pytest.mark.parametrize(
    ("text", "value"), [("0.5", 0.5), ("1", 1.0), ("5e-1", 0.5)], ids=["real", "whole", "exponent"]
)
def test_ros2_launch_sets_any_parameter_of_a_node(text, value):
    heartbeat_s = launched("robot", control__heartbeat_s=text)["control"]["heartbeat_s"]
    assert heartbeat_s == value
    assert isinstance(heartbeat_s, float)


def test_values_get_the_type_that_the_parameter_has():
    told = {
        "control__on_stop": "limp",
        "control__monitor": "false",
        "control__slow_ticks": "7",
        "bundle": "12",
    }
    control = launched("robot", **told, control__use_sim_time="true")["control"]
    assert (control["on_stop"], control["monitor"], control["slow_ticks"], control["bundle"]) == (
        "limp",
        False,
        7,
        "12",
    )
    assert control["use_sim_time"] is True
    assert (
        launched("teleop", teleop__axis_scales="[1, 1, 1, 1, 1, 1]")["teleop"]["axis_scales"]
        == [1.0] * 6
    )
    assert launched("cameras", camera__pose="5")["camera"]["pose"] == "5"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            {"control__heartbeat": "0.5"},
            "unknown parameter of control 'heartbeat'; did you mean 'heartbeat_s'",
        ),
        (
            {"contrl__heartbeat_s": "0.5"},
            "unknown argument of graph robot 'contrl.heartbeat_s': .*did you mean 'control'",
        ),
        ({"camera__rate_hz": "5.0"}, "unknown argument of graph robot 'camera.rate_hz'"),
        ({"bundel": "x"}, "unknown argument of graph robot 'bundel'; did you mean 'bundle'"),
        ({"hearbeat_s": "x"}, "unknown argument of graph robot 'hearbeat_s'"),
        ({"control__heartbeat_s": "nan"}, "heartbeat_s must be a finite number"),
        ({"control__start_mode": "policy"}, "unknown parameter of control 'start_mode'"),
    ],
)
def test_what_ros2_launch_is_told_and_no_node_has_is_refused_by_name(words, reason):
    with pytest.raises(ConfigError, match=reason):
        launched("robot", **words)


def test_an_including_launch_files_own_arguments_are_let_be_and_misspelt_ones_are_doubted():
    defaults = {argument.name: str(argument.default) for argument in graph_arguments("robot")}
    own = {"use_rviz": "true", "joy.deadzone": "0.1", "camera.rate_hz": "5.0", "bundel": "x"}
    told = read_launch_input(
        "robot", {**defaults, **own, "control.heartbeat_s": "0.5"}, directly=False
    )
    assert set(told.given) == {*defaults, "control.heartbeat_s"}
    assert told.warnings == [
        "launch argument 'bundel' is not one of graph robot; did you mean 'bundle'?"
    ]
    with pytest.raises(ConfigError, match=r"'contrl\.heartbeat_s': .*did you mean 'control'"):
        read_launch_input("robot", {**defaults, "contrl.heartbeat_s": "0.5"}, directly=False)


def test_what_is_set_around_an_include_is_applied_last(parameter_file):
    path = parameter_file({"control": {"heartbeat_s": 0.5}})
    around = {"global_params": [("use_sim_time", True), ("of_another_node", 1), path]}
    told = read_launch_input("robot", around, directly=False)
    values = node_parameters("robot", told.given, told.others)
    assert values["control"]["heartbeat_s"] == 0.5
    assert all(values[name]["use_sim_time"] is True for name in ("control", "policy", "recorder"))


def test_names_that_launch_itself_reads_are_no_arguments():
    told = read_launch_input(
        "robot", {"sigterm_timeout": "10", "emulate_tty": "true", "__secure": "true"}, directly=True
    )
    assert not told.given


def test_the_command_line_says_whether_anything_includes_our_launch_file(tmp_path):
    start = ["/opt/ros/jazzy/bin/ros2", "launch"]
    assert is_started_directly("robot", [*start, "conure_bringup", "robot.launch.py", "bundle:=x"])
    assert is_started_directly(
        "robot", [*start, "--debug", str(launch_folder() / "robot.launch.py")]
    )
    assert not is_started_directly("robot", [*start, "their_package", "robot.launch.py"])
    theirs = tmp_path / "robot.launch.py"
    theirs.touch()
    assert not is_started_directly("robot", [*start, str(theirs), "use_rviz:=true"])
    assert not is_started_directly("sim", [*start, "conure_bringup", "robot.launch.py"])
    assert not is_started_directly("robot", sys.argv)


@given(st.sampled_from(sorted(GRAPHS)), st.text("abcdehilmnoprst_.", min_size=1, max_size=20))
def test_any_other_name_on_the_command_line_is_refused(graph, name):
    known = {*OF_LAUNCH, *(argument.name for argument in graph_arguments(graph))}
    owners = {node.name: node for node in find_graph(graph)}
    if name in known or name.startswith("__") or name.partition(".")[0] in owners:
        return
    with pytest.raises(ConfigError, match="unknown argument of graph"):
        read_launch_input(graph, {name: "1"}, directly=True)


# Who may move the arm at first.


@pytest.mark.parametrize(
    ("graph", "given", "mode"),
    [
        ("sim", {}, "policy"),
        ("sim", {"robot": "wx250s_serial", "port": "sim"}, "policy"),
        ("sim", {"start_mode": "hold"}, "hold"),
        ("sim", {"arm": "serial"}, "hold"),
        ("sim", {"arm": "serial", "port": "/dev/ttyUSB0"}, "hold"),
        ("sim", {"arm": "serial", "port": "sim"}, "policy"),
        ("sim", {"arm": "external"}, "hold"),
        ("robot", {}, "hold"),
        ("robot", {"arm": "sim"}, "hold"),
        ("robot", {"arm": "sim", "start_mode": "policy"}, "policy"),
        ("evaluate", {}, "hold"),
        ("policy", {"arm": "external"}, "hold"),
    ],
)
def test_only_a_simulated_arm_may_begin_under_the_policy(graph, given, mode):
    values = node_parameters(graph, given)
    assert values["manager"]["start_mode"] == mode
    assert "start_mode" not in values["control"], "a control that is started again by itself holds"
    assert launched(graph, **given) == values


@pytest.mark.parametrize(
    "given",
    [
        {"arm": "serial", "start_mode": "policy"},
        {"arm": "external", "start_mode": "policy"},
        {"arm": "external", "manager.start_mode": "policy"},
        {
            "robot": "wx250s_serial",
            "port": "sim",
            "serial_arm.port": "/dev/ttyUSB0",
            "start_mode": "policy",
        },
    ],
)
def test_a_real_arm_that_is_to_begin_under_the_policy_is_refused_before_anything_starts(given):
    with pytest.raises(ConfigError, match="start_mode=policy: only a simulated arm"):
        node_parameters("sim", given)


def test_nor_does_a_parameter_file_get_round_that(parameter_file):
    path = parameter_file({"manager": {"start_mode": "policy"}})
    with pytest.raises(ConfigError, match="start_mode=policy: only a simulated arm"):
        node_parameters("robot", {"params_file": path})
    port = parameter_file({"serial_arm": {"port": "/dev/ttyUSB0"}})
    assert (
        node_parameters("sim", {"port": "sim", "params_file": port})["manager"]["start_mode"]
        == "hold"
    )


def test_an_unknown_start_mode_and_one_without_a_control_node_are_refused():
    with pytest.raises(ConfigError, match="unknown start_mode 'polcy'; did you mean 'policy'"):
        node_parameters("sim", {"start_mode": "polcy"})
    with pytest.raises(ConfigError, match="unknown argument of graph camera 'start_mode'"):
        node_parameters("camera", {"start_mode": "policy"})
    with pytest.raises(ConfigError, match="unknown parameter of manager 'start_mode'"):
        node_parameters("camera", {"manager.start_mode": "policy"})
