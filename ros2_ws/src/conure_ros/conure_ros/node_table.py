"""Which nodes make up which graph: read by the plain starter, by the launch files and by the tests. No ROS."""

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from conure_core.errors import ConfigError, unknown_name

PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
Ends = Literal["never", "when done", "the graph"]


@dataclass(frozen=True)
class NodeSpec:
    """One process. `arguments` are the graph's arguments that it takes as parameters of the same name, `renamed` those
    that it takes as a parameter of another: (argument, parameter).

    `ends`: a node that may `never` end by itself, one that ends `when done`, or one whose end, with status 0, is the
    end of `the graph`. `sends_images`: it gets a shared-memory segment that holds them, of 17 MB.
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
        """The parameter that each of the graph's arguments becomes."""
        return {**{name: name for name in self.arguments}, **dict(self.renamed)}

    def environment(self) -> dict[str, str]:
        """Variables of this node alone. Raises: ConfigError where the launch configuration is not installed."""
        profile = str(launch_folder() / "config" / "fastdds.xml")
        return dict.fromkeys(PROFILE_VARIABLES, profile) if self.sends_images else {}


@dataclass(frozen=True)
class Argument:
    """What a graph may be given: for the starter a key, for `ros2 launch` a launch argument."""

    name: str
    type: type
    default: Any
    description: str


ARGUMENTS = {
    argument.name: argument
    for argument in (
        Argument("robot", str, "wx250s", "name of a robot, or the path of its YAML file"),
        Argument("port", str, "", "the arm's serial port; empty: the one in the robot's file"),
        Argument("bundle", str, "", "folder of the policy bundle"),
        Argument("task", str, "Lift", "name of the task"),
        Argument("target", str, "", "name of the object meant; empty: drawn from the seed"),
        Argument("objects", str, "test", "which objects: train or test"),
        Argument("image_size_px", int, 48, "side of the square images that the policy sees, px"),
        Argument("noise_scale", float, 0.0, "standard deviation of the policy's noise; 0 takes the mean z"),
        Argument("start_mode", str, "policy", "who may move the arm at first: hold or policy"),
        Argument("folder", str, "out/recordings", "where recordings and trials.json are written"),
        Argument("trials", int, 10, "how many trials to run"),
        Argument("first_seed", int, 0, "seed of the first trial's scene"),
        Argument("camera_source", str, "", "the camera: V4L2 index or device, stream, video file or folder of images"),
        Argument("camera_calibration", str, "", "its calibration, a YAML file in ROS's camera_info format"),
        Argument("wrist_source", str, "", "the same for the camera on the wrist"),
        Argument("wrist_calibration", str, "", "its calibration"),
        Argument("timeout_s", float, 0.0, "longest time under policy control, s; 0: the task's own limit"),
    )
}

SIM_ROBOT = NodeSpec(
    "sim_robot_node",
    "conure_ros.sim_robot_node",
    "sim_robot",
    "sim_robot.yaml",
    ("robot", "task", "target", "objects", "image_size_px"),
    lifecycle=True,
    sends_images=True,
)
CAMERA = NodeSpec(
    "camera_node",
    "conure_ros.camera_node",
    "camera",
    "camera.yaml",
    ("image_size_px",),
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
    "conure_ros.serial_arm_node",
    "serial_arm",
    "serial_arm.yaml",
    ("robot", "port"),
    lifecycle=True,
)
# The simulated arm's servos on a pseudo-terminal, and the driver on its other end.
ON_SIM_PORT = (("port", "sim"),)
SIM_SERVOS = (
    replace(SIM_ROBOT, parameters=ON_SIM_PORT),
    replace(SERIAL_ARM, arguments=("robot",), parameters=ON_SIM_PORT),
)
CONTROL = NodeSpec(
    "control_node",
    "conure_ros.control_node",
    "control",
    "control.yaml",
    ("robot", "bundle", "start_mode"),
    lifecycle=True,
)
# Nothing moves before the evaluator says so.
HELD_CONTROL = replace(CONTROL, arguments=("robot", "bundle"), parameters=(("start_mode", "hold"),))
POLICY = NodeSpec(
    "policy_node",
    "conure_ros.policy_node",
    "policy",
    "policy.yaml",
    ("robot", "bundle", "image_size_px", "noise_scale"),
    lifecycle=True,
)
RECORDER = NodeSpec("recorder_node", "conure_ros.recorder_node", "recorder", "recorder.yaml", ("folder",))
FAULT = NodeSpec("fault_node", "conure_ros.fault_node", "fault", "fault.yaml", ("robot",), sends_images=True)
EVALUATOR = NodeSpec(
    "evaluator_node",
    "conure_ros.evaluator_node",
    "evaluator",
    "evaluator.yaml",
    ("task", "target", "folder", "trials", "first_seed", "timeout_s"),
    ends="the graph",
)


