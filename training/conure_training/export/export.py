"""`conure export`: write a trained prior or policy as a bundle that a robot can load."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.config.loader import load_config
from conure_core.config.values import BATCH, SEED, check_values
from conure_core.contract.bundle import Bundle
from conure_core.contract.spec import Contract
from conure_core.errors import ConfigError, DataError
from conure_core.runtime.atomic_files import damaged, read_json, write_json
from conure_core.runtime.claim import claimed
from conure_core.runtime.json_text import json_text
from conure_core.runtime.resume import CHANGES_NO_RESULT
from conure_sim.tasks import find_task
from conure_training.data.demonstrations import load_demonstrations
from conure_training.export.bundle_writer import export_graph
from conure_training.export.parity import Observations, onnx_parity
from conure_training.policies.chunked import ChunkedPolicy
from conure_training.policies.graph import ActingGraph, ModuleGraph, PriorModuleGraph
from conure_training.policies.latent import LatentPolicy
from conure_training.policies.module import ModulePolicy, PriorModule
from conure_training.policies.policy import PrivilegedPolicy
from conure_training.policies.recurrent import RecurrentPolicy
from conure_training.rl.policy_file import load_policy
from conure_training.runtime.torch_files import load_torch

WARM_UP = 10
"""Inferences before those that are timed."""


@dataclass(frozen=True)
class ExportConfig:
    """The settings of `conure export`."""

    agent: str = field(metadata=CHANGES_NO_RESULT)
    """File of a prior, or of a policy that sees what a robot sees."""

    out: str = field(metadata=CHANGES_NO_RESULT)
    """The bundle's folder."""

    demos: str = field(metadata=CHANGES_NO_RESULT)
    """Demonstrations that golden and compared observations come from; empty: the environment
    `task`.
    """

    metrics: str = field(metadata=CHANGES_NO_RESULT)
    """The prior's metrics.json, whose held-out quantiles become likelihood thresholds; empty: none.
    """

    report: str = field(metadata=CHANGES_NO_RESULT)
    """JSON file for parity and inference times; empty: not written."""

    task: str
    """Environment for observations without `demos`."""

    name: str
    """Name of the bundle; empty: the folder's."""

    golden: int = field(metadata=BATCH)
    """Observations kept in the bundle, at most."""

    observations: int = field(metadata=BATCH)
    """Observations compared between bundle and torch, at most."""

    calls: int = field(metadata=BATCH)
    """Single inferences that are timed."""

    seed: int = field(metadata=SEED)
    """Decides noise and simulated observations."""

    def __post_init__(self) -> None:
        find_task(self.task)
        check_values(vars(self), type(self))


def run(overrides: list[str]) -> None:
    """Write an ONNX bundle."""
    config = load_config("conure_training.conf", "export", ExportConfig, overrides)
    result = export_policy(config)
    parity = result["parity"]
    p99_ms = np.percentile(result["inference_ms"], 99)
    print(
        f"{config.out}: {parity['count']} observations, at most {parity['action']:.1e} from torch"
        f" in action, {parity['memory']:.1e} in"
    )
    print(
        f"memory and {parity['log_likelihood']:.1e} nats in log-likelihood; one inference takes"
        f" {p99_ms:.2f} ms (p99)"
    )


def export_policy(config: ExportConfig) -> dict[str, Any]:
    """Export a trained prior, or a policy that sees what a robot sees.

    Args:
        config: What to export where.

    Returns:
        `parity` (the fields of Parity) and `inference_ms` (a list) of the bundle as written; also
        in the file `config.report`.

    Raises:
        ConfigError: The file holds another kind of policy.
        DataError, BundleError, SpecMismatch: See `load_policy` and `export_graph`.
    """
    with claimed(config.out, "conure export"):
        return _export_policy(config)


def _export_policy(config: ExportConfig) -> dict[str, Any]:
    contract, graph = load_exportable(Path(config.agent))
    if config.demos:
        observations = _recorded_observations(config)
    else:
        observations = _simulated_observations(config, contract)

    bundle = export_graph(
        graph,
        contract=contract,
        path=config.out,
        golden_observations=_spread(observations, config.golden),
        training_config={"agent": config.agent, **_note(Path(config.agent))},
        name=config.name,
        log_likelihood_thresholds=_thresholds(config.metrics),
        seed=config.seed,
    )
    parity = onnx_parity(bundle, graph, observations, config.seed)
    times_ms = _inference_times_ms(bundle, observations, config.calls)
    result = {"parity": asdict(parity), "inference_ms": times_ms}
    if config.report:
        write_json(Path(config.report), result)
    return result


