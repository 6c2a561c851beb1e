"""The parameters of each node of a graph: shipped file, graph arguments, `node.parameter`, user's
file. No ROS.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from conure_core.errors import ConfigError, ConureError, unknown_name
from conure_core.servos.bus_config import SIMULATED
from conure_ros.bringup.arguments import ARGUMENTS, START_MODES, Argument
from conure_ros.bringup.bundle_task import TASK_DEFAULTS, trained_for
from conure_ros.bringup.graphs import (
    CAMERA,
    GRAPHS,
    MANAGER,
    SERIAL_ARM,
    SIM_ROBOT,
    NodeSpec,
    find_graph,
    graph_arguments,
    launch_folder,
    named_graph,
)

SWITCHES = {"true": True, "false": False}
OF_EVERY_NODE: dict[str, Any] = {"use_sim_time": False, "start_type_description_service": True}
OF_EVERY_TOPIC = "qos_overrides."
EVERY_NODE = ("/**", "**", "/*", "*")
"""Patterns for all nodes in a parameter file."""
OF_THE_PROCESS = ("namespace", "log_level")
"""Arguments that reach every node by ROS's own arguments."""
OF_THE_GRAPH = ("arm", "publish_tf", "params_file", "start_mode", *OF_THE_PROCESS)
"""Arguments that are no node's parameters, except the manager's start_mode."""
OF_NO_NODE = ("arm", "publish_tf", "port", "params_file", "frame_prefix", *OF_THE_PROCESS)
"""Arguments that choose nodes, files or names: no node has to take them."""
MOVED = {
    (CAMERA.executable, "fit"): "set policy.image_fit",
    (CAMERA.executable, "crop_px"): "set policy.image_crop_px",
    (CAMERA.executable, "undistort"): "set policy.image_undistort",
    (CAMERA.executable, "image_size_px"): "give image_size_px, without a node",
}
"""Former parameters, by program: what to do instead."""
TO_A_PERSON = "`conure keys`, key p, or the service control/set_mode lets the policy move it"


@dataclass(frozen=True)
class ParameterSet:
    """Parameters given by node. `by_node` has node names, or one of EVERY_NODE. `source` names the
    set in errors.
    """

    source: str
    by_node: Mapping[str, Mapping[str, Any]]


def node_parameters(
    graph: str, given: Mapping[str, Any], others: Iterable[ParameterSet] = ()
) -> dict[str, dict[str, Any]]:
    """Compute every node's parameters beyond its shipped file.

    Args:
        graph: Name of the graph.
        given: Values by graph argument or by `node.parameter`. Its `params_file` is applied after
            them.
        others: Further parameter sets, applied last.

    Returns:
        By node: the parameters that differ from its file, or that the graph sets.

    Raises:
        ConfigError: An argument, node or parameter is unknown; no chosen node takes an argument; a
            value has another type; a parameter is given twice with different values; or start_mode
            would move a real arm.
    """
    nodes = {node.name: node for node in find_graph(graph, given)}
    gathered = _NodeParameters(graph, nodes)
    for key, value in given.items():
        owner, dot, parameter = key.partition(".")
        if dot and owner in nodes:
            gathered.set_parameter(nodes[owner], parameter, value)
        elif key in gathered.arguments:
            gathered.set_argument(gathered.arguments[key], value)
        else:
            raise unknown_argument(graph, key, gathered.arguments, nodes)
    for some in (*_read_if_given(given.get("params_file", "")), *others):
        gathered.apply(some)
    gathered.complete(trained_for(given.get("bundle", "")))
    _choose_start_mode(graph, nodes, gathered.values)
    return gathered.values


def unknown_argument(
    graph: str, name: str, arguments: Iterable[str], nodes: Iterable[str]
) -> ConureError:
    """Build the error for a name that is neither a graph argument nor `node.parameter`.

    Args:
        graph: Name of the graph.
        name: The unknown name.
        arguments: Names of the graph's arguments.
        nodes: Names of the graph's nodes.
    """
    owner, dot, _ = name.partition(".")
    if dot:
        return unknown_name(
            f"argument of graph {graph} '{name}': the graph has no node", owner, nodes
        )
    return unknown_name(
        f"argument of graph {graph}", name, [*arguments, *(f"{node}.PARAMETER" for node in nodes)]
    )


