"""Policies as files: each says of which kind it is, and the module of its kind reads it (see
rl.registry).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conure_core.contract.spec import Contract, require_match
from conure_core.errors import DataError
from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.policies.bundle import BundlePolicy
from conure_training.policies.chunked import ChunkedPolicy
from conure_training.policies.latent import LatentPolicy
from conure_training.policies.module import ModulePolicy, PolicyModule
from conure_training.policies.policy import Policy
from conure_training.prior.model import Prior, PriorSize, load_prior
from conure_training.rl.registry import policy_loader
from conure_training.runtime.torch_files import load_torch, readable, save_torch


def load_policy(path: Path, expected: Contract | None = None) -> Policy:
    """Load the policy at this path.

    Args:
        path: A bundle's folder, a `prior*.pt` or a `policy*.pt`.
        expected: The contract that it must fit; None: any.

    Returns:
        The policy, ready to act.

    Raises:
        DataError: The file cannot be read, or there is none.
        BundleError: The bundle cannot be read.
        SpecMismatch: The policy is for another arm, image size or rate.
    """
    if path.is_dir():
        policy: Policy = BundlePolicy(path)
    elif path.name.startswith("prior"):
        prior = load_prior(path, chunks=True)
        policy = LatentPolicy(prior) if prior.size.chunk == 1 else ChunkedPolicy(prior)
    else:
        policy = _load_file(path)
    if expected is not None:
        require_match(expected, policy.contract, str(path))
    return policy


def _load_file(path: Path) -> Policy:
    try:
        data = load_torch(path)
    except FileNotFoundError as error:
        raise DataError(f"no policy at {path}; run conure rl out={path.parent}") from error
    with readable(path):
        policy: Policy = policy_loader(data["kind"])(data)
        return policy


def save_module(
    path: Path,
    kind: str,
    module: PolicyModule,
    contract: Contract,
    sizes: Mapping[str, Any],
    note: dict[str, Any],
) -> None:
    """Write a module as a policy of this kind, whole or not at all.

    Args:
        path: The file.
        kind: Names the loader, see rl.registry.
        module: Its weights are written.
        contract: What the policy sees and does.
        sizes: Of its networks, to make it again.
        note: Kept beside the weights, for people.
    """
    data = {"kind": kind, "contract": contract.to_dict(), "sizes": dict(sizes), "note": note}
    save_torch(path, {**data, "weights": module.state_dict()})


def load_module(module: PolicyModule, data: Mapping[str, Any]) -> ModulePolicy:
    """Load what `save_module` wrote.

    Args:
        module: Of the same sizes; the weights are loaded in place.
        data: The file's values.

    Returns:
        The policy, frozen.
    """
    module.load_state_dict(data["weights"])
    return ModulePolicy(module.eval().requires_grad_(False), Contract.from_dict(data["contract"]))


def rebuild_prior(data: Mapping[str, Any]) -> Prior:
    """Build the prior of a policy's file, untrained: its weights come with the module's."""
    return Prior(Contract.from_dict(data["contract"]), PriorSize(**data["sizes"]["prior"]))


def rebuild_policy(data: Mapping[str, Any], feature_dim: int, action_dim: int) -> GaussianPolicy:
    """Build the Gaussian policy of a policy's file, untrained.

    Args:
        data: The file's values; "sizes" holds "hidden", "slots" and "radius".
        feature_dim: Values of the features, F.
        action_dim: Values of an action, A.

    Returns:
        The policy; its weights come with the module's.
    """
    sizes = data["sizes"]
    return GaussianPolicy(feature_dim, action_dim, sizes["hidden"], sizes["slots"], sizes["radius"])
