"""What `ros2 launch` was told, as the node table takes it: nothing that was meant for a node is
dropped. No ROS.
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
"""Where launch_ros keeps what SetParameter and SetParametersFromFile say: pairs and paths."""
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
"""Names that launch and launch_ros read or set themselves; those that begin with two underscores
are theirs, too.
"""
ALIKE = 0.8
"""How like a node's name another must be to count as misspelt, where it might be an including
launch file's own.
"""


@dataclass(frozen=True)
class Told:
    """For node_parameters: `given` and `others`. `doubts` are for the log."""

    given: dict[str, Any]
    others: list[ParameterSet]
    doubts: list[str]


def told_by_launch(graph: str, configurations: Mapping[str, Any], directly: bool) -> Told:
    """The graph's arguments, `node.parameter`, and what was set for all nodes around an include.

    Args: `configurations` are the launch context's; `directly`: nobody includes our launch file, so
    that each of them is meant for it. Raises: ConfigError for what is meant for the graph and fits
    nothing in it.
    """
    arguments = [argument.name for argument in graph_arguments(graph)]
    given = {name: configurations[name] for name in arguments if name in configurations}
    nodes = find_graph(graph, given)
    names, doubts = [node.name for node in nodes], []
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
            doubts.append(
                f"launch argument '{name}' is not one of graph {graph}; did you mean '{close}'?"
            )
    return Told(given, _set_around(nodes, configurations.get(GLOBAL_PARAMETERS, ())), doubts)


def _set_around(nodes: Iterable[NodeSpec], set_for_all: Any) -> list[ParameterSet]:
    """launch_ros gives these to every node before its own, and ours would override them: they are
    applied last.
    """
    found = []
    for some in set_for_all:
        if isinstance(some, tuple):
            name, value = some
            # One that no node of the graph has is another node's.
            if any(name in parameters_of(node) for node in nodes):
                found.append(ParameterSet("SetParameter", {"/**": {str(name): value}}))
        else:
            found.append(read_parameter_file(Path(str(some))))
    return found


def started_directly(graph: str, words: Sequence[str]) -> bool:
    """Whether this command line, `ros2 launch ...`, names the graph's own launch file and none that
    includes it.
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