class _NodeParameters:
    """Collects the nodes' parameters, and which source set each of them."""

    def __init__(self, graph: str, nodes: Mapping[str, NodeSpec]) -> None:
        self.graph, self.nodes = graph, nodes
        self.arguments = {argument.name: argument for argument in graph_arguments(graph)}
        self.values = {name: self._defaults(node) for name, node in nodes.items()}
        self._set_by: dict[tuple[str, str], str] = {}

    def _defaults(self, node: NodeSpec) -> dict[str, Any]:
        taken = {own: self.arguments[name].default for name, own in node.taken.items()}
        return {**dict(node.parameters), **taken}

    def set_argument(self, argument: Argument, value: Any) -> None:
        """Set a graph argument in each node that takes it.

        Args:
            argument: The argument.
            value: Its value, of its type or as text.

        Raises:
            ConfigError: The value has another type, or no node takes it.
        """
        typed = _convert_argument(argument, value)
        if typed == argument.default:
            return
        if argument.name in OF_EVERY_NODE:
            for node in self.nodes.values():
                self._set(node.name, argument.name, typed, argument.name)
            return
        takers = [node for node in self.nodes.values() if argument.name in node.taken]
        if not takers and argument.name not in OF_NO_NODE:
            raise ConfigError(
                f"{argument.name}={value}: with this arm no node of the graph takes it; arm="
                " chooses another"
            )
        for node in takers:
            self._set(node.name, node.taken[argument.name], typed, argument.name)

    def set_parameter(self, node: NodeSpec, parameter: str, value: Any, source: str = "") -> None:
        """Set one parameter of one node.

        Args:
            node: The node.
            parameter: Name of the parameter.
            value: Its value, of the parameter's type or as text.
            source: Name of the source for errors; '': `node.parameter`.

        Raises:
            ConfigError: The node has no such parameter, or another source set another value.
        """
        like = parameters_of(node)
        if moved := MOVED.get((node.executable, parameter)):
            raise ConfigError(
                f"{node.name}.{parameter}: {node.executable} publishes whole images, and the policy"
                f" frames them: {moved}"
            )
        if not _has(node, parameter):
            own = sorted(name for name in like if _has(node, name))
            raise unknown_name(f"parameter of {node.name}", parameter, own)
        name = f"{node.name}.{parameter}"
        self._set(
            node.name, parameter, _convert_like(name, value, like.get(parameter)), source or name
        )

    def complete(self, trained: Mapping[str, str]) -> None:
        """Set what nobody gave: the task of the bundle, its target and its objects.

        Args:
            trained: What the bundle was trained for, by argument.
        """
        for node in self.nodes.values():
            values = self.values[node.name]
            for argument in TASK_DEFAULTS:
                own = node.taken.get(argument, "")
                if own and not values[own]:
                    values[own] = trained[argument]

    def apply(self, some: ParameterSet) -> None:
        """Apply a parameter set. Raises: ConfigError naming its source and what no node has."""
        known = {node.name for graph in GRAPHS.values() for node in graph.possible_nodes()} | {
            MANAGER.name,
            *self.nodes,
        }
        for pattern, parameters in some.by_node.items():
            name = pattern.removeprefix("/")
            if pattern in EVERY_NODE:
                self._set_everywhere(some.source, parameters)
            elif name in self.nodes:
                for parameter, value in parameters.items():
                    self.set_parameter(self.nodes[name], parameter, value, some.source)
            elif name not in known:
                raise unknown_name(f"node in {some.source}", name, known)

    def _set_everywhere(self, source: str, parameters: Mapping[str, Any]) -> None:
        """Set parameters in all nodes that have them."""
        for parameter, value in parameters.items():
            takers = [node for node in self.nodes.values() if _has(node, parameter)]
            if not takers:
                names = {name for node in self.nodes.values() for name in parameters_of(node)}
                raise unknown_name(f"parameter in {source}", parameter, names)
            for node in takers:
                self.set_parameter(node, parameter, value, source)

    def _set(self, node: str, parameter: str, value: Any, source: str) -> None:
        before, own = self._set_by.get((node, parameter)), self.values[node].get(parameter)
        if before and own != value:
            raise ConfigError(
                f"{before} sets {node}.{parameter} to {own!r} and {source} to {value!r}; give one"
                " value"
            )
        self._set_by[node, parameter] = source
        self.values[node][parameter] = value


def parameters_of(node: NodeSpec) -> dict[str, Any]:
    """A node's parameters by name, each with a value of its type; None if no file of this package
    has one.
    """
    arguments = {
        name: argument.default for name, argument in ARGUMENTS.items() if name not in OF_THE_GRAPH
    }
    taken = {own: ARGUMENTS[name].default for name, own in node.taken.items()}
    return {**OF_EVERY_NODE, **arguments, **dict(node.parameters), **taken, **file_parameters(node)}


def _has(node: NodeSpec, parameter: str) -> bool:
    """Whether the parameter is the node's own, or one that every node has."""
    own = {*file_parameters(node), *node.taken.values(), *(name for name, _ in node.parameters)}
    return parameter in own or parameter in OF_EVERY_NODE or parameter.startswith(OF_EVERY_TOPIC)


