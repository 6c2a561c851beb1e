"""Table, entry points, launch files, parameter files and what is installed say the same."""

import ast
import dataclasses
import importlib
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import setuptools
import tomllib
import yaml

from conure_core.errors import ConfigError
from conure_core.servos.bus_config import load_bus, port_path
from conure_ros.bringup.arguments import ARGUMENTS, ARMS
from conure_ros.bringup.graph_parameters import file_parameters, node_parameters, write_parameters
from conure_ros.bringup.graphs import GRAPHS, SERIAL_ARM, command_line, find_graph, graph_arguments
from conure_ros.commands.up import UpConfig

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "ros2_ws" / "src"
CHOICES = [(name, arm) for name, graph in GRAPHS.items() for arm in (ARMS if graph.arm else ("",))]
NODES = {
    node.executable: node
    for name, arm in CHOICES
    for node in find_graph(name, {"arm": arm} if arm else {})
}


def parameters_of(node):
    """The dataclass of a node's ROS parameters."""
    module = importlib.import_module(node.module)
    homes = (node.module, f"{node.module.replace('.nodes.', '.').removesuffix('_node')}.parameters")
    (schema,) = [
        value
        for name, value in vars(module).items()
        if name.endswith("Parameters")
        and dataclasses.is_dataclass(value)
        and value.__module__ in homes
    ]
    return {field.name: field for field in dataclasses.fields(schema)}


@pytest.fixture
def setup_of(monkeypatch):
    """What a package's setup.py hands to setuptools."""

    def called(package):
        handed = {}
        monkeypatch.setattr(setuptools, "setup", lambda **words: handed.update(words))
        monkeypatch.chdir(PACKAGES / package)
        runpy.run_path("setup.py")
        return handed

    return called


def test_every_node_of_the_table_is_an_entry_point_and_the_other_way_round(setup_of):
    scripts = dict(
        line.split(" = ") for line in setup_of("conure_ros")["entry_points"]["console_scripts"]
    )
    assert scripts == dict.fromkeys(NODES, "conure_ros.bringup.node_process:main")
    assert all(node.module == f"conure_ros.nodes.{name}" for name, node in NODES.items())
    modules = {path.stem for path in (PACKAGES / "conure_ros/conure_ros/nodes").glob("*_node.py")}
    assert modules == set(NODES)


def test_a_workspace_built_by_colcon_has_the_verbs_of_conure_ros(setup_of):
    offered = setup_of("conure_ros")["entry_points"]
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    for group, verbs in declared.items():
        own = {name: value for name, value in verbs.items() if value.startswith("conure_ros.")}
        assert dict(line.split(" = ") for line in offered[group]) == own


@pytest.mark.parametrize("node", NODES.values(), ids=NODES)
def test_a_parameter_file_sets_known_parameters_and_leaves_arguments_to_the_graph(node):
    values = file_parameters(node)
    known = parameters_of(node)
    assert set(values) <= set(known)
    assert not set(values) & set(node.taken.values())
    for name, value in values.items():
        # What is a tuple there is a list in YAML.
        assert type(tuple(value) if isinstance(value, list) else value) is type(
            known[name].default
        ), name


@pytest.mark.parametrize("node", NODES.values(), ids=NODES)
def test_every_parameter_is_an_argument_or_in_the_file_or_the_launchers(node):
    known, arguments = parameters_of(node), set(ARGUMENTS)
    assert set(node.taken.values()) <= set(known)
    for name, own in node.taken.items():
        assert isinstance(known[own].default, ARGUMENTS[name].type), name
    values = file_parameters(node)
    while_unconfigured = {name for name, field in known.items() if field.metadata["changes"]}
    given = set(node.taken.values()) | {name for name, _ in node.parameters} | while_unconfigured
    missing = set(known) - given - set(values)
    assert missing <= arguments - set(node.taken), f"not to be set anywhere: {missing}"
    assert all(field.metadata["description"] for field in known.values())


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_graph_has_a_launch_file_that_reads_the_table(graph, setup_of):
    path = ROOT / "launch" / f"{graph}.launch.py"
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert [(call.func.id, call.args[0].value) for call in calls] == [("launch_description", graph)]
    installed = dict(setup_of("conure_bringup")["data_files"])
    launched = {Path(name).name for name in installed["share/conure_bringup/launch"]}
    assert path.name in launched
    assert not (ROOT / "launch" / "__init__.py").exists()


def test_every_configuration_file_is_installed_and_used(setup_of):
    installed = {
        Path(name).name
        for name in dict(setup_of("conure_bringup")["data_files"])["share/conure_bringup/config"]
    }
    present = {path.name for path in (ROOT / "launch" / "config").iterdir()}
    assert installed == present
    assert present == {node.config for node in NODES.values()} | {
        "fastdds.xml",
        "fastdds_images.xml",
        "sros2_policy.xml",
    }


