"""The rivals' policies as they act: one torch module each, (image, proprio, noise) -> action, rebuilt from its file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conure_core.spec import Contract
from conure_training.nn.networks import GaussianPolicy
from conure_training.prior.flow import ConditionalRealNVP
from conure_training.prior.model import Prior, PriorSize
from conure_training.rl.methods.finetuned import EncodingPolicy
from conure_training.rl.methods.flow_matching import FlowMatchingPolicy
from conure_training.rl.methods.image_vae import ImageVae
from conure_training.rl.methods.skill_model import SkillVae
from conure_training.rl.methods.two_actors import TwoPolicies, two_policies
from conure_training.runtime.torch_files import save_torch

Sizes = Mapping[str, Any]


class PolicyModule(nn.Module):
    """Base: `parts`, by name, make the module; `forward` acts; `begin` forgets an earlier episode.

    image (1, H, W, 3) uint8, proprio (1, P), noise (1, A) -> actions (1, A), which whoever executes them clips.
    """

    encoder: Any
    generator: Any
    own: Any
    policy: Any
    prior: Any
    skills: Any

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def begin(self) -> None:
        """Nothing is remembered."""


class OnFeatures(PolicyModule):
    """a = tanh(mean + std * noise) on the features of `encoder`."""

    def forward(self, image: Tensor, proprio: Tensor, noise: Tensor) -> Tensor:
        action: Tensor = torch.tanh(self.policy.draw(self.encoder(image, proprio), noise))
        return action


class OnPriorFeatures(PolicyModule):
    """The same on a prior's features."""

    def forward(self, image: Tensor, proprio: Tensor, noise: Tensor) -> Tensor:
        features = self.prior.encoder(image, proprio)
        action: Tensor = torch.tanh(self.policy.draw(features, noise))
        return action


class Proposing(PolicyModule):
    """IBRL: the imitation policy's mean or SAC's action."""

    def forward(self, image: Tensor, proprio: Tensor, noise: Tensor) -> Tensor:
        features = self.prior.encoder(image, proprio)
        first, second = self.policy.first.draw(features, None), self.policy.second.draw(features, noise)
        chosen: Tensor = self.policy.choose(features, torch.tanh(first), torch.tanh(second))
        return chosen


class Escaping(PolicyModule):
    """A policy in the prior's z or one in that of a flow of its own."""

    def forward(self, image: Tensor, proprio: Tensor, noise: Tensor) -> Tensor:
        features = self.prior.encoder(image, proprio)
        first = self.prior.flow.decode(self.policy.first.draw(features, noise), features)
        second = self.own.decode(self.policy.second.draw(features, noise), features)
        chosen: Tensor = self.policy.choose(features, first, second)
        return chosen


class Steered(PolicyModule):
    """Noise drawn by the policy, through a flow-matching policy."""

    def forward(self, image: Tensor, proprio: Tensor, noise: Tensor) -> Tensor:
        features = self.prior.encoder(image, proprio)
        action: Tensor = self.generator.decode(self.policy.draw(features, noise), features)
        return action


class Finetuned(PolicyModule):
    """A policy in z with an encoder of its own."""

    def forward(self, image: Tensor, proprio: Tensor, noise: Tensor) -> Tensor:
        z = self.policy.draw(image, proprio, noise)
        action: Tensor = self.prior.flow.decode(z, self.prior.encoder(image, proprio))
        return action


class Skilled(PolicyModule):
    """A policy that chooses a latent, and carries it out before it chooses again: it remembers."""

    _left = 0

    def begin(self) -> None:
        """The next action chooses anew."""
        self._left = 0

    def forward(self, image: Tensor, proprio: Tensor, noise: Tensor) -> Tensor:
        features = self.prior.encoder(image, proprio)
        if self._left == 0:
            self._z, self._first = self.policy.draw(features, noise), features
            self._left = self.skills.horizon
        step = self.skills.horizon - self._left
        self._left -= 1
        action: Tensor = self.skills.decode(self._z, features if self.skills.closed_loop else self._first, step)
        return action


def _gaussian(sizes: Sizes, feature_dim: int, action_dim: int) -> GaussianPolicy:
    return GaussianPolicy(feature_dim, action_dim, sizes["hidden"], sizes["slots"], sizes["radius"])