def _convert_argument(argument: Argument, value: Any) -> Any:
    """Raises: ConfigError for a value of another type, or one that is not among the choices."""
    try:
        typed = SWITCHES[str(value).lower()] if argument.type is bool else argument.type(value)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{argument.name} must be of type {argument.type.__name__}, got {value!r}"
        ) from error
    if argument.pattern and typed and not re.fullmatch(argument.pattern, str(typed), re.ASCII):
        raise ConfigError(
            f"{argument.name}={typed}: ROS names have letters, digits and _, no digit first, with /"
            " between the parts; such as left or left/arm"
        )
    if argument.choices and typed not in argument.choices:
        raise unknown_name(argument.name, str(typed), list(filter(None, argument.choices)))
    return typed


def _convert_like(name: str, value: Any, before: Any) -> Any:
    """Convert a value to the type of the one before it: an int to a float, a text of `ros2 launch`
    to anything.

    Other values stay as they are; the node refuses them by name. Raises: ConfigError for a number
    that is not finite.
    """
    if isinstance(value, str) and not isinstance(before, str):
        value = _parsed(value, before)
    if isinstance(before, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(before, list) and isinstance(value, (list, tuple)):
        value = [_convert_like(name, item, before[0] if before else None) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name} must be a finite number, got {value}")
    return value


def _parsed(text: str, before: Any) -> Any:
    if isinstance(before, float):
        try:
            return float(text)
        except ValueError:
            return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _choose_start_mode(
    graph: str, nodes: Mapping[str, NodeSpec], values: dict[str, dict[str, Any]]
) -> None:
    """Set the manager's start mode. Nothing moves a real arm before a person asks for it. Raises:
    ConfigError.
    """
    manager = values.get(MANAGER.name, {})
    if "start_mode" not in manager:
        return
    simulated = _is_simulated(nodes.values(), values)
    mode = manager["start_mode"] or (named_graph(graph).start_mode if simulated else "hold")
    if mode not in START_MODES:
        raise unknown_name("start_mode", str(mode), START_MODES)
    if mode != "hold" and not simulated:
        raise ConfigError(
            f"start_mode={mode}: only a simulated arm (arm=sim, or port=sim) may begin so, and this"
            f" graph's arm is not simulated; it begins in hold, and {TO_A_PERSON}"
        )
    manager["start_mode"] = mode


def _is_simulated(nodes: Iterable[NodeSpec], values: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the graph's arm is simulated, without a serial arm on a port of this machine."""
    found = list(nodes)
    ports = [
        values[node.name].get("port") for node in found if node.executable == SERIAL_ARM.executable
    ]
    return any(node.executable == SIM_ROBOT.executable for node in found) and all(
        port == SIMULATED for port in ports
    )


def file_parameters(node: NodeSpec) -> dict[str, Any]:
    """The parameters in the node's file below launch/config."""
    text = (launch_folder() / "config" / node.config).read_text()
    values: dict[str, Any] = yaml.safe_load(text)["/**"]["ros__parameters"]
    return values


def write_parameters(path: Path, values: dict[str, Any]) -> Path:
    """Write a ROS parameter file that holds for every node.

    Args:
        path: The file.
        values: Parameter values by name.

    Returns:
        The file's path.
    """
    path.write_text(yaml.safe_dump({"/**": {"ros__parameters": values}}))
    return path


def _read_if_given(path: Any) -> list[ParameterSet]:
    return [read_parameter_file(Path(str(path)).expanduser())] if path else []


def read_parameter_file(path: Path) -> ParameterSet:
    """Read a ROS parameter file. Raises: ConfigError naming it and what is wrong."""
    try:
        data = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"parameter file {path} cannot be read: {error}") from error
    if not isinstance(data, dict) or not data:
        raise ConfigError(
            f"parameter file {path} must map nodes to ros__parameters, got {type(data).__name__}"
        )
    return ParameterSet(
        f"parameter file {path}", {str(node): _section(path, node, data[node]) for node in data}
    )


def _section(path: Path, node: Any, section: Any) -> dict[str, Any]:
    if not isinstance(section, dict) or set(section) != {"ros__parameters"}:
        raise ConfigError(
            f"parameter file {path}: '{node}' must hold ros__parameters and nothing else"
        )
    parameters = section["ros__parameters"]
    if not isinstance(parameters, dict):
        raise ConfigError(
            f"parameter file {path}: ros__parameters of '{node}' must map names to values"
        )
    return dict(_flatten(parameters))


def _flatten(parameters: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Join the names of nested parameters with dots, as ROS does."""
    for name, value in parameters.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
