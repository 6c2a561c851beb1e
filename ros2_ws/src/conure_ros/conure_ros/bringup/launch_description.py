"""The node table as a launch description, for `ros2 launch`."""

import os
import sys
from typing import Any

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from conure_core.errors import RobotError
from conure_ros.bringup.graph_parameters import node_parameters
from conure_ros.bringup.graphs import Argument, NodeSpec, find_graph, graph_arguments, launch_folder
from conure_ros.bringup.launch_arguments import is_started_directly, read_launch_input
from conure_ros.comms.ending import LAUNCHER_VARIABLE
from conure_ros.comms.graph_identity import GRAPH_VARIABLE, new_graph_id


def launch_description(graph: str) -> LaunchDescription:
    """The graph's arguments and, once their values are known, its nodes."""
    declared = [_declared(argument) for argument in graph_arguments(graph)]
    return LaunchDescription([*declared, OpaqueFunction(function=_actions, args=[graph])])


def _declared(argument: Argument) -> DeclareLaunchArgument:
    return DeclareLaunchArgument(
        argument.name, default_value=str(argument.default), description=argument.description
    )


def _actions(context: Any, graph: str) -> list[Any]:
    """The chosen nodes, and a shutdown when a node ends that must not, or that ends the graph."""
    found = read_launch_input(
        graph, context.launch_configurations, is_started_directly(graph, sys.argv)
    )
    parameters = node_parameters(graph, found.given, found.others)
    # The nodes end with this process, and their manager manages no other graph's nodes.
    common = {LAUNCHER_VARIABLE: str(os.getpid()), GRAPH_VARIABLE: new_graph_id()}
    actions = [LogInfo(msg=warning) for warning in found.warnings]
    for node in find_graph(graph, found.given):
        action = _action(node, parameters[node.name], common)
        actions += [
            action,
            RegisterEventHandler(OnProcessExit(target_action=action, on_exit=_on_exit(node))),
        ]
    return actions


def _action(node: NodeSpec, parameters: dict[str, Any], environment: dict[str, str]) -> Node:
    """One node. Lifecycle nodes too: the manager drives them, so every ROS 2 distribution behaves
    the same.
    """
    # A bare text would be read as YAML: camera_source "0" as a number.
    typed = {
        name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
        for name, value in parameters.items()
    }
    return Node(
        package="conure_ros",
        executable=node.executable,
        name=node.name,
        parameters=[str(launch_folder() / "config" / node.config), typed],
        ros_arguments=["--enclave", node.enclave],
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