def test_the_layouts_show_topics_that_the_graph_has(setup_of):
    folder = ROOT / "launch" / "layouts"
    installed = dict(setup_of("conure_bringup")["data_files"])["share/conure_bringup/layouts"]
    assert {Path(name).name for name in installed} == {path.name for path in folder.iterdir()}
    page = (ROOT / "docs" / "ros.md").read_text()
    topics = set(re.findall(r"^\| `(/[\w/]+)`", page, re.MULTILINE))
    rviz = yaml.safe_load((folder / "conure.rviz").read_text())
    displays = rviz["Visualization Manager"]["Displays"]
    shown = {
        f"/{words['Value']}"
        for display in displays
        for key, words in display.items()
        if key.endswith("Topic")
    }
    foxglove = json.loads((folder / "conure.foxglove.json").read_text())
    panels = set(re.findall(r"'(\w+!\w+)'", str(foxglove["layout"])))
    assert panels == set(foxglove["configById"])
    shown |= set(re.findall(r"'(/[a-z_/]+)", str(foxglove["configById"])))
    assert shown >= {"/robot_description", "/camera/image_raw", "/joint_states"}
    assert shown <= topics


@pytest.mark.parametrize(("graph", "arm"), CHOICES)
def test_the_manager_brings_up_every_lifecycle_node_of_its_graph(graph, arm):
    nodes = find_graph(graph, {"arm": arm, "camera_source": "0"} if arm else {})
    (manager,) = [node for node in nodes if node.name == "manager"]
    assert dict(manager.parameters)["nodes"] == [node.name for node in nodes if node.lifecycle]
    assert len({node.name for node in nodes}) == len(nodes)


def test_an_argument_reaches_every_node_that_takes_it():
    values = node_parameters(
        "evaluate", {"robot": "wx250s", "trials": "5", "control.stale_periods": 3.0}
    )
    assert values["evaluator"]["trials"] == 5
    assert values["control"]["stale_periods"] == 3.0
    assert all(
        values[node.name]["robot"] == "wx250s"
        for node in find_graph("evaluate")
        if "robot" in node.arguments
    )
    assert values["manager"]["start_mode"] == "hold"


def test_an_argument_of_one_camera_reaches_that_camera_under_the_name_of_its_parameter():
    values = node_parameters(
        "cameras", {"camera_source": "0", "wrist_source": "/dev/v4l/by-id/wrist"}
    )
    assert (values["camera"]["source"], values["wrist"]["source"]) == ("0", "/dev/v4l/by-id/wrist")
    assert values["wrist"]["frame"] == "wrist_optical_frame"
    assert "camera_source" not in values["camera"]


def names(graph, **given):
    return [node.name for node in find_graph(graph, given)]


def test_one_argument_chooses_the_arm_of_every_graph_and_sources_choose_the_cameras():
    above = ["control", "teleop", "recorder", "manager"]
    assert names("teleop") == above, (
        "external: its own driver, and another camera driver, run beside"
    )
    described = ["control", "teleop", "recorder", "robot_state_publisher", "manager"]
    assert names("teleop", arm="sim") == ["sim_robot", *described]
    assert names("teleop", arm="sim", publish_tf="false") == ["sim_robot", *above]
    assert names("teleop", publish_tf="true") == described
    assert names("teleop", camera_source="0", wrist_source="2") == ["camera", "wrist", *above]
    assert names("teleop", arm="serial", port="/dev/ttyUSB0", camera_source="0") == [
        "serial_arm",
        "camera",
        *described,
    ]
    for arm in ("sim", "serial"):
        assert names("calibrate", arm=arm, port="sim") == ["sim_robot", "serial_arm", *described]
    with pytest.raises(ConfigError, match=r"did you mean 'serial'.*external, serial, sim"):
        find_graph("teleop", {"arm": "seriel"})
    with pytest.raises(ConfigError, match="arm=sim has no serial port"):
        find_graph("sim", {"port": "/dev/ttyUSB0"})


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_robot_that_nobody_names_has_the_bus_of_the_graphs_serial_arm(graph):
    for node, values in node_parameters(graph, {}).items():
        if node == SERIAL_ARM.name:
            assert port_path(values["port"], load_bus(values["robot"]), domain="7")
    robots = {
        values["robot"] for values in node_parameters(graph, {}).values() if "robot" in values
    }
    assert len(robots) <= 1


def test_what_has_no_effect_with_the_chosen_arm_is_refused_and_what_launch_hands_over_by_default_is_not():
    with pytest.raises(ConfigError, match="camera_source=0: with this arm no node"):
        node_parameters("sim", {"camera_source": "0"})
    for graph, arm in CHOICES:
        given = {argument.name: str(argument.default) for argument in graph_arguments(graph)}
        values = node_parameters(graph, {**given, "arm": arm} if arm else given)
        assert values == node_parameters(graph, {"arm": arm} if arm else {})
    assert "arm" not in {argument.name for argument in graph_arguments("camera")}


