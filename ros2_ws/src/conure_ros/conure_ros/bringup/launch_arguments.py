"""Converts the input of `ros2 launch` for the node table. No value meant for a node is dropped. No
ROS.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from conure_core.errors import ConfigError
from conure_ros.bringup.graph_parameters import (
    ParameterSet,
    parameters_of,
    read_parameter_file,
    unknown_argument,
)
from conure_ros.bringup.graphs import NodeSpec, find_graph, graph_arguments, launch_folder

PACKAGE = "conure_bringup"
GLOBAL_PARAMETERS = "global_params"
"""Where launch_ros keeps the values of SetParameter and SetParametersFromFile: pairs and paths."""
OF_LAUNCH = (
    GLOBAL_PARAMETERS,
    "emulate_tty",
    "launch-prefix",
    "launch-prefix-filter",
    "log_level",
    "ros_namespace",
    "ros_remaps",
    "sigkill_timeout",
    "sigterm_timeout",
)
"""Names that launch and launch_ros use themselves, beside those that begin with two underscores.
"""
ALIKE = 0.8
"""Similarity to a node's name from which a name counts as misspelt; below, it may belong to an
including launch file.
"""


@dataclass(frozen=True)
class LaunchInput:
    """Input for node_parameters: `given` and `others`. `warnings` are for the log."""

    given: dict[str, Any]
    others: list[ParameterSet]
    warnings: list[str]


def read_launch_input(graph: str, configurations: Mapping[str, Any], directly: bool) -> LaunchInput:
    """Read graph arguments, `node.parameter`, and parameters set for all nodes around an include.

    Args:
        graph: Name of the graph.
        configurations: The launch context's configurations by name.
        directly: No other launch file includes ours, so every configuration is meant for it.

    Raises:
        ConfigError: A configuration is meant for the graph and fits nothing in it.
    """
    arguments = [argument.name for argument in graph_arguments(graph)]
    given = {name: configurations[name] for name in arguments if name in configurations}
    nodes = find_graph(graph, given)
    names, warnings = [node.name for node in nodes], []
    for name in configurations:
        if name in given or name in OF_LAUNCH or name.startswith("__"):
            continue
        owner, dot, _ = name.partition(".")
        if dot and owner in names:
            given[name] = configurations[name]
        elif directly or (dot and get_close_matches(owner, names, n=1, cutoff=ALIKE)):
            raise unknown_argument(graph, name, arguments, names)
        elif not dot and get_close_matches(name, arguments, n=1, cutoff=ALIKE):
            (close,) = get_close_matches(name, arguments, n=1, cutoff=ALIKE)
            warnings.append(
                f"launch argument '{name}' is not one of graph {graph}; did you mean '{close}'?"
            )
    return LaunchInput(
        given, _read_global_parameters(nodes, configurations.get(GLOBAL_PARAMETERS, ())), warnings
    )


def _read_global_parameters(nodes: Iterable[NodeSpec], set_for_all: Any) -> list[ParameterSet]:
    """launch_ros applies these to every node before its own parameters, which would override them:
    apply them last.
    """
    found = []
    for some in set_for_all:
        if isinstance(some, tuple):
            name, value = some
            # A parameter that no node of the graph has belongs to another node.
            if any(name in parameters_of(node) for node in nodes):
                found.append(ParameterSet("SetParameter", {"/**": {str(name): value}}))
        else:
            found.append(read_parameter_file(Path(str(some))))
    return found


def is_started_directly(graph: str, words: Sequence[str]) -> bool:
    """Whether a command line names the graph's own launch file, and none that includes it.

    Args:
        graph: Name of the graph.
        words: The command line, `ros2 launch ...`.
    """
    for before, word in zip(("", *words), words, strict=False):
        if Path(word).name == f"{graph}.launch.py":
            return before == PACKAGE or _is_ours(Path(word))
    return False


def _is_ours(path: Path) -> bool:
    try:
        folder = launch_folder().resolve()
    except ConfigError:
        return False
    return path.is_file() and path.resolve().parent in (folder, folder / "launch")
