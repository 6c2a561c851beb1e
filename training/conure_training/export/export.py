"""From trained torch modules to a bundle that a robot can load; verified, and whole or not there."""

import contextlib
import json
import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from conure_core.atomic_files import damaged, read_json, replacing, write_json
from conure_core.bundle import (
    ACTION_TOLERANCE,
    GOLDEN,
    INVERSE,
    LOG_LIKELIHOOD_TOLERANCE,
    POLICY,
    SPEC,
    Bundle,
    BundleSpec,
    FileDigest,
    load_bundle,
    replayed,
    require_thresholds,
)
from conure_core.claim import claimed
from conure_core.config import load_config
from conure_core.config_values import BATCH, SEED, check_values
from conure_core.errors import BundleError, ConfigError, DataError, SpecMismatch
from conure_core.provenance import git_commit
from conure_core.spec import Contract
from conure_sim.tasks import find_task
from conure_training.data.demonstrations import load_demonstrations
from conure_training.policies.chunked import ChunkedAgent
from conure_training.policies.graph import InverseGraph, PolicyGraph
from conure_training.policies.latent import LatentAgent
from conure_training.prior.flow import ConditionalRealNVP
from conure_training.rl.policy_file import load_policy
from conure_training.runtime.torch_files import load_torch

Observations = Mapping[str, NDArray[Any]]
"""Stacked observations: `image` uint8 (N, H, W, 3) and `proprio` float32 (N, P)."""


@dataclass(frozen=True)
class Parity:
    """Largest absolute differences between a bundle and the modules it was made from, over `count` observations.

    `round_trip` is that of f(f^-1(a)) to a, the inverse taken by the bundle; the actions are the policy's and, as
    many, uniform ones from the whole box. `inverse_log_likelihood` is of the policy's actions.
    """

    count: int
    action: float
    z: float
    log_likelihood: float
    inverse_log_likelihood: float
    round_trip: float


@dataclass(frozen=True)
class ExportConfig:
    """What to export where. `demos`: where golden and compared observations come from; empty: the environment `task`.

    `metrics`: the prior's metrics.json, whose held-out quantiles become likelihood thresholds; empty: none.
    `report`: JSON with parity over `observations` and the times of `calls` single inferences; empty: not written.
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
    """The verb."""
    config = load_config("conure_training.conf", "export", ExportConfig, overrides)
    result = export_agent(config)
    parity, p99_ms = result["parity"], np.percentile(result["inference_ms"], 99)
    print(f"{config.out}: {parity['count']} observations, at most {parity['action']:.1e} from torch in action and")
    print(f"{parity['log_likelihood']:.1e} nats in log-likelihood; one inference takes {p99_ms:.2f} ms (p99)")


def export_agent(config: ExportConfig) -> dict[str, Any]:
    """Export a trained prior or policy in z; parity and times of the bundle as written, also to `config.report`.

    Raises: ConfigError for an agent that is neither; DataError, BundleError, SpecMismatch.
    """
    with claimed(config.out, "conure export"):
        return _export_agent(config)


def _export_agent(config: ExportConfig) -> dict[str, Any]:
    agent = load_policy(Path(config.agent))
    if isinstance(agent, ChunkedAgent):
        raise ConfigError(
            f"{config.agent} decides {agent.prior.size.chunk} actions at once; a robot is given one a tick: train a "
            "prior with size.chunk=1"
        )
    if not isinstance(agent, LatentAgent):
        raise ConfigError(f"{config.agent} is no prior and no policy in z; bundles are made of those")
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
    result = {"parity": asdict(parity), "inference_ms": inference_times_ms(bundle, seen, config.calls)}
    if config.report:
        write_json(Path(config.report), result)
    return result


def inference_times_ms(bundle: Bundle, observations: Observations, calls: int) -> list[float]:
    """Wall times of `calls` single inferences, ms, on the bundle's one thread, after ten that are not counted."""
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
    return {name: np.stack([row[name] for row in rows[: config.observations]]) for name in ("image", "proprio")}


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
    """Held-out log-likelihood quantiles by name ('p01', ...). Raises: DataError if the file has none to read."""
    if not path:
        return {}
    prefix = "held_out_log_likelihood_p"
    try:
        metrics = read_json(Path(path), "train the prior again")
        found = {f"p{key.removeprefix(prefix)}": float(metrics[key]) for key in metrics if key.startswith(prefix)}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise damaged(Path(path), error, "train the prior again") from error
    if not found:
        raise DataError(
            f"{path} has no {prefix}01, ..., so that nothing could watch the policy; give metrics='' to export so"
        )
    return found


