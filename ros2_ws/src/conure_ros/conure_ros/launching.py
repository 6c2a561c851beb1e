"""The node table as a launch description, for `ros2 launch`."""

from typing import Any

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from conure_ros.node_table import Argument, NodeSpec, find_graph, graph_arguments, launch_folder


def launch_description(graph: str) -> LaunchDescription:
    """The nodes, their arguments, and the end of all when a node ends that should not, or that ends the graph."""
    arguments = {argument.name: argument for argument in graph_arguments(graph)}
    actions: list[Any] = [_declared(argument) for argument in arguments.values()]
    for node in find_graph(graph):
        action = _action(node, arguments)
        actions += [action, RegisterEventHandler(OnProcessExit(target_action=action, on_exit=_on_exit(node)))]
    return LaunchDescription(actions)


def _declared(argument: Argument) -> DeclareLaunchArgument:
    return DeclareLaunchArgument(argument.name, default_value=str(argument.default), description=argument.description)


def _action(node: NodeSpec, arguments: dict[str, Argument]) -> Node:
    """Lifecycle nodes as well: the manager drives them, so that every distribution of ROS 2 behaves the same."""
    overrides: dict[str, Any] = dict(node.parameters)
    for name, own in node.taken.items():
        overrides[own] = ParameterValue(LaunchConfiguration(name), value_type=arguments[name].type)
    return Node(
        package="conure_ros",
        executable=node.executable,
        name=node.name,
        parameters=[str(launch_folder() / "config" / node.config), overrides],
        remappings=list(node.remaps),
        additional_env=node.environment(),
        output="screen",
    )


def _on_exit(node: NodeSpec) -> Any:
    def ended(event: Any, context: Any) -> list[Any]:
        if event.returncode == 0 and node.ends == "when done":
            return []
        return [EmitEvent(event=Shutdown(reason=f"{node.name} ended with status {event.returncode}"))]

    return ended