def load_exportable(path: Path) -> tuple[Contract, ActingGraph]:
    """Load a policy as the graph that a robot runs, and its contract. Raises: ConfigError if it is
    of a kind that cannot be exported.
    """
    policy = load_policy(path)
    if isinstance(policy, ChunkedPolicy):
        raise ConfigError(
            f"{path} decides {policy.prior.size.chunk} actions at once, but a robot takes one a"
            " tick; train a prior with size.chunk=1"
        )
    if isinstance(policy, PrivilegedPolicy):
        raise ConfigError(
            f"{path} acts on the simulator's privileged state, which no robot measures; make one"
            f" that sees images: conure rl method=distill method.teacher={path}"
        )
    if isinstance(policy, LatentPolicy | RecurrentPolicy):
        return policy.contract, policy.graph
    if isinstance(policy, ModulePolicy):
        if isinstance(policy.module, PriorModule):
            return policy.contract, PriorModuleGraph(policy.module)
        return policy.contract, ModuleGraph(policy.module, policy.noise_dim)
    raise ConfigError(f"{path} is neither a prior nor a policy; only these can be exported")


def _inference_times_ms(bundle: Bundle, observations: Observations, calls: int) -> list[float]:
    """Wall times of single inferences, ms, on the bundle's one thread, after a warm-up."""
    count = len(observations["image"])
    times_ms = []
    for call in range(-WARM_UP, calls):
        observation = {name: values[call % count] for name, values in observations.items()}
        start_s = time.perf_counter()
        bundle.act(observation)
        times_ms.append(1000 * (time.perf_counter() - start_s))
    return times_ms[WARM_UP:]


def _recorded_observations(config: ExportConfig) -> Observations:
    data = load_demonstrations(Path(config.demos))
    rows: dict[str, Any] = {"image": data.image, "proprio": data.proprio}
    return _spread(rows, config.observations)


def _simulated_observations(config: ExportConfig, contract: Contract) -> Observations:
    """Observations of random actions in fresh scenes."""
    import gymnasium

    import conure_sim  # noqa: F401  (registers the environments)

    rows: list[Mapping[str, NDArray[Any]]] = []
    size = contract.observation.image.shape[0]
    with gymnasium.make(f"conure/{config.task}-v0", arm=contract.robot, image_size=size) as env:
        env.action_space.seed(config.seed)
        while len(rows) < config.observations:
            rows.append(env.reset(seed=config.seed + len(rows))[0])
            for _ in range(9):
                rows.append(env.step(env.action_space.sample())[0])
    rows = rows[: config.observations]
    return {
        "image": np.stack([row["image"] for row in rows]),
        "proprio": np.stack([row["proprio"] for row in rows]),
    }


def _spread(observations: Observations, count: int) -> Observations:
    """At most `count` of them, evenly spread from the first to the last."""
    total = len(observations["image"])
    index = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))
    return {name: values[index] for name, values in observations.items()}


def _note(path: Path) -> dict[str, Any]:
    """Training's note beside the weights, as far as JSON can hold it."""
    note = load_torch(path).get("note", {})
    return dict(json.loads(json_text(note, default=str)))


def _thresholds(path: str) -> dict[str, float]:
    """Held-out log-likelihood quantiles by name ('p01', ...). Raises: DataError if the file has
    none to read.
    """
    if not path:
        return {}
    prefix = "held_out_log_likelihood_p"
    try:
        metrics = read_json(Path(path), "train the prior again")
        found = {}
        for key in metrics:
            if key.startswith(prefix):
                found[f"p{key.removeprefix(prefix)}"] = float(metrics[key])
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise damaged(Path(path), error, "train the prior again") from error
    if not found:
        raise DataError(
            f"{path} has no {prefix}01, ..., without which nothing can watch the policy; give"
            " metrics='' to export without thresholds"
        )
    return found