@pytest.mark.parametrize(
    ("parameter", "remedy"),
    [
        ("camera.fit", "set policy.image_fit"),
        ("wrist.crop_px", "set policy.image_crop_px"),
        ("camera.undistort", "set policy.image_undistort"),
        ("camera.image_size_px", "give image_size_px"),
    ],
)
def test_what_frames_an_image_is_the_policys_and_said_where_it_was_the_cameras(parameter, remedy):
    with pytest.raises(ConfigError, match=f"{parameter}: camera_node publishes whole.*{remedy}"):
        node_parameters("robot", {"camera_source": "0", "wrist_source": "2", parameter: "crop"})


def test_a_calibration_gets_large_images():
    assert node_parameters("calibrate", {"arm": "sim"})["sim_robot"]["camera_scale"] > 1


def test_only_a_graph_with_a_policy_asks_for_a_bundle():
    assert UpConfig(graph="camera", camera_source="0").given() == {"camera_source": "0"}
    assert UpConfig(graph="teleop", camera_source="0").given() == {"camera_source": "0"}
    with pytest.raises(ConfigError, match="needs a policy"):
        UpConfig(graph="robot", camera_source="0")


def test_command_lines_name_the_node_and_its_files(tmp_path):
    node, *_ = find_graph("sim")
    words = command_line(node, [write_parameters(tmp_path / "one.yaml", {"target": "", "seed": 3})])
    assert words[-2:] == ["--params-file", str(tmp_path / "one.yaml")]
    assert f"__node:={node.name}" in words


# What an import is called by rosdep; the rest are ROS packages of the same name.
ROSDEP = {
    "cv2": "python3-opencv",
    "numpy": "python3-numpy",
    "serial": "python3-serial",
    "yaml": "python3-yaml",
}
# What rosdep has no key for, by the name that pip knows; docs/install.md and a comment in
# package.xml say so.
FROM_PYPI = {
    "dynamixel_sdk": "dynamixel-sdk",
    "hydra": "hydra-core",
    "mcap": "mcap",
    "mcap_ros2": "mcap-ros2-support",
    "omegaconf": "hydra-core",
    "onnxruntime": "onnxruntime",
    "scservo_sdk": "feetech-servo-sdk",
}


def imported_by(package):
    """Foreign packages, but for those that no robot needs: conure_sim is for the simulated arm,
    pybullet for the judge of faults, rich for benches.
    """
    found = set()
    for path in (PACKAGES / package / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                found.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
    return found - set(sys.stdlib_module_names) - {package, "conure_sim", "pybullet", "rich"}


@pytest.mark.parametrize("package", ["conure_core", "conure_ros"])
def test_package_xml_names_all_that_is_imported_and_nothing_else(package):
    text = (PACKAGES / package / "package.xml").read_text()
    root = ElementTree.fromstring(text)
    needed = imported_by(package)
    from_pypi = {name for name in needed if name in FROM_PYPI}
    assert root.get("format") == "3"
    assert {node.text for node in root.iter("exec_depend")} == {
        ROSDEP.get(name, name) for name in needed - from_pypi
    }
    install = (ROOT / "docs" / "install.md").read_text()
    for name in from_pypi:
        assert FROM_PYPI[name] in text and FROM_PYPI[name] in install


def test_package_xml_of_the_messages_names_the_packages_of_their_fields():
    used = set()
    for path in (PACKAGES / "conure_msgs").glob("*/*.*"):
        if path.suffix in (".msg", ".srv", ".action"):
            used |= set(re.findall(r"^(\w+)/\w+", path.read_text(), re.MULTILINE))
    root = ElementTree.parse(PACKAGES / "conure_msgs" / "package.xml")
    assert {node.text for node in root.iter("depend")} == used


@pytest.mark.ros
def test_ros2_launch_runs_a_trial(bundle, domain, tmp_path):
    pytest.importorskip(
        "ros2cli", reason="ros2 is not to be had from PyPI: run this on a ROS 2 machine"
    )
    arguments = {"bundle": bundle, "folder": tmp_path, "trials": 1, "timeout_s": 0.5}
    words = [
        str(Path(sys.prefix) / "bin" / "ros2"),
        "launch",
        "conure_bringup",
        "evaluate.launch.py",
    ]
    words += [f"{name}:={value}" for name, value in arguments.items()]
    done = subprocess.run(
        words, env={**os.environ, **domain}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "trials.json").is_file()
    assert {argument.name for argument in graph_arguments("evaluate")} >= set(arguments)
