"""The node table as a launch description, for `ros2 launch`."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.condition import Condition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitution import Substitution
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from conure_core.errors import RobotError
from conure_core.robot.description import load_robot
from conure_core.robot.urdf_file import description_text
from conure_ros.bringup.arguments import Argument
from conure_ros.bringup.bundle_task import differences
from conure_ros.bringup.graph_parameters import (
    file_parameters,
    node_parameters,
    write_parameters,
)
from conure_ros.bringup.graphs import (
    ROBOT_STATE_PUBLISHER,
    NodeSpec,
    find_graph,
    graph_arguments,
    named_graph,
)
from conure_ros.bringup.launch_arguments import is_started_directly, read_launch_input
from conure_ros.comms.ending import LAUNCHER_VARIABLE
from conure_ros.comms.graph_identity import GRAPH_VARIABLE, new_graph_id

OWN_PACKAGE = "conure_ros"


def launch_description(graph: str) -> LaunchDescription:
    """The graph's arguments, and all nodes that they can choose, each on the condition that they
    do.
    """
    declared = [_declared(argument) for argument in graph_arguments(graph)]
    chosen = _Chosen(graph)
    # The nodes end with this process, and their manager manages no other graph's nodes.
    common = {LAUNCHER_VARIABLE: str(os.getpid()), GRAPH_VARIABLE: new_graph_id()}
    actions: list[Any] = [*declared, OpaqueFunction(function=chosen.choose)]
    for node in named_graph(graph).possible_nodes():
        action = _action(node, chosen, common)
        exit_handler = OnProcessExit(target_action=action, on_exit=_on_exit(node))
        actions += [action, RegisterEventHandler(exit_handler)]
    return LaunchDescription(actions)


def _declared(argument: Argument) -> DeclareLaunchArgument:
    choices = [_text(choice) for choice in argument.choices]
    return DeclareLaunchArgument(
        argument.name,
        default_value=_text(argument.default),
        description=argument.description,
        choices=choices or None,
    )


def _text(value: Any) -> str:
    """As people write it on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Chosen:
    """The nodes that the arguments choose, and a parameter file for each of them.

    It refuses arguments before a node starts; conditions and parameters of the nodes ask it
    afterwards.
    """

    def __init__(self, graph: str) -> None:
        self.graph = graph
        self.files: dict[str, Path] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="conure-launch-")

    def choose(self, context: Any) -> list[Any]:
        """Read what was given. Returns: what is to be logged. Raises: ConfigError."""
        found = read_launch_input(
            self.graph, context.launch_configurations, is_started_directly(self.graph, sys.argv)
        )
        parameters = node_parameters(self.graph, found.given, found.others)
        for node in find_graph(self.graph, found.given):
            # One file: with two, ROS silently takes the first value if the types differ.
            values = {**file_parameters(node), **parameters[node.name]}
            path = Path(self._folder.name, f"{node.name}.yaml")
            self.files[node.name] = write_parameters(path, _foreign_names(node, values))
        notes = [*found.warnings, *differences(found.given)]
        return [LogInfo(msg=note) for note in notes]

    def has(self, name: str) -> Condition:
        """Whether the graph has the node."""
        return Condition(predicate=lambda context: name in self.files)


class _ParameterFile(Substitution):
    """Path of a chosen node's parameter file."""

    def __init__(self, chosen: _Chosen, name: str) -> None:
        super().__init__()
        self.chosen, self.name = chosen, name

    def describe(self) -> str:
        return f"ParameterFile({self.name})"

    def perform(self, context: Any) -> str:
        return str(self.chosen.files[self.name])


def _package(node: NodeSpec) -> str:
    """The package of a node's executable: ROS's own robot_state_publisher, where there is one."""
    if node.name == ROBOT_STATE_PUBLISHER.name:
        try:
            get_package_prefix(node.name)
        except PackageNotFoundError:
            return OWN_PACKAGE
        return node.name
    return OWN_PACKAGE


def _foreign_names(node: NodeSpec, values: dict[str, Any]) -> dict[str, Any]:
    """The parameters as ROS's own node calls them, where that one is started."""
    if _package(node) == OWN_PACKAGE:
        return values
    robot = load_robot(values.pop("robot"))
    return {**values, "robot_description": description_text(robot.urdf)}


def _action(node: NodeSpec, chosen: _Chosen, environment: dict[str, str]) -> Node:
    """One node. Lifecycle nodes too: the manager drives them, so every ROS 2 distribution behaves
    the same.
    """
    package = _package(node)
    return Node(
        package=package,
        executable=node.executable if package == OWN_PACKAGE else package,
        name=node.name,
        namespace=LaunchConfiguration("namespace"),
        condition=chosen.has(node.name),
        parameters=[_ParameterFile(chosen, node.name)],
        ros_arguments=[
            "--enclave",
            node.enclave,
            "--log-level",
            LaunchConfiguration("log_level"),
        ],
        remappings=list(node.remaps),
        additional_env={**node.environment(), **environment},
        output="screen",
    )


def _on_exit(node: NodeSpec) -> Any:
    """What `ros2 launch` does when a node ends. Only an exception ends it with status 1."""

    def ended(event: Any, context: Any) -> list[Any]:
        why = f"{node.name} ended with status {event.returncode}"
        if context.is_shutdown or (event.returncode == 0 and node.ends == "when done"):
            return []
        if event.returncode == 0 and node.ends == "the graph":
            return [EmitEvent(event=Shutdown(reason=why))]
        raise RobotError(why)

    return ended
