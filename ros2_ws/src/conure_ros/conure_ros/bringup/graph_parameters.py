"""What each node of a graph is told: shipped file, graph's arguments, `node.parameter`, the user's
file. No ROS.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from conure_core.errors import ConfigError, ConureError, unknown_name
from conure_core.servos.bus_config import SIMULATED
from conure_ros.bringup.graphs import (
    ARGUMENTS,
    GRAPHS,
    MANAGER,
    SERIAL_ARM,
    SIM_ROBOT,
    Argument,
    NodeSpec,
    find_graph,
    graph_arguments,
    launch_folder,
    named_graph,
)

START_MODES = ("hold", "policy")
OF_EVERY_NODE: dict[str, Any] = {"use_sim_time": False, "start_type_description_service": True}
OF_EVERY_TOPIC = "qos_overrides."
EVERY_NODE = ("/**", "**", "/*", "*")
"""What a parameter file calls all nodes."""
OF_THE_GRAPH = ("arm", "params_file", "start_mode")
"""Arguments that no node has as a parameter, the manager's start_mode aside."""
OF_NO_NODE = ("arm", "port", "params_file")
"""Arguments that choose nodes or files, so that it does not matter whether a node takes them."""
TO_A_PERSON = "`conure keys`, key p, or the service set_mode lets the policy move it"


@dataclass(frozen=True)
class ParameterSet:
    """Parameters that somebody gave by node: `by_node` has names, or one of EVERY_NODE. `source`
    names it in errors.
    """

    source: str
    by_node: Mapping[str, Mapping[str, Any]]


def node_parameters(
    graph: str, given: Mapping[str, Any], others: Iterable[ParameterSet] = ()
) -> dict[str, dict[str, Any]]:
    """Every node's parameters beyond its shipped file.

    Args: `given` by graph argument or `node.parameter`; its `params_file` and then `others` are
    applied last. Raises: ConfigError for an unknown argument, node or parameter, an argument that
    no chosen node takes, a value of another type, a parameter that is given twice with different
    values, or a start_mode that would move a real arm.
    """
    nodes = {node.name: node for node in find_graph(graph, given)}
    told = _Told(graph, nodes)
    for key, value in given.items():
        owner, dot, parameter = key.partition(".")
        if dot and owner in nodes:
            told.parameter(nodes[owner], parameter, value)
        elif key in told.arguments:
            told.argument(told.arguments[key], value)
        else:
            raise unknown_argument(graph, key, told.arguments, nodes)
    for some in (*_of_file(given.get("params_file", "")), *others):
        told.parameter_set(some)
    _choose_start_mode(graph, nodes, told.values)
    return told.values


def unknown_argument(
    graph: str, name: str, arguments: Iterable[str], nodes: Iterable[str]
) -> ConureError:
    """The error for what is neither an argument of the graph nor `node.parameter` of one of these
    nodes.
    """
    owner, dot, _ = name.partition(".")
    if dot:
        return unknown_name(
            f"argument of graph {graph} '{name}': the graph has no node", owner, nodes
        )
    return unknown_name(
        f"argument of graph {graph}", name, [*arguments, *(f"{node}.PARAMETER" for node in nodes)]
    )


