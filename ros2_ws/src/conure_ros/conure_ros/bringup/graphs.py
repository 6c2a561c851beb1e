"""The table of nodes and graphs, read by the launcher, the launch files and the tests. No ROS."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from conure_core.errors import ConfigError, unknown_name
from conure_core.servos.bus_config import SIMULATED
from conure_ros.bringup.arguments import ARGUMENTS, ARMS, OF_EVERY_GRAPH, Argument

PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
ENCLAVES = "/conure"
"""Where SROS 2 looks for a node's keys in its keystore: under this and the node's name."""
Ends = Literal["never", "when done", "the graph"]


@dataclass(frozen=True)
class NodeSpec:
    """One process. `arguments` are graph arguments that it takes as parameters of the same name;
    `renamed` are those with another parameter name: (argument, parameter).

    `ends`: "never": the node must not end by itself; "when done": it may; "the graph": its end with
    status 0 ends the graph. `sends_images`: it gets a shared-memory segment of 17 MB for images.
    """

    executable: str
    module: str
    name: str
    config: str
    arguments: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    remaps: tuple[tuple[str, str], ...] = ()
    parameters: tuple[tuple[str, Any], ...] = ()
    lifecycle: bool = False
    ends: Ends = "never"
    sends_images: bool = False

    @property
    def taken(self) -> dict[str, str]:
        """The parameter that sets each graph argument, by argument."""
        return {**{name: name for name in self.arguments}, **dict(self.renamed)}

    @property
    def enclave(self) -> str:
        """The SROS 2 enclave of its keys; without security only a name."""
        return f"{ENCLAVES}/{self.name}"

    def environment(self) -> dict[str, str]:
        """Environment variables of this node alone. Raises: ConfigError if the launch configuration
        is not installed.
        """
        profile = "fastdds_images.xml" if self.sends_images else "fastdds.xml"
        return dict.fromkeys(PROFILE_VARIABLES, str(launch_folder() / "config" / profile))


SIM_ROBOT = NodeSpec(
    "sim_robot_node",
    "conure_ros.nodes.sim_robot_node",
    "sim_robot",
    "sim_robot.yaml",
    ("robot", "task", "target", "objects", "physics", "image_size_px", "frame_prefix"),
    lifecycle=True,
    sends_images=True,
)
CAMERA = NodeSpec(
    "camera_node",
    "conure_ros.nodes.camera_node",
    "camera",
    "camera.yaml",
    ("frame_prefix",),
    renamed=(("camera_source", "source"), ("camera_calibration", "calibration")),
    lifecycle=True,
    sends_images=True,
)
# Another camera is another node: a name, topics and a frame of its own.
WRIST_CAMERA = replace(
    CAMERA,
    name="wrist",
    renamed=(("wrist_source", "source"), ("wrist_calibration", "calibration")),
    remaps=(("camera/image_raw", "wrist/image_raw"), ("camera/camera_info", "wrist/camera_info")),
    parameters=(("frame", "wrist_optical_frame"),),
)
SERIAL_ARM = NodeSpec(
    "serial_arm_node",
    "conure_ros.nodes.serial_arm_node",
    "serial_arm",
    "serial_arm.yaml",
    ("robot", "port", "write_settings"),
    lifecycle=True,
)
# The simulated arm's servos on a pseudo-terminal, and the driver on its other end.
ON_SIM_PORT = (("port", "sim"),)
SIM_SERVOS = (
    replace(SIM_ROBOT, parameters=ON_SIM_PORT),
    replace(SERIAL_ARM, arguments=("robot", "write_settings"), parameters=ON_SIM_PORT),
)
CONTROL = NodeSpec(
    "control_node",
    "conure_ros.nodes.control_node",
    "control",
    "control.yaml",
    ("robot", "bundle"),
    lifecycle=True,
)
CONTROL_WITHOUT_POLICY = replace(CONTROL, arguments=("robot",))
POLICY = NodeSpec(
    "policy_node",
    "conure_ros.nodes.policy_node",
    "policy",
    "policy.yaml",
    ("robot", "bundle", "image_size_px", "noise_scale"),
    lifecycle=True,
)
TELEOP = NodeSpec(
    "teleop_node",
    "conure_ros.nodes.teleop_node",
    "teleop",
    "teleop.yaml",
    ("robot",),
    lifecycle=True,
)
TRAJECTORY = NodeSpec(
    "trajectory_node",
    "conure_ros.nodes.trajectory_node",
    "trajectory",
    "trajectory.yaml",
    ("robot",),
    lifecycle=True,
)
RECORDER = NodeSpec(
    "recorder_node", "conure_ros.nodes.recorder_node", "recorder", "recorder.yaml", ("folder",)
)
# Where ROS's own is installed, `ros2 launch` starts that one: its topics are the same.
ROBOT_STATE_PUBLISHER = NodeSpec(
    "robot_state_publisher_node",
    "conure_ros.nodes.robot_state_publisher_node",
    "robot_state_publisher",
    "robot_state_publisher.yaml",
    ("robot", "frame_prefix"),
)
FAULT = NodeSpec(
    "fault_node",
    "conure_ros.nodes.fault_node",
    "fault",
    "fault.yaml",
    ("robot",),
    sends_images=True,
)
ARM_MODEL = NodeSpec(
    "arm_model_node", "conure_ros.nodes.arm_model_node", "arm_model", "arm_model.yaml", ("robot",)
)
EVALUATOR = NodeSpec(
    "evaluator_node",
    "conure_ros.nodes.evaluator_node",
    "evaluator",
    "evaluator.yaml",
    ("task", "target", "folder", "trials", "first_seed", "timeout_s"),
    ends="the graph",
)


MANAGER = NodeSpec(
    "manager_node", "conure_ros.nodes.manager_node", "manager", "manager.yaml", ends="when done"
)


@dataclass(frozen=True)
class Graph:
    """The nodes of a graph. With an `arm`, that arm and its cameras come first, unless the
    arguments choose others.

    `settings`: parameters of this graph alone, (node, parameter, value), for those of the nodes
    that it has. `start_mode`: who may move a simulated arm at first; a real one always begins in
    hold. `robot`: the robot where none is given; '': that of ARGUMENTS.
    """

    nodes: tuple[NodeSpec, ...]
    arm: str = ""
    settings: tuple[tuple[str, str, Any], ...] = ()
    start_mode: str = "hold"
    robot: str = ""

    def choose_nodes(self, given: Mapping[str, Any]) -> tuple[NodeSpec, ...]:
        """The nodes for these arguments, with the manager that brings their lifecycle nodes up in
        this order. Raises: ConfigError.
        """
        arm = given.get("arm", self.arm)
        nodes = (
            *(choose_hardware(arm, given) if self.arm else ()),
            *self.nodes,
            *self._publishers(arm, given.get("publish_tf", "auto")),
        )
        nodes = tuple(self._set(node) for node in nodes)
        names = [node.name for node in nodes if node.lifecycle]
        if not names:
            return nodes
        return (*nodes, replace(self._manager(), parameters=(("nodes", names),)))

    def _publishers(self, arm: str, publish_tf: str) -> tuple[NodeSpec, ...]:
        """The publisher of robot_description and /tf, unless the arm's own driver is one. Raises:
        ConfigError.
        """
        choices = ARGUMENTS["publish_tf"].choices
        if publish_tf not in choices:
            raise unknown_name("publish_tf", publish_tf, choices)
        wanted = publish_tf == "true" or (publish_tf == "auto" and arm != "external")
        return (ROBOT_STATE_PUBLISHER,) if self.arm and wanted else ()

    def _manager(self) -> NodeSpec:
        """The manager. It sets the mode once all nodes are up; a control node that restarts alone
        holds.
        """
        controlled = any(node.executable == CONTROL.executable for node in self.nodes)
        return replace(MANAGER, arguments=("start_mode",)) if controlled else MANAGER

    def _set(self, node: NodeSpec) -> NodeSpec:
        own = tuple(
            (parameter, value) for name, parameter, value in self.settings if name == node.name
        )
        return replace(node, parameters=(*node.parameters, *own))

    def possible_nodes(self) -> tuple[NodeSpec, ...]:
        """The nodes of all choices."""
        if not self.arm:
            return (*self.nodes, self._manager())
        hardware = (SIM_ROBOT, SERIAL_ARM, CAMERA, WRIST_CAMERA)
        return (*hardware, *self.nodes, ROBOT_STATE_PUBLISHER, self._manager())


def choose_hardware(arm: str, given: Mapping[str, Any]) -> tuple[NodeSpec, ...]:
    """The nodes of arm and cameras.

    Args:
        arm: "sim", "serial" or "external".
        given: Graph arguments; `port`, `camera_source` and `wrist_source` count.

    Raises:
        ConfigError: Unknown arm, or a port for an arm that has none.
    """
    if arm not in ARMS:
        raise unknown_name("arm", arm, ARMS)
    port = given.get("port", "")
    if port == SIMULATED and arm != "external":
        return SIM_SERVOS
    if port and arm != "serial":
        raise ConfigError(
            f"arm={arm} has no serial port, got port={port}; arm=serial has one, port=sim"
            " simulates it"
        )
    sources = {"camera_source": CAMERA, "wrist_source": WRIST_CAMERA}
    cameras = tuple(node for source, node in sources.items() if given.get(source))
    return {"sim": (SIM_ROBOT,), "serial": (SERIAL_ARM, *cameras), "external": cameras}[arm]


def build_graph(
    *nodes: NodeSpec,
    arm: str = "",
    settings: tuple[tuple[str, str, Any], ...] = (),
    start_mode: str = "hold",
    robot: str = "",
) -> Graph:
    """Build a graph.

    Args:
        *nodes: Nodes in the order in which they come up, after arm and cameras.
        arm: Default arm, one of ARMS; '': the graph has no arm.
        settings: Parameters of this graph alone: (node, parameter, value).
        start_mode: Who may move a simulated arm at first, one of START_MODES.
        robot: The robot where none is given; '': that of ARGUMENTS.
    """
    return Graph(nodes, arm, settings, start_mode, robot)


def through_fault_node(node: NodeSpec, *topics: str) -> NodeSpec:
    """Route topics that the node publishes through fault_node."""
    return replace(node, remaps=(*node.remaps, *((topic, f"raw/{topic}") for topic in topics)))


# Calibration needs large images.
LARGE_IMAGES = (("sim_robot", "camera_scale", 10),)

SCENE_CAMERA = tuple((f"camera/{name}", f"scene/{name}") for name in ("image_raw", "camera_info"))

GRAPHS = {
    "sim": build_graph(CONTROL, POLICY, RECORDER, arm="sim", start_mode="policy"),
    "evaluate": build_graph(CONTROL, POLICY, RECORDER, EVALUATOR, arm="sim"),
    # For real arms. Nothing moves before a person asks for it.
    "robot": build_graph(CONTROL, POLICY, TELEOP, RECORDER, arm="external"),
    "policy": build_graph(CONTROL, POLICY, RECORDER, arm="external"),
    "teleop": build_graph(CONTROL_WITHOUT_POLICY, TELEOP, RECORDER, arm="external"),
    # MoveIt and others move the arm; no policy is there.
    "trajectory": build_graph(CONTROL_WITHOUT_POLICY, TRAJECTORY, TELEOP, RECORDER, arm="external"),
    "calibrate": build_graph(
        CONTROL_WITHOUT_POLICY, TELEOP, RECORDER, arm="external", settings=LARGE_IMAGES
    ),
    "camera": build_graph(CAMERA),
    "cameras": build_graph(CAMERA, WRIST_CAMERA),
    "faults": build_graph(
        through_fault_node(SIM_ROBOT, "camera/image_raw", "joint_states"),
        CONTROL,
        through_fault_node(POLICY, "command/policy"),
        FAULT,
    ),
    # An arm with foreign controllers; the faults themselves act as its policy and its person.
    "faults_arm": build_graph(
        through_fault_node(ARM_MODEL, "joint_states"), CONTROL_WITHOUT_POLICY, FAULT
    ),
    # An own camera with large images; the policy's view is unrelated to the simulated arm.
    "soak": build_graph(
        through_fault_node(replace(SIM_ROBOT, remaps=SCENE_CAMERA), "joint_states"),
        through_fault_node(CAMERA, "camera/image_raw"),
        CONTROL,
        through_fault_node(POLICY, "command/policy"),
        FAULT,
        settings=(("sim_robot", "camera_period_s", 10.0),),
    ),
    "faults_serial": build_graph(
        through_fault_node(SIM_SERVOS[0], "camera/image_raw"),
        through_fault_node(SIM_SERVOS[1], "joint_states"),
        CONTROL,
        through_fault_node(POLICY, "command/policy"),
        FAULT,
        robot="wx250s_serial_sim",
    ),
}


def named_graph(name: str) -> Graph:
    """The graph of this name. Raises: ConfigError listing the known ones."""
    if name not in GRAPHS:
        raise unknown_name("graph", name, GRAPHS)
    return GRAPHS[name]


def find_graph(name: str, given: Mapping[str, Any] | None = None) -> tuple[NodeSpec, ...]:
    """The nodes of a graph, as its arguments choose them.

    Args:
        name: Name of the graph.
        given: Graph arguments by name; None: the defaults.

    Raises:
        ConfigError: Unknown graph or arm; it lists the known ones.
    """
    return named_graph(name).choose_nodes(given or {})


def meets_others(name: str, given: Mapping[str, Any] | None = None) -> bool:
    """Whether nodes that somebody starts beside the graph belong to it: the arm's driver, a camera,
    a joystick, or whoever looks at a camera alone.

    Args:
        name: Name of the graph.
        given: Graph arguments by name; None: the defaults.

    Raises:
        ConfigError: Unknown graph or arm.
    """
    found = {node.name for node in find_graph(name, given)}
    arms = {node.name for node in (SIM_ROBOT, SERIAL_ARM, ARM_MODEL)}
    blind = POLICY.name in found and not found & {SIM_ROBOT.name, CAMERA.name}
    return TELEOP.name in found or not found & arms or blind


def graph_arguments(name: str) -> list[Argument]:
    """The arguments that a graph takes with any arm, in the order of ARGUMENTS. Raises:
    ConfigError.
    """
    graph = named_graph(name)
    taken = {argument for node in graph.possible_nodes() for argument in node.taken}
    taken |= {*OF_EVERY_GRAPH, *(("arm", "publish_tf") if graph.arm else ())}
    arguments = {**ARGUMENTS, "arm": replace(ARGUMENTS["arm"], default=graph.arm)}
    if graph.robot:
        arguments["robot"] = replace(ARGUMENTS["robot"], default=graph.robot)
    return [argument for argument in arguments.values() if argument.name in taken]


def command_line(
    node: NodeSpec, parameter_files: list[Path], given: Mapping[str, Any] | None = None
) -> list[str]:
    """The command that starts a node with this Python.

    Args:
        node: The node.
        parameter_files: ROS parameter files; later ones override earlier ones.
        given: Graph arguments by name; `namespace` and `log_level` count.
    """
    given = given or {}
    words = [
        sys.executable,
        "-m",
        "conure_ros.bringup.node_process",
        node.module,
        "--ros-args",
        "--enclave",
        node.enclave,
    ]
    words += ["-r", f"__node:={node.name}"]
    if namespace := str(given.get("namespace", "")).strip("/"):
        words += ["-r", f"__ns:=/{namespace}"]
    if level := given.get("log_level"):
        words += ["--log-level", str(level)]
    for source, target in node.remaps:
        words += ["-r", f"{source}:={target}"]
    for path in parameter_files:
        words += ["--params-file", str(path)]
    return words


def launch_folder() -> Path:
    """The folder of the launch files and config/: in the source tree, or installed by
    conure_bringup.

    Raises: ConfigError naming the folders that were searched.
    """
    prefixes = [sys.prefix, *os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    places = [Path(__file__).resolve().parents[5] / "launch"]
    places += [Path(prefix) / "share" / "conure_bringup" for prefix in prefixes if prefix]
    for place in places:
        if (place / "config" / "control.yaml").is_file():
            return place
    raise ConfigError(
        f"the launch configuration is in none of {', '.join(map(str, places))}; install"
        " conure_bringup"
    )
