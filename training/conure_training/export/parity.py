"""Parity: the distance of a bundle's outputs from those of the torch modules it was made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from conure_core.contract.bundle import ACTION_TOLERANCE, LOG_LIKELIHOOD_TOLERANCE, Bundle
from conure_core.contract.spec import Contract
from conure_core.errors import BundleError, DataError, SpecMismatch
from conure_training.policies.graph import ActingGraph, InverseGraph

Observations = Mapping[str, NDArray[Any]]
"""Stacked observations: `image` uint8 (N, H, W, 3) and `proprio` float32 (N, P)."""


@dataclass(frozen=True)
class Parity:
    """Largest absolute differences between a bundle and the modules it was made from."""

    count: int
    """Observations compared."""

    action: float
    """Difference of actions, which lie in [-1, 1]."""

    z: float = 0.0
    """Difference of latents; 0 without a prior, as all that follow but the memory."""

    log_likelihood: float = 0.0
    """Difference of log-likelihoods by policy.onnx, for the policy's actions, nats."""

    inverse_log_likelihood: float = 0.0
    """Difference of log-likelihoods by inverse.onnx, for the policy's actions, nats."""

    round_trip: float = 0.0
    """Difference of f(f^-1(a)) and a, with the bundle's inverse, over the policy's actions and as
    many uniform ones.
    """

    memory: float = 0.0
    """Difference of memories, each the result of all observations before; 0 without one."""


def onnx_parity(
    bundle: Bundle, graph: ActingGraph, observations: Observations, seed: int = 0
) -> Parity:
    """Compare a bundle with torch.

    Args:
        bundle: The bundle.
        graph: The modules it was made from.
        observations: To compare on, with noise from N(0, I); one episode for a policy with a
            memory, of which each keeps its own.
        seed: Draws the noise and the uniform actions.

    Returns:
        The largest differences.

    Raises:
        SpecMismatch, DataError: See `check_observations`.
    """
    checked = check_observations(observations, bundle.spec.contract)
    image, proprio, noise = graph_inputs(checked, graph.action_dim, seed)
    inputs = {"image": image, "proprio": proprio, "noise": noise}
    found, wanted = _run_bundle(bundle, inputs), run_graph(graph, inputs)
    differences = {name: _largest(rows - wanted[name]) for name, rows in found.items()}
    if graph.has_prior:
        differences |= _inverse_parity(bundle, graph, inputs, found["action"], seed)
    return Parity(count=len(image), **differences)


