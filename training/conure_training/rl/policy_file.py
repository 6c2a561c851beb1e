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
    """The policy at this path: a bundle's folder, a `prior*.pt` or a `policy*.pt`.

    Raises: DataError, BundleError if it cannot be read; SpecMismatch if it is for another arm,
    image size or rate.
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
    """Write the module as a policy of this kind, whole or not at all; `sizes`: of its networks, to
    make it again.
    """
    data = {"kind": kind, "contract": contract.to_dict(), "sizes": dict(sizes), "note": note}
    save_torch(path, {**data, "weights": module.state_dict()})


def loaded_module(module: PolicyModule, data: Mapping[str, Any]) -> ModulePolicy:
    """What `save_module` wrote, in a module of the same sizes."""
    module.load_state_dict(data["weights"])
    return ModulePolicy(module.eval().requires_grad_(False), Contract.from_dict(data["contract"]))


def untrained_prior(data: Mapping[str, Any]) -> Prior:
    """A prior of the size in such a file; its weights come with the module's."""
    return Prior(Contract.from_dict(data["contract"]), PriorSize(**data["sizes"]["prior"]))


def untrained_policy(data: Mapping[str, Any], feature_dim: int, action_dim: int) -> GaussianPolicy:
    """The same of a Gaussian policy on features."""
    sizes = data["sizes"]
    return GaussianPolicy(feature_dim, action_dim, sizes["hidden"], sizes["slots"], sizes["radius"])
