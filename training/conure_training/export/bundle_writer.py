"""Writing bundles from torch modules: verified, and whole or not at all."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.contract.bundle import GOLDEN, INVERSE, POLICY, SPEC, Bundle, load_bundle, replayed
from conure_core.contract.bundle_spec import BundleSpec, FileDigest, require_thresholds
from conure_core.contract.spec import Contract
from conure_core.errors import BundleError, SpecMismatch
from conure_core.runtime.atomic_files import replacing
from conure_core.runtime.json_text import json_text
from conure_core.runtime.provenance import git_commit
from conure_training.export.onnx_graphs import write_onnx
from conure_training.export.parity import (
    Observations,
    check_observations,
    graph_inputs,
    onnx_parity,
    require_parity,
    run_graph,
)
from conure_training.policies.graph import ActingGraph, InverseGraph


def export_graph(
    graph: ActingGraph,
    contract: Contract,
    path: str | Path,
    golden_observations: Observations,
    training_config: Mapping[str, Any],
    name: str = "",
    log_likelihood_thresholds: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Bundle:
    """Write a bundle and load it as the robot will.

    The observations count as one episode for a policy with a memory. The graphs are in float64, see
    conure_training.nn.float64. The folder appears whole or not at all; a bundle at `path` is
    replaced only by a whole one.

    Args:
        graph: What acts.
        contract: Robot, observation and action.
        path: The bundle's folder.
        golden_observations: Replayed whenever the bundle is loaded; a few dozen are enough.
        training_config: Kept in the bundle; anything that JSON holds.
        name: Of the bundle; empty: the folder's.
        log_likelihood_thresholds: Held-out quantiles by name ("p01", ...), nats; None: none.
        seed: Draws the golden noise.

    Returns:
        The bundle.

    Raises:
        SpecMismatch: Modules, observations and contract do not fit together.
        BundleError: The graphs do not reproduce torch, a threshold is not finite, or something that
            is not a bundle stands at `path`.
    """
    path = Path(path)
    thresholds = dict(log_likelihood_thresholds or {})
    if path.exists() and not (path / SPEC).is_file():
        raise BundleError(f"{path} exists and is not a bundle; choose another name or remove it")
    require_thresholds(thresholds)
    golden = _golden_inputs(graph, golden_observations, contract, seed)
    with replacing(path) as folder:
        folder.mkdir()
        _write_graphs(graph, folder, golden)
        spec = BundleSpec(
            contract=contract,
            name=name or path.name,
            git_commit=git_commit(),
            exported_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            training=_jsonable(training_config, "training_config"),
            log_likelihood_thresholds=thresholds,
            files={},
            memory_size=graph.memory_size,
            has_prior=graph.has_prior,
        )
        graphs = {name: (folder / name).read_bytes() for name in spec.file_names if name != GOLDEN}
        written = Bundle(spec, graphs, "")
        require_parity(onnx_parity(written, graph, golden_observations, seed))
        golden = {**golden, **replayed(written, golden)}
        np.savez_compressed(folder / GOLDEN, allow_pickle=False, **golden)

        files = {}
        for name in spec.file_names:
            files[name] = FileDigest.of((folder / name).read_bytes())
        (folder / SPEC).write_text(replace(spec, files=files).to_json())
        return load_bundle(folder, expected=contract)


def _write_graphs(graph: ActingGraph, folder: Path, golden: Mapping[str, NDArray[Any]]) -> None:
    """Write policy.onnx, and with a prior inverse.onnx."""
    outputs = ["action"]
    judged = ["z", "log_likelihood"]
    examples = dict(golden)
    if graph.has_prior:
        outputs += judged
    if graph.memory_size:
        examples["memory"] = np.zeros((1, graph.memory_size), np.float32)
        outputs.append("next_memory")
    write_onnx(graph, folder / POLICY, examples, outputs)
    if graph.has_prior:
        seen = {name: golden[name] for name in ("image", "proprio")}
        action = np.tanh(golden["noise"])
        write_onnx(InverseGraph(graph), folder / INVERSE, {**seen, "action": action}, judged)


def _golden_inputs(
    graph: ActingGraph, observations: Observations, contract: Contract, seed: int
) -> dict[str, NDArray[Any]]:
    """Observations and noise to replay, after a trial that torch accepts them."""
    (size,) = contract.action.values.shape
    if graph.action_dim != size:
        raise SpecMismatch(
            f"the policy makes actions of {graph.action_dim} values, the contract has {size}"
        )
    checked = check_observations(observations, contract)
    image, proprio, noise = graph_inputs(checked, size, seed)
    golden = {"image": image, "proprio": proprio, "noise": noise}
    run_graph(graph, {name: rows[:1] for name, rows in golden.items()})
    return golden


def _jsonable(data: Mapping[str, Any], what: str) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json_text(dict(data), strict=True))
        return plain
    except (TypeError, ValueError) as error:
        raise BundleError(
            f"{what} cannot be written as JSON ({error}); pass plain numbers, strings, lists"
        ) from error
