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
from conure_training.policies.graph import InverseGraph, PolicyGraph

Observations = Mapping[str, NDArray[Any]]
"""Stacked observations: `image` uint8 (N, H, W, 3) and `proprio` float32 (N, P)."""


@dataclass(frozen=True)
class Parity:
    """Largest absolute differences between a bundle and the modules it was made from."""

    count: int
    """Observations compared."""

    action: float
    """Difference of actions, which lie in [-1, 1]."""

    z: float
    """Difference of latents."""

    log_likelihood: float
    """Difference of log-likelihoods by policy.onnx, for the policy's actions, nats."""

    inverse_log_likelihood: float
    """Difference of log-likelihoods by inverse.onnx, for the policy's actions, nats."""

    round_trip: float
    """Difference of f(f^-1(a)) and a, with the bundle's inverse, over the policy's actions and as
    many uniform ones.
    """


def onnx_parity(
    bundle: Bundle, graph: PolicyGraph, observations: Observations, seed: int = 0
) -> Parity:
    """Compare a bundle with torch.

    Args:
        bundle: The bundle.
        graph: The modules it was made from.
        observations: To compare on, with noise from N(0, I).
        seed: Draws the noise and the uniform actions.

    Returns:
        The largest differences.

    Raises:
        SpecMismatch, DataError: See `check_observations`.
    """
    checked = check_observations(observations, bundle.spec.contract)
    image, proprio, noise = graph_inputs(checked, graph.flow.action_dim, seed)
    action, z, log_likelihood = bundle.act_batch(image, proprio, noise)
    inverse_z, inverse_log_likelihood = bundle.invert_batch(image, proprio, action)
    uniform = np.random.default_rng(seed + 1).uniform(-1.0, 1.0, action.shape).astype(np.float32)
    uniform_z, _ = bundle.invert_batch(image, proprio, uniform)

    seen = (torch.from_numpy(image), torch.from_numpy(proprio))
    with torch.inference_mode():
        wanted = [output.numpy() for output in graph(*seen, torch.from_numpy(noise))]
        _, inverse_wanted = InverseGraph(graph)(*seen, torch.from_numpy(action))
        features = graph.encoder(seen[0], seen[1].double())
        decoded = graph.flow.decode(torch.from_numpy(inverse_z).double(), features)
        uniform_decoded = graph.flow.decode(torch.from_numpy(uniform_z).double(), features)

    return Parity(
        count=len(image),
        action=_largest(action - wanted[0]),
        z=_largest(z - wanted[1]),
        log_likelihood=_largest(log_likelihood - wanted[2]),
        inverse_log_likelihood=_largest(inverse_log_likelihood - inverse_wanted.numpy()),
        round_trip=max(
            _largest(decoded.numpy() - action),
            _largest(uniform_decoded.numpy() - uniform),
        ),
    )


def require_parity(parity: Parity) -> None:
    """Raises: BundleError if actions or likelihoods differ too much; NaN always does."""
    actions_agree = parity.action <= ACTION_TOLERANCE
    likelihoods_agree = parity.log_likelihood <= LOG_LIKELIHOOD_TOLERANCE
    if not (actions_agree and likelihoods_agree):
        raise BundleError(
            f"nothing was written: the graphs differ from torch by {parity.action:.2g} in action"
            f" (at most {ACTION_TOLERANCE:g}) and {parity.log_likelihood:.2g} nats (at most"
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