def _two(sizes: Sizes, feature_dim: int, action_dim: int) -> TwoPolicies:
    return two_policies(feature_dim, action_dim, sizes["hidden"], sizes["slots"], sizes["radius"], seed=0)


def _vae(contract: Contract, sizes: Sizes) -> PolicyModule:
    observation = contract.observation
    vae = ImageVae(observation.image.shape[0], observation.proprio.shape[0], sizes["code_dim"])
    return OnFeatures(encoder=vae, policy=_gaussian(sizes, vae.feature_dim, contract.action.values.shape[0]))


def _on_prior(
    kind: type[PolicyModule], rest: Callable[[Sizes, Prior], dict[str, nn.Module]]
) -> Callable[[Contract, Sizes], PolicyModule]:
    def build(contract: Contract, sizes: Sizes) -> PolicyModule:
        prior = Prior(contract, PriorSize(**sizes["prior"]))
        return kind(prior=prior, **rest(sizes, prior))

    return build


def _one_policy(sizes: Sizes, prior: Prior) -> dict[str, nn.Module]:
    return {"policy": _gaussian(sizes, prior.encoder.feature_dim, prior.action_dim)}


def _both_policies(sizes: Sizes, prior: Prior) -> dict[str, nn.Module]:
    return {"policy": _two(sizes, prior.encoder.feature_dim, prior.action_dim)}


def _with_own_flow(sizes: Sizes, prior: Prior) -> dict[str, nn.Module]:
    own = ConditionalRealNVP(prior.action_dim, prior.encoder.feature_dim)
    return {"own": own, **_both_policies(sizes, prior)}


def _encoding_policy(sizes: Sizes, prior: Prior) -> dict[str, nn.Module]:
    return {"policy": EncodingPolicy(prior.encoder, _gaussian(sizes, prior.encoder.feature_dim, prior.action_dim))}


def _with_generator(sizes: Sizes, prior: Prior) -> dict[str, nn.Module]:
    generator = FlowMatchingPolicy(prior.encoder.feature_dim, prior.action_dim, **sizes["generator"])
    return {"generator": generator, **_one_policy(sizes, prior)}


def _with_skills(sizes: Sizes, prior: Prior) -> dict[str, nn.Module]:
    skills = SkillVae(prior.encoder.feature_dim, prior.action_dim, **sizes["skills"])
    return {"skills": skills, **_one_policy(sizes, prior)}


KINDS: dict[str, Callable[[Contract, Sizes], PolicyModule]] = {
    "vae": _vae,
    "features": _on_prior(OnPriorFeatures, _one_policy),
    "ibrl": _on_prior(Proposing, _both_policies),
    "escaping": _on_prior(Escaping, _with_own_flow),
    "steered": _on_prior(Steered, _with_generator),
    "skills": _on_prior(Skilled, _with_skills),
    "finetuned": _on_prior(Finetuned, _encoding_policy),
}


@dataclass(frozen=True)
class ModuleAgent:
    """An agent (see `agents`) made of one such module."""

    module: PolicyModule
    contract: Contract

    def begin(self) -> None:
        """A new episode."""
        self.module.begin()

    @torch.inference_mode()
    def act(self, observation: dict[str, NDArray[Any]], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """See agents.Agent."""
        image, proprio = (torch.from_numpy(observation[name])[None] for name in ("image", "proprio"))
        action: Tensor = self.module(image, proprio, torch.from_numpy(noise)[None])
        return action[0].clamp(-1.0, 1.0).numpy()


def save_module_agent(
    path: Path, kind: str, contract: Contract, sizes: Sizes, parts: Mapping[str, nn.Module], note: dict[str, Any]
) -> None:
    """Write the parts as one policy of this kind, whole or not at all."""
    module = KINDS[kind](contract, sizes)
    for name, part in parts.items():
        module.get_submodule(name).load_state_dict(part.state_dict())
    data = {"kind": kind, "contract": contract.to_dict(), "sizes": dict(sizes), "note": note}
    save_torch(path, {**data, "weights": module.state_dict()})


def load_module_agent(data: Mapping[str, Any]) -> ModuleAgent:
    """From what `save_module_agent` wrote. Raises: KeyError for a kind that this version does not know."""
    contract = Contract.from_dict(data["contract"])
    module = KINDS[data["kind"]](contract, data["sizes"])
    module.load_state_dict(data["weights"])
    return ModuleAgent(module.eval().requires_grad_(False), contract)