def export_bundle(
    encoder: nn.Module,
    flow: ConditionalRealNVP,
    policy: nn.Module | None,
    contract: Contract,
    path: str | Path,
    golden_observations: Observations,
    training_config: Mapping[str, Any],
    name: str = "",
    log_likelihood_thresholds: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Bundle:
    """Write the bundle `path` and return it as the robot will load it. The modules are left as they are.

    `encoder(image_uint8 (B, H, W, 3), proprio (B, P))` gives features (B, C), normalization included, which are also
    the flow's context; `policy(features)` gives the mean and the standard deviation of z, (B, A) each, or is None for
    the prior alone. The encoder computes in the type of `proprio`: the graphs are in float64, see
    conure_training.nn.float64. A few dozen golden observations are enough.

    The folder appears whole or not at all; a bundle already there is replaced only by a whole new one.
    Raises: SpecMismatch if modules, observations and contract do not fit together; BundleError if the graphs do not
    reproduce torch, for a threshold that is no finite number, or if something that is not a bundle stands at `path`.
    """
    path = Path(path)
    if path.exists() and not (path / SPEC).is_file():
        raise BundleError(f"{path} exists and is not a bundle; choose another name or remove it")
    require_thresholds(log_likelihood_thresholds or {})
    graph = PolicyGraph(encoder, flow, policy)
    golden = _golden_inputs(graph, golden_observations, contract, seed)
    with replacing(path) as folder:
        folder.mkdir()
        _write_onnx(graph, folder / POLICY, golden, "noise", ["action", "z", "log_likelihood"])
        _write_onnx(InverseGraph(graph), folder / INVERSE, golden, "action", ["z", "log_likelihood"])
        spec = BundleSpec(
            contract=contract,
            name=name or path.name,
            git_commit=git_commit(),
            exported_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            training=_jsonable(training_config, "training_config"),
            log_likelihood_thresholds=dict(log_likelihood_thresholds or {}),
            files={},
        )
        written = Bundle(spec, {name: (folder / name).read_bytes() for name in (POLICY, INVERSE)}, "")
        _require_parity(onnx_parity(written, graph, golden_observations, seed))
        golden = {**golden, **replayed(written, golden)}
        np.savez_compressed(folder / GOLDEN, allow_pickle=False, **golden)
        files = {name: FileDigest.of((folder / name).read_bytes()) for name in (POLICY, INVERSE, GOLDEN)}
        (folder / SPEC).write_text(replace(spec, files=files).to_json())
        return load_bundle(folder, expected=contract)


def onnx_parity(bundle: Bundle, graph: PolicyGraph, observations: Observations, seed: int = 0) -> Parity:
    """How far the bundle's outputs lie from torch's on these observations, with noise from N(0, I)."""
    image, proprio, noise = _inputs(_checked(observations, bundle.spec.contract), graph.flow.action_dim, seed)
    action, z, log_likelihood = bundle.act_batch(image, proprio, noise)
    inverse_z, inverse_log_likelihood = bundle.invert_batch(image, proprio, action)
    anywhere = np.random.default_rng(seed + 1).uniform(-1.0, 1.0, action.shape).astype(np.float32)
    anywhere_z, _ = bundle.invert_batch(image, proprio, anywhere)
    tensors = [torch.from_numpy(array) for array in (image, proprio)]
    with torch.inference_mode():
        wanted = [output.numpy() for output in graph(*tensors, torch.from_numpy(noise))]
        wanted_inverse = InverseGraph(graph)(*tensors, torch.from_numpy(action))[1].numpy()
        features = graph.encoder(tensors[0], tensors[1].double())
        latents = (torch.from_numpy(latent).double() for latent in (inverse_z, anywhere_z))
        decoded = [graph.flow.decode(latent, features).numpy() for latent in latents]
    return Parity(
        count=len(image),
        action=_largest(action - wanted[0]),
        z=_largest(z - wanted[1]),
        log_likelihood=_largest(log_likelihood - wanted[2]),
        inverse_log_likelihood=_largest(inverse_log_likelihood - wanted_inverse),
        round_trip=max(_largest(decoded[0] - action), _largest(decoded[1] - anywhere)),
    )


def _checked(observations: Observations, contract: Contract) -> Observations:
    """Refuse stacked observations that the contract does not describe."""
    checked = {}
    for name, expected in (("image", contract.observation.image), ("proprio", contract.observation.proprio)):
        array = np.asarray(observations.get(name))
        if array.shape[1:] != expected.shape or array.dtype != expected.dtype:
            wanted = f"{expected.dtype} (n, {', '.join(map(str, expected.shape))})"
            raise SpecMismatch(f"observations.{name}: expected {wanted}, got {array.dtype} {array.shape}")
        if not len(array) or not np.isfinite(array).all():
            raise DataError(f"observations.{name}: needs at least one, all finite, got {len(array)}")
        checked[name] = np.array(array)
    return checked


def _inputs(observations: Observations, action_dim: int, seed: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    image, proprio = observations["image"], observations["proprio"]
    return image, proprio, np.random.default_rng(seed).standard_normal((len(image), action_dim), dtype=np.float32)


def _golden_inputs(
    graph: PolicyGraph, observations: Observations, contract: Contract, seed: int
) -> dict[str, NDArray[Any]]:
    """Observations and noise to replay; torch must take them."""
    (size,) = contract.action.values.shape
    if graph.flow.action_dim != size:
        raise SpecMismatch(f"the flow makes actions of {graph.flow.action_dim} values, the contract has {size}")
    image, proprio, noise = _inputs(_checked(observations, contract), size, seed)
    with torch.inference_mode():
        graph(*(torch.from_numpy(array) for array in (image, proprio, noise)))
    return {"image": image, "proprio": proprio, "noise": noise}


def _write_onnx(
    graph: nn.Module, file: Path, golden: Mapping[str, NDArray[Any]], third: str, outputs: Sequence[str]
) -> None:
    """One self-contained ONNX file with a free batch size. torch's exporter is kept from chatting on the console."""
    names = ["image", "proprio", third]
    arrays = [golden["image"], golden["proprio"], np.tanh(golden["noise"])]  # the third: a noise, and an action
    example = tuple(torch.from_numpy(np.resize(array, (2, *array.shape[1:]))) for array in arrays)
    batch = torch.export.Dim("batch")
    with _quiet():
        torch.onnx.export(
            graph,
            example,
            str(file),
            input_names=names,
            output_names=outputs,
            dynamic_shapes={key: {0: batch} for key in names},
            dynamo=True,
            custom_translation_table=float64_operators(),
            external_data=False,
            verbose=False,
        )


def float64_operators() -> dict[Any, Any]:
    """Translations to ONNX of what ONNX Runtime's own operators compute in float32 alone."""
    from onnxscript import opset18 as op

    def of(value: Any, x: Any) -> Any:
        return op.CastLike(value, x)

    def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
        """max(x, 0) + log(1 + exp(-|beta x|)) / beta: nothing overflows, so that no threshold is needed."""
        scaled = op.Mul(x, of(beta, x))
        tail = op.Log(op.Add(of(1.0, x), op.Exp(op.Neg(op.Abs(scaled)))))
        return op.Div(op.Add(op.Relu(scaled), tail), of(beta, x))

    def atanh(x: Any) -> Any:
        one = of(1.0, x)
        return op.Mul(of(0.5, x), op.Log(op.Div(op.Add(one, x), op.Sub(one, x))))

    return {torch.ops.aten.softplus.default: softplus, torch.ops.aten.atanh.default: atanh}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _require_parity(parity: Parity) -> None:
    if not (parity.action <= ACTION_TOLERANCE and parity.log_likelihood <= LOG_LIKELIHOOD_TOLERANCE):
        raise BundleError(
            f"nothing was written: the graphs differ from torch by {parity.action:.2g} in action (at most "
            f"{ACTION_TOLERANCE:g}) and {parity.log_likelihood:.2g} nats (at most {LOG_LIKELIHOOD_TOLERANCE:g})"
        )


def _jsonable(data: Mapping[str, Any], what: str) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(data), allow_nan=False))
        return plain
    except (TypeError, ValueError) as error:
        raise BundleError(f"{what} cannot be written as JSON ({error}); pass plain numbers, strings, lists") from error


def _largest(difference: NDArray[Any]) -> float:
    """The largest absolute value; NaN if there is one, so that no comparison passes over it."""
    return float(np.abs(difference).max())