def run_graph(graph: ActingGraph, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Run torch on n observations, which are one episode for a graph with a memory.

    Args:
        graph: The graph.
        inputs: `image`, `proprio` and `noise`, n rows each.

    Returns:
        By name, n rows each: `action`; with a prior `z` and `log_likelihood`; with a memory
        `memory`, after each observation.
    """
    given = [torch.from_numpy(inputs[name]) for name in ("image", "proprio", "noise")]
    names = ["action"]
    names += ["z", "log_likelihood"] if graph.has_prior else []
    with torch.inference_mode():
        if not graph.memory_size:
            return dict(zip(names, (rows.numpy() for rows in graph(*given)), strict=True))
        memory = torch.zeros(1, graph.memory_size)
        ticks = []
        for row in range(len(given[0])):
            outputs = graph(*(rows[row : row + 1] for rows in given), memory)
            memory = outputs[-1]
            ticks.append([output.numpy() for output in outputs])
    columns = [np.concatenate(rows) for rows in zip(*ticks, strict=True)]
    return dict(zip([*names, "memory"], columns, strict=True))


def _run_bundle(bundle: Bundle, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """As run_graph, by the bundle."""
    spec = bundle.spec
    if spec.has_prior and not spec.memory_size:
        outputs = bundle.act_batch(inputs["image"], inputs["proprio"], inputs["noise"])
        return dict(zip(("action", "z", "log_likelihood"), outputs, strict=True))
    memory = None
    ticks = []
    for row in range(len(inputs["noise"])):
        seen = {name: inputs[name][row] for name in ("image", "proprio")}
        output = bundle.act(seen, inputs["noise"][row], memory)
        memory = output.memory
        ticks.append(output)
    found = {"action": np.stack([tick.action for tick in ticks])}
    if spec.has_prior:
        found["z"] = np.stack([tick.z for tick in ticks])
        found["log_likelihood"] = np.array([tick.log_likelihood for tick in ticks], np.float32)
    if spec.memory_size:
        found["memory"] = np.stack([tick.memory for tick in ticks])
    return found


def _inverse_parity(
    bundle: Bundle,
    graph: ActingGraph,
    inputs: Mapping[str, NDArray[Any]],
    action: NDArray[Any],
    seed: int,
) -> dict[str, float]:
    """Compare inverse.onnx with torch on actions and on as many uniform ones."""
    image, proprio = inputs["image"], inputs["proprio"]
    inverse_z, inverse_log_likelihood = bundle.invert_batch(image, proprio, action)
    uniform = np.random.default_rng(seed + 1).uniform(-1.0, 1.0, action.shape).astype(np.float32)
    uniform_z, _ = bundle.invert_batch(image, proprio, uniform)

    seen = (torch.from_numpy(image), torch.from_numpy(proprio))
    with torch.inference_mode():
        _, inverse_wanted = InverseGraph(graph)(*seen, torch.from_numpy(action))
        features = graph.encoder(seen[0], seen[1].double())
        decoded = graph.flow.decode(torch.from_numpy(inverse_z).double(), features)
        uniform_decoded = graph.flow.decode(torch.from_numpy(uniform_z).double(), features)
    return {
        "inverse_log_likelihood": _largest(inverse_log_likelihood - inverse_wanted.numpy()),
        "round_trip": max(
            _largest(decoded.numpy() - action),
            _largest(uniform_decoded.numpy() - uniform),
        ),
    }


def require_parity(parity: Parity) -> None:
    """Raises: BundleError if actions, memories or likelihoods differ too much; NaN always does."""
    actions_agree = parity.action <= ACTION_TOLERANCE and parity.memory <= ACTION_TOLERANCE
    likelihoods_agree = parity.log_likelihood <= LOG_LIKELIHOOD_TOLERANCE
    if not (actions_agree and likelihoods_agree):
        raise BundleError(
            f"nothing was written: the graphs differ from torch by {parity.action:.2g} in action"
            f" and {parity.memory:.2g} in memory (at most {ACTION_TOLERANCE:g}), and by"
            f" {parity.log_likelihood:.2g} nats (at most"
            f" {LOG_LIKELIHOOD_TOLERANCE:g})"
        )


def check_observations(observations: Observations, contract: Contract) -> Observations:
    """Refuse stacked observations that the contract does not describe.

    Args:
        observations: n of them, stacked.
        contract: What they must be.

    Returns:
        Copies of `image` and `proprio`.

    Raises:
        SpecMismatch: A shape or a dtype differs.
        DataError: There is none, or a value is not finite.
    """
    checked = {}
    for name in ("image", "proprio"):
        expected = getattr(contract.observation, name)
        array = np.asarray(observations.get(name))
        if array.shape[1:] != expected.shape or array.dtype != expected.dtype:
            wanted = f"{expected.dtype} (n, {', '.join(map(str, expected.shape))})"
            raise SpecMismatch(
                f"observations.{name}: expected {wanted}, got {array.dtype} {array.shape}"
            )
        if not len(array) or not np.isfinite(array).all():
            raise DataError(
                f"observations.{name}: needs at least one, all finite, got {len(array)}"
            )
        checked[name] = np.array(array)
    return checked


def graph_inputs(
    observations: Observations, action_dim: int, seed: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Give the inputs of a PolicyGraph.

    Args:
        observations: n of them, stacked.
        action_dim: Values of an action.
        seed: Draws the noise.

    Returns:
        Image, proprioception, and noise from N(0, I), shape (n, action_dim), float32.
    """
    image = observations["image"]
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((len(image), action_dim), dtype=np.float32)
    return image, observations["proprio"], noise


def _largest(difference: NDArray[Any]) -> float:
    """The largest absolute value; NaN if there is one, so that no comparison overlooks it."""
    return float(np.abs(difference).max())
