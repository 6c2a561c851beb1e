"""How far a bundle's outputs lie from the torch modules that it was made from."""

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
    """Largest absolute differences between a bundle and the modules it was made from, over `count`
    observations.

    `round_trip` is that of f(f^-1(a)) to a, the inverse taken by the bundle; the actions are the
    policy's and, as many, uniform ones from the whole box. `inverse_log_likelihood` is of the
    policy's actions.
    """

    count: int
    action: float
    z: float
    log_likelihood: float
    inverse_log_likelihood: float
    round_trip: float


def onnx_parity(
    bundle: Bundle, graph: PolicyGraph, observations: Observations, seed: int = 0
) -> Parity:
    """How far the bundle's outputs lie from torch's on these observations, with noise from N(0,
    I).
    """
    image, proprio, noise = graph_inputs(
        check_observations(observations, bundle.spec.contract), graph.flow.action_dim, seed
    )
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


def require_parity(parity: Parity) -> None:
    """Raises: BundleError if actions or likelihoods differ by more than a bundle may; NaN differs
    too.
    """
    if not (
        parity.action <= ACTION_TOLERANCE and parity.log_likelihood <= LOG_LIKELIHOOD_TOLERANCE
    ):
        raise BundleError(
            f"nothing was written: the graphs differ from torch by {parity.action:.2g} in action"
            f" (at most {ACTION_TOLERANCE:g}) and {parity.log_likelihood:.2g} nats (at most"
            f" {LOG_LIKELIHOOD_TOLERANCE:g})"
        )


def check_observations(observations: Observations, contract: Contract) -> Observations:
    """Refuse stacked observations that the contract does not describe."""
    checked = {}
    for name, expected in (
        ("image", contract.observation.image),
        ("proprio", contract.observation.proprio),
    ):
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
    """Image, proprioception and noise from N(0, I), (n, action_dim)."""
    image, proprio = observations["image"], observations["proprio"]
    return (
        image,
        proprio,
        np.random.default_rng(seed).standard_normal((len(image), action_dim), dtype=np.float32),
    )


def _largest(difference: NDArray[Any]) -> float:
    """The largest absolute value; NaN if there is one, so that no comparison passes over it."""
    return float(np.abs(difference).max())