class _Told:
    """The nodes' parameters as they are gathered, and which of them somebody asked for."""

    def __init__(self, graph: str, nodes: Mapping[str, NodeSpec]) -> None:
        self.graph, self.nodes = graph, nodes
        self.arguments = {argument.name: argument for argument in graph_arguments(graph)}
        self.values = {name: self._at_first(node) for name, node in nodes.items()}
        self._asked: dict[tuple[str, str], str] = {}

    def _at_first(self, node: NodeSpec) -> dict[str, Any]:
        taken = {own: self.arguments[name].default for name, own in node.taken.items()}
        return {**dict(node.parameters), **taken}

    def argument(self, argument: Argument, value: Any) -> None:
        """Give it to each node that takes it. Raises: ConfigError if it would be without effect."""
        takers = [node for node in self.nodes.values() if argument.name in node.taken]
        typed = _typed(argument, value)
        if typed == argument.default:
            return
        if not takers and argument.name not in OF_NO_NODE:
            raise ConfigError(
                f"{argument.name}={value}: with this arm no node of the graph takes it; arm="
                " chooses another"
            )
        for node in takers:
            self._set(node.name, node.taken[argument.name], typed, argument.name)

    def parameter(self, node: NodeSpec, parameter: str, value: Any, source: str = "") -> None:
        """Raises: ConfigError if the node has no such parameter."""
        like = parameters_of(node)
        if parameter not in like and not parameter.startswith(OF_EVERY_TOPIC):
            raise unknown_name(f"parameter of {node.name}", parameter, like)
        name = f"{node.name}.{parameter}"
        self._set(
            node.name, parameter, _as_before(name, value, like.get(parameter)), source or name
        )

    def parameter_set(self, some: ParameterSet) -> None:
        """Raises: ConfigError naming its source and what no node has."""
        known = {node.name for graph in GRAPHS.values() for node in graph.possible()} | {
            MANAGER.name,
            *self.nodes,
        }
        for pattern, parameters in some.by_node.items():
            name = pattern.removeprefix("/")
            if pattern in EVERY_NODE:
                self._set_everywhere(some.source, parameters)
            elif name in self.nodes:
                for parameter, value in parameters.items():
                    self.parameter(self.nodes[name], parameter, value, some.source)
            elif name not in known:
                raise unknown_name(f"node in {some.source}", name, known)

    def _set_everywhere(self, source: str, parameters: Mapping[str, Any]) -> None:
        """For the nodes that have them."""
        for parameter, value in parameters.items():
            takers = [node for node in self.nodes.values() if _has(node, parameter)]
            if not takers:
                names = {name for node in self.nodes.values() for name in parameters_of(node)}
                raise unknown_name(f"parameter in {source}", parameter, names)
            for node in takers:
                self.parameter(node, parameter, value, source)

    def _set(self, node: str, parameter: str, value: Any, source: str) -> None:
        before, own = self._asked.get((node, parameter)), self.values[node].get(parameter)
        if before and own != value:
            raise ConfigError(
                f"{before} sets {node}.{parameter} to {own!r} and {source} to {value!r}; give one"
                " value"
            )
        self._asked[node, parameter] = source
        self.values[node][parameter] = value


def parameters_of(node: NodeSpec) -> dict[str, Any]:
    """A node's parameters by name, each with a value of its type, None where no file of this
    package says one.
    """
    arguments = {
        name: argument.default for name, argument in ARGUMENTS.items() if name not in OF_THE_GRAPH
    }
    taken = {own: ARGUMENTS[name].default for name, own in node.taken.items()}
    return {**OF_EVERY_NODE, **arguments, **dict(node.parameters), **taken, **file_parameters(node)}


def _has(node: NodeSpec, parameter: str) -> bool:
    """Whether it is the node's own, or any node's."""
    own = {*file_parameters(node), *node.taken.values(), *(name for name, _ in node.parameters)}
    return parameter in own or parameter in OF_EVERY_NODE or parameter.startswith(OF_EVERY_TOPIC)


def _typed(argument: Argument, value: Any) -> Any:
    try:
        return argument.type(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{argument.name} must be of type {argument.type.__name__}, got {value!r}"
        ) from error


def _as_before(name: str, value: Any, before: Any) -> Any:
    """A value as the type of the one before it: a whole number for a real one, a text of `ros2
    launch` for any.

    What does not fit stays as it is: the node refuses it by name. Raises: ConfigError for a number
    that is not finite.
    """
    if isinstance(value, str) and not isinstance(before, str):
        value = _parsed(value, before)
    if isinstance(before, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(before, list) and isinstance(value, (list, tuple)):
        value = [_as_before(name, item, before[0] if before else None) for item in value]
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
    """Nothing moves a real arm before a person says so. Raises: ConfigError."""
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
    """Whether the graph's arm is: the simulated one, without a serial arm on a port of this
    machine.
    """
    found = list(nodes)
    ports = [
        values[node.name].get("port") for node in found if node.executable == SERIAL_ARM.executable
    ]
    return any(node.executable == SIM_ROBOT.executable for node in found) and all(
        port == SIMULATED for port in ports
    )


def file_parameters(node: NodeSpec) -> dict[str, Any]:
    """What the node's file below launch/config says."""
    text = (launch_folder() / "config" / node.config).read_text()
    values: dict[str, Any] = yaml.safe_load(text)["/**"]["ros__parameters"]
    return values


def write_parameters(path: Path, values: dict[str, Any]) -> Path:
    """A ROS parameter file that holds for whatever node reads it."""
    path.write_text(yaml.safe_dump({"/**": {"ros__parameters": values}}))
    return path


def _of_file(path: Any) -> list[ParameterSet]:
    return [read_parameter_file(Path(str(path)).expanduser())] if path else []


def read_parameter_file(path: Path) -> ParameterSet:
    """A ROS parameter file. Raises: ConfigError naming it and what is wrong."""
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
    return dict(_flat(parameters))


def _flat(parameters: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """ROS joins the names of nested parameters with dots."""
    for name, value in parameters.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