def managed(*nodes: NodeSpec) -> tuple[NodeSpec, ...]:
    """The nodes, and the manager that brings their lifecycle nodes up in this order."""
    names = [node.name for node in nodes if node.lifecycle]
    manager = NodeSpec(
        "manager_node",
        "conure_ros.manager_node",
        "manager",
        "manager.yaml",
        parameters=(("nodes", names),),
        ends="when done",
    )
    return (*nodes, manager)


def spoiled(node: NodeSpec, *topics: str) -> NodeSpec:
    """The node with what it publishes led through fault_node."""
    return replace(node, remaps=(*node.remaps, *((topic, f"raw/{topic}") for topic in topics)))


GRAPHS = {
    "sim": managed(SIM_ROBOT, CONTROL, POLICY, RECORDER),
    "sim_serial": managed(*SIM_SERVOS, CONTROL, POLICY, RECORDER),
    "evaluate_serial": managed(*SIM_SERVOS, HELD_CONTROL, POLICY, RECORDER, EVALUATOR),
    "serial": managed(SERIAL_ARM, replace(HELD_CONTROL, arguments=("robot",)), RECORDER),
    "evaluate": managed(SIM_ROBOT, HELD_CONTROL, POLICY, RECORDER, EVALUATOR),
    "faults": managed(
        spoiled(SIM_ROBOT, "camera/image_raw", "joint_states"),
        HELD_CONTROL,
        spoiled(POLICY, "command/policy"),
        FAULT,
    ),
    # The arm's driver is started beside it: its vendor's, or ros2_control's.
    "robot": managed(CAMERA, HELD_CONTROL, POLICY, RECORDER),
    "camera": managed(CAMERA),
    "cameras": managed(CAMERA, WRIST_CAMERA),
}


def find_graph(name: str) -> tuple[NodeSpec, ...]:
    """Raises: ConfigError listing the known graphs."""
    if name not in GRAPHS:
        raise unknown_name("graph", name, GRAPHS)
    return GRAPHS[name]


def graph_arguments(name: str) -> list[Argument]:
    """The arguments that the nodes of a graph take, in the order of ARGUMENTS."""
    taken = {argument for node in find_graph(name) for argument in node.taken}
    return [argument for argument in ARGUMENTS.values() if argument.name in taken]


def node_parameters(graph: str, given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every node's parameters beyond its file, from keys that are arguments or `node.parameter`.

    Raises: ConfigError for an unknown argument or node, or a value of another type.
    """
    nodes = find_graph(graph)
    arguments = {argument.name: argument for argument in graph_arguments(graph)}
    values = {
        node.name: {**dict(node.parameters), **{own: arguments[name].default for name, own in node.taken.items()}}
        for node in nodes
    }
    for key, value in given.items():
        owner, dot, parameter = key.partition(".")
        if dot and owner in values:
            values[owner][parameter] = value
        elif key in arguments:
            for node in nodes:
                if key in node.taken:
                    values[node.name][node.taken[key]] = _typed(arguments[key], value)
        else:
            valid = [*arguments, *(f"{name}.PARAMETER" for name in values)]
            raise unknown_name(f"argument of graph {graph}", key, valid)
    return values


def _typed(argument: Argument, value: Any) -> Any:
    try:
        return argument.type(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{argument.name} must be of type {argument.type.__name__}, got {value!r}") from error


def file_parameters(node: NodeSpec) -> dict[str, Any]:
    """What the node's file below launch/config says."""
    text = (launch_folder() / "config" / node.config).read_text()
    values: dict[str, Any] = yaml.safe_load(text)["/**"]["ros__parameters"]
    return values


def command_line(node: NodeSpec, parameter_files: list[Path]) -> list[str]:
    """How to start a node with this Python."""
    words = [sys.executable, "-m", "conure_ros.run", node.module, "--ros-args", "-r", f"__node:={node.name}"]
    for source, target in node.remaps:
        words += ["-r", f"{source}:={target}"]
    for path in parameter_files:
        words += ["--params-file", str(path)]
    return words


def write_parameters(path: Path, values: dict[str, Any]) -> Path:
    """A ROS parameter file that holds for whatever node reads it."""
    path.write_text(yaml.safe_dump({"/**": {"ros__parameters": values}}))
    return path


def launch_folder() -> Path:
    """Where the launch files and config/ are: in the source tree, or installed by conure_bringup.

    Raises: ConfigError naming the places that were looked at.
    """
    prefixes = [sys.prefix, *os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    places = [Path(__file__).resolve().parents[4] / "launch"]
    places += [Path(prefix) / "share" / "conure_bringup" for prefix in prefixes if prefix]
    for place in places:
        if (place / "config" / "control.yaml").is_file():
            return place
    raise ConfigError(f"the launch configuration is in none of {', '.join(map(str, places))}; install conure_bringup")
