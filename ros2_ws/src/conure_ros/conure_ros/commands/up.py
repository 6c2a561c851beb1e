"""`conure up graph=sim bundle=out/demo/bundle`: a set of nodes, as `ros2 launch` would start it."""

from dataclasses import dataclass, field
from typing import Any

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError
from conure_ros.bringup.graph_parameters import node_parameters
from conure_ros.bringup.graphs import ARGUMENTS, find_graph
from conure_ros.bringup.launcher import run_graph


@dataclass(frozen=True)
class UpConfig:
    """The graph and its arguments; null leaves an argument at its default in the node table.

    `parameters` sets any parameter of a node: `+parameters.control.stale_periods=3.0`.
    """

    graph: str = "sim"
    arm: str | None = None
    robot: str | None = None
    port: str | None = None
    bundle: str | None = None
    task: str | None = None
    target: str | None = None
    objects: str | None = None
    image_size_px: int | None = None
    noise_scale: float | None = None
    start_mode: str | None = None
    folder: str | None = None
    trials: int | None = None
    first_seed: int | None = None
    camera_source: str | None = None
    camera_calibration: str | None = None
    wrist_source: str | None = None
    wrist_calibration: str | None = None
    timeout_s: float | None = None
    params_file: str | None = None
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (
            any("bundle" in node.taken for node in find_graph(self.graph, self.given()))
            and not self.bundle
        ):
            raise ConfigError("conure up needs a policy: bundle=FOLDER (conure export writes one)")
        node_parameters(self.graph, self.given())

    def given(self) -> dict[str, Any]:
        """What run_graph takes."""
        arguments = {
            name: getattr(self, name) for name in ARGUMENTS if getattr(self, name) is not None
        }
        others = {
            f"{node}.{key}": value
            for node, some in self.parameters.items()
            for key, value in some.items()
        }
        return {**arguments, **others}


def run(overrides: list[str]) -> None:
    """Start a set of nodes, as `ros2 launch` would."""
    config = load_config("conure_ros.conf", "up", UpConfig, overrides)
    run_graph(config.graph, config.given())
