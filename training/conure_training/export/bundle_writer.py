"""Bundles are written from torch modules: verified, and whole or not there."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from conure_core.contract.bundle import (
    GOLDEN,
    INVERSE,
    POLICY,
    SPEC,
    Bundle,
    BundleSpec,
    FileDigest,
    load_bundle,
    replayed,
    require_thresholds,
)
from conure_core.contract.spec import Contract
from conure_core.errors import BundleError, SpecMismatch
from conure_core.runtime.atomic_files import replacing
from conure_core.runtime.provenance import git_commit
from conure_training.export.onnx_graphs import write_onnx
from conure_training.export.parity import (
    Observations,
    check_observations,
    graph_inputs,
    onnx_parity,
    require_parity,
)
from conure_training.policies.graph import InverseGraph, PolicyGraph
from conure_training.prior.flow import ConditionalRealNVP


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
    """Write the bundle `path` and return it as the robot will load it. The modules are left as they
    are.

    `encoder(image_uint8 (B, H, W, 3), proprio (B, P))` gives features (B, C), normalization
    included, which are also the flow's context; `policy(features)` gives the mean and the standard
    deviation of z, (B, A) each, or is None for the prior alone. The encoder computes in the type of
    `proprio`: the graphs are in float64, see conure_training.nn.float64. A few dozen golden
    observations are enough.

    The folder appears whole or not at all; a bundle already there is replaced only by a whole new
    one. Raises: SpecMismatch if modules, observations and contract do not fit together; BundleError
    if the graphs do not reproduce torch, for a threshold that is no finite number, or if something
    that is not a bundle stands at `path`.
    """
    path = Path(path)
    if path.exists() and not (path / SPEC).is_file():
        raise BundleError(f"{path} exists and is not a bundle; choose another name or remove it")
    require_thresholds(log_likelihood_thresholds or {})
    graph = PolicyGraph(encoder, flow, policy)
    golden = _golden_inputs(graph, golden_observations, contract, seed)
    with replacing(path) as folder:
        folder.mkdir()
        write_onnx(graph, folder / POLICY, golden, "noise", ["action", "z", "log_likelihood"])
        write_onnx(InverseGraph(graph), folder / INVERSE, golden, "action", ["z", "log_likelihood"])
        spec = BundleSpec(
            contract=contract,
            name=name or path.name,
            git_commit=git_commit(),
            exported_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            training=_jsonable(training_config, "training_config"),
            log_likelihood_thresholds=dict(log_likelihood_thresholds or {}),
            files={},
        )
        written = Bundle(
            spec, {name: (folder / name).read_bytes() for name in (POLICY, INVERSE)}, ""
        )
        require_parity(onnx_parity(written, graph, golden_observations, seed))
        golden = {**golden, **replayed(written, golden)}
        np.savez_compressed(folder / GOLDEN, allow_pickle=False, **golden)
        files = {
            name: FileDigest.of((folder / name).read_bytes()) for name in (POLICY, INVERSE, GOLDEN)
        }
        (folder / SPEC).write_text(replace(spec, files=files).to_json())
        return load_bundle(folder, expected=contract)


def _golden_inputs(
    graph: PolicyGraph, observations: Observations, contract: Contract, seed: int
) -> dict[str, NDArray[Any]]:
    """Observations and noise to replay; torch must take them."""
    (size,) = contract.action.values.shape
    if graph.flow.action_dim != size:
        raise SpecMismatch(
            f"the flow makes actions of {graph.flow.action_dim} values, the contract has {size}"
        )
    image, proprio, noise = graph_inputs(check_observations(observations, contract), size, seed)
    with torch.inference_mode():
        graph(*(torch.from_numpy(array) for array in (image, proprio, noise)))
    return {"image": image, "proprio": proprio, "noise": noise}


def _jsonable(data: Mapping[str, Any], what: str) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(data), allow_nan=False))
        return plain
    except (TypeError, ValueError) as error:
        raise BundleError(
            f"{what} cannot be written as JSON ({error}); pass plain numbers, strings, lists"
        ) from error
