"""`conure export`: from a trained prior or policy to a bundle that a robot can load."""

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
from conure_sim.tasks import find_task
from conure_training.data.demonstrations import load_demonstrations
from conure_training.export.bundle_writer import export_bundle
from conure_training.export.parity import Observations, onnx_parity
from conure_training.policies.chunked import ChunkedAgent
from conure_training.policies.latent import LatentAgent
from conure_training.rl.policy_file import load_policy
from conure_training.runtime.torch_files import load_torch


@dataclass(frozen=True)
class ExportConfig:
    """What to export where. `demos`: where golden and compared observations come from; empty: the
    environment `task`.

    `metrics`: the prior's metrics.json, whose held-out quantiles become likelihood thresholds;
    empty: none. `report`: JSON with parity over `observations` and the times of `calls` single
    inferences; empty: not written.
    """

    agent: str
    out: str
    demos: str
    metrics: str
    report: str
    task: str
    name: str
    golden: int = field(metadata=BATCH)
    observations: int = field(metadata=BATCH)
    calls: int = field(metadata=BATCH)
    seed: int = field(metadata=SEED)

    def __post_init__(self) -> None:
        find_task(self.task)
        check_values(vars(self), type(self))


def run(overrides: list[str]) -> None:
    """Write an ONNX bundle."""
    config = load_config("conure_training.conf", "export", ExportConfig, overrides)
    result = export_agent(config)
    parity, p99_ms = result["parity"], np.percentile(result["inference_ms"], 99)
    print(
        f"{config.out}: {parity['count']} observations, at most {parity['action']:.1e} from torch"
        " in action and"
    )
    print(
        f"{parity['log_likelihood']:.1e} nats in log-likelihood; one inference takes {p99_ms:.2f}"
        " ms (p99)"
    )


def export_agent(config: ExportConfig) -> dict[str, Any]:
    """Export a trained prior or policy in z; parity and times of the bundle as written, also to
    `config.report`.

    Raises: ConfigError for an agent that is neither; DataError, BundleError, SpecMismatch.
    """
    with claimed(config.out, "conure export"):
        return _export_agent(config)


def _export_agent(config: ExportConfig) -> dict[str, Any]:
    agent = load_policy(Path(config.agent))
    if isinstance(agent, ChunkedAgent):
        raise ConfigError(
            f"{config.agent} decides {agent.prior.size.chunk} actions at once; a robot is given one"
            " a tick: train a prior with size.chunk=1"
        )
    if not isinstance(agent, LatentAgent):
        raise ConfigError(
            f"{config.agent} is no prior and no policy in z; bundles are made of those"
        )
    seen = _recorded(config) if config.demos else _simulated(config, agent.contract)
    bundle = export_bundle(
        agent.prior.encoder,
        agent.prior.flow,
        agent.policy,
        contract=agent.contract,
        path=config.out,
        golden_observations=_evenly(seen, config.golden),
        training_config={"agent": config.agent, **_note(Path(config.agent))},
        name=config.name,
        log_likelihood_thresholds=_thresholds(config.metrics),
        seed=config.seed,
    )
    parity = onnx_parity(bundle, agent.graph, seen, config.seed)
    result = {
        "parity": asdict(parity),
        "inference_ms": inference_times_ms(bundle, seen, config.calls),
    }
    if config.report:
        write_json(Path(config.report), result)
    return result


def inference_times_ms(bundle: Bundle, observations: Observations, calls: int) -> list[float]:
    """Wall times of `calls` single inferences, ms, on the bundle's one thread, after ten that are
    not counted.
    """
    count, times_ms = len(observations["image"]), []
    for call in range(-10, calls):
        now = {name: values[call % count] for name, values in observations.items()}
        began_s = time.perf_counter()
        bundle.act(now)
        times_ms.append(1000 * (time.perf_counter() - began_s))
    return times_ms[10:]


def _recorded(config: ExportConfig) -> Observations:
    data = load_demonstrations(Path(config.demos))
    return _evenly({"image": data.image, "proprio": data.proprio}, config.observations)


def _simulated(config: ExportConfig, contract: Contract) -> Observations:
    """Observations of random actions in fresh scenes."""
    import gymnasium

    import conure_sim  # noqa: F401  (registers the environments)

    rows: list[Mapping[str, NDArray[Any]]] = []
    size = contract.observation.image.shape[0]
    with gymnasium.make(f"conure/{config.task}-v0", arm=contract.robot, image_size=size) as env:
        env.action_space.seed(config.seed)
        while len(rows) < config.observations:
            rows.append(env.reset(seed=config.seed + len(rows))[0])
            rows += [env.step(env.action_space.sample())[0] for _ in range(9)]
    return {
        name: np.stack([row[name] for row in rows[: config.observations]])
        for name in ("image", "proprio")
    }


def _evenly(observations: Observations, count: int) -> Observations:
    """At most `count` of them, evenly spread."""
    total = len(observations["image"])
    index = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))
    return {name: values[index] for name, values in observations.items()}


def _note(path: Path) -> dict[str, Any]:
    """What training wrote beside the weights, as far as JSON can hold it."""
    note = load_torch(path).get("note", {})
    return dict(json.loads(json.dumps(note, default=str), parse_constant=str))


def _thresholds(path: str) -> dict[str, float]:
    """Held-out log-likelihood quantiles by name ('p01', ...). Raises: DataError if the file has
    none to read.
    """
    if not path:
        return {}
    prefix = "held_out_log_likelihood_p"
    try:
        metrics = read_json(Path(path), "train the prior again")
        found = {
            f"p{key.removeprefix(prefix)}": float(metrics[key])
            for key in metrics
            if key.startswith(prefix)
        }
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise damaged(Path(path), error, "train the prior again") from error
    if not found:
        raise DataError(
            f"{path} has no {prefix}01, ..., so that nothing could watch the policy; give"
            " metrics='' to export so"
        )
    return found
