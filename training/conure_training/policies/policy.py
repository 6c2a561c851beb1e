"""Whatever chooses actions, behind one small interface: a prior, a policy in z, a policy from scratch, a bundle."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from conure_core.bundle import load_bundle
from conure_core.errors import ConfigError, DataError
from conure_core.spec import Contract, require_match
from conure_training.nn.networks import GaussianPolicy
from conure_training.policies.chunked import ChunkedAgent
from conure_training.policies.graph import PolicyGraph
from conure_training.policies.modules import ModuleAgent, load_module_agent
from conure_training.prior.model import Prior, PriorSize, load_prior
from conure_training.rl.methods.sac import ImagePolicy, SacConfig
from conure_training.runtime.torch_files import load_torch, readable, save_torch

Observation = dict[str, NDArray[Any]]


class Agent(Protocol):
    """Chooses an action (7,) in [-1, 1] for one observation of an environment."""

    @property
    def contract(self) -> Contract: ...

    def act(self, observation: Observation, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """`noise` (7,): standard normal to sample, zeros for the middle of the policy."""
        ...


@dataclass(frozen=True)
class LatentAgent:
    """z = mean + std * noise, a = f(z; features). Without a policy it is the prior itself: mean 0, std 1.

    It acts by the very graph that is exported.
    """

    prior: Prior
    policy: GaussianPolicy | None = None

    @property
    def contract(self) -> Contract:
        """The prior's contract."""
        return self.prior.contract

    @torch.inference_mode()
    def act(self, observation: Observation, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Agent."""
        image, proprio = (torch.from_numpy(observation[name])[None] for name in ("image", "proprio"))
        action, _, _ = self.graph(image, proprio, torch.from_numpy(noise)[None])
        return np.asarray(action[0].numpy())

    @cached_property
    def graph(self) -> PolicyGraph:
        """Encoder, policy and flow in one, in float64."""
        return PolicyGraph(self.prior.encoder, self.prior.flow, self.policy)


@dataclass(frozen=True)
class ImageAgent:
    """A policy from scratch: a = tanh(mean + std * noise)."""

    policy: ImagePolicy
    contract: Contract

    @torch.inference_mode()
    def act(self, observation: Observation, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Agent."""
        image, proprio = (torch.from_numpy(observation[name])[None] for name in ("image", "proprio"))
        mean, std = self.policy(image, proprio)
        return torch.tanh(mean + std * torch.from_numpy(noise))[0].numpy()


class BundleAgent:
    """What the robot runs, in simulation."""

    def __init__(self, path: Path) -> None:
        self.bundle = load_bundle(path)

    @property
    def contract(self) -> Contract:
        """The bundle's contract."""
        return self.bundle.spec.contract

    def act(self, observation: Observation, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Agent."""
        return np.asarray(self.bundle.act(observation, noise).action, dtype=np.float32)


def save_latent_agent(path: Path, agent: LatentAgent, note: dict[str, Any]) -> None:
    """Write prior and policy as one file, whole or not at all."""
    prior, policy = agent.prior, agent.policy
    if policy is None:
        raise ConfigError("a prior without a policy is saved by Prior.save")
    sizes = [layer.out_features for layer in policy.trunk if isinstance(layer, torch.nn.Linear)][:-1]
    data: dict[str, Any] = {
        "kind": "latent",
        "contract": prior.contract.to_dict(),
        "size": prior.size.__dict__,
        "hidden": sizes,
    }
    data["slots"], data["radius"] = policy.slots, policy.radius
    save_torch(path, {**data, "prior": prior.state_dict(), "policy": policy.state_dict(), "note": note})


def save_image_agent(path: Path, agent: ImageAgent, config: SacConfig, note: dict[str, Any]) -> None:
    """Write a policy from scratch, whole or not at all."""
    data = {"kind": "scratch", "contract": agent.contract.to_dict(), "note": note}
    save_torch(path, {**data, "sac": config.__dict__, "policy": agent.policy.state_dict()})


def begin_episode(agent: Agent) -> None:
    """Agents that remember forget what was before."""
    if isinstance(agent, (ChunkedAgent, ModuleAgent)):
        agent.begin()


def load_agent(path: Path, expected: Contract | None = None) -> Agent:
    """The agent at this path: a bundle's folder, a `prior*.pt` or a `policy*.pt`.

    Raises: DataError, BundleError if it cannot be read; SpecMismatch if it is for another arm, image size or rate.
    """
    if path.is_dir():
        agent: Agent = BundleAgent(path)
    elif path.name.startswith("prior"):
        prior = load_prior(path, chunks=True)
        agent = LatentAgent(prior) if prior.size.chunk == 1 else ChunkedAgent(prior)
    else:
        agent = _load_policy(path)
    if expected is not None:
        require_match(expected, agent.contract, str(path))
    return agent


def _load_policy(path: Path) -> Agent:
    try:
        data = load_torch(path)
    except FileNotFoundError as error:
        raise DataError(f"no policy at {path}; run conure rl out={path.parent}") from error
    with readable(path):
        contract = Contract.from_dict(data["contract"])
        if data["kind"] == "scratch":
            size, proprio = contract.observation.image.shape[0], contract.observation.proprio.shape[0]
            image_policy = ImagePolicy(size, proprio, contract.action.values.shape[0], SacConfig(**data["sac"]))
            image_policy.load_state_dict(data["policy"])
            return ImageAgent(image_policy.eval().requires_grad_(False), contract)
        if data["kind"] != "latent":
            return load_module_agent(data)
        prior = Prior(contract, PriorSize(**data["size"]))
        prior.load_state_dict(data["prior"])
        policy = GaussianPolicy(
            prior.encoder.feature_dim, prior.action_dim, data["hidden"], data["slots"], data.get("radius", math.inf)
        )
        policy.load_state_dict(data["policy"])
        return LatentAgent(prior.eval().requires_grad_(False), policy.eval().requires_grad_(False))
