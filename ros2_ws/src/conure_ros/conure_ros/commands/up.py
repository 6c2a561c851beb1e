"""`conure up graph=sim bundle=out/demo/bundle`: start a graph of nodes, like `ros2 launch`."""

from dataclasses import dataclass, field, make_dataclass
from typing import Any

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError
from conure_ros.bringup.arguments import ARGUMENTS
from conure_ros.bringup.graph_parameters import node_parameters
from conure_ros.bringup.graphs import find_graph
from conure_ros.bringup.launcher import run_graph


@dataclass(frozen=True)
class _Up:
    """The graph, and parameters of its nodes."""

    graph: str = "sim"
    """Name of the graph."""
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Any parameter, by node: `parameters.control.stale_periods=3.0`."""

    def __post_init__(self) -> None:
        nodes = find_graph(self.graph, self.given())
        needs_bundle = any("bundle" in node.taken for node in nodes)
        if needs_bundle and not self.given().get("bundle"):
            raise ConfigError("conure up needs a policy: bundle=FOLDER (conure export writes one)")
        node_parameters(self.graph, self.given())

    def given(self) -> dict[str, Any]:
        """The given arguments and parameters, as run_graph takes them."""
        values = {name: getattr(self, name) for name in ARGUMENTS}
        arguments = {name: value for name, value in values.items() if value is not None}
        others = {
            f"{node}.{key}": value
            for node, some in self.parameters.items()
            for key, value in some.items()
        }
        return {**arguments, **others}


UpConfig = make_dataclass(
    "UpConfig",
    [(argument.name, argument.type | None, None) for argument in ARGUMENTS.values()],
    bases=(_Up,),
    frozen=True,
)
"""The graph and its arguments, a field for each of ARGUMENTS. None: the argument's default."""


def run(overrides: list[str]) -> None:
    """Start a set of nodes, as `ros2 launch` would."""
    if not {"-h", "--help"}.isdisjoint(overrides):
        for argument in ARGUMENTS.values():
            print(f"{argument.name:<18} {argument.description}")
        print()
    config: Any = load_config("conure_ros.conf", "up", UpConfig, overrides)
    run_graph(config.graph, config.given())
