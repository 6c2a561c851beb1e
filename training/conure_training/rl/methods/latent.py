"""`method=latent`: SAC in the latent space of a frozen prior (`latent_sac`), and what can be
changed about it.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from conure_core.errors import ConfigError
from conure_core.spec import Contract
from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.policies.latent import LatentPolicy
from conure_training.prior.model import Prior, PriorSize
from conure_training.rl.actor_critic import Observation
from conure_training.rl.demonstrations import inverted
from conure_training.rl.method import Method, RunConfig, within_the_box
from conure_training.rl.methods.latent_escape import build_escaping
from conure_training.rl.methods.latent_finetuned import build_finetuned
from conure_training.rl.methods.latent_sac import (
    IdentityFlow,
    LatentSac,
    LatentSacConfig,
    bound_figures,
)
from conure_training.rl.methods.prior_features import Features
from conure_training.runtime.torch_files import save_torch


def build(config: RunConfig, env: Any, latent: LatentSacConfig) -> Method:
    """Actor: the prior's frozen features. Critics: the simulator's state, and demonstrations in
    their batches.
    """
    features = Features(config, env)
    if config.escape:
        return build_escaping(features, latent)
    if config.finetune_encoder:
        return build_finetuned(features, latent)
    return _latent(features, latent)


def _latent(features: Features, latent: LatentSacConfig) -> Method:
    config, prior = features.config, features.prior
    in_z = config.demonstrations_in == "z"
    learner = LatentSac(
        IdentityFlow() if in_z else prior.flow,
        features.dim,
        features.critic_dim,
        features.action_dim,
        latent,
        config.seed,
        slots=features.slots,
        critic_input=config.critic,
    )

    def save(path: Path, note: dict[str, Any]) -> None:
        save_policy(path, LatentPolicy(prior, learner.averaged_policy), note)  # type: ignore[arg-type]

    def decoded(observation: Observation, z: Tensor) -> Tensor:
        return prior.flow.decode(z, observation["features"]).clamp(-1.0, 1.0)

    episodes = features.task_demonstrations()
    if in_z:
        episodes = [inverted(episode, prior.flow) for episode in episodes]
    command = decoded if in_z else within_the_box
    return Method(
        learner,
        features.mixed_replay(episodes),
        features.observe,
        save,
        command,
        figures=bound_figures(features, latent),
    )


def save_policy(path: Path, agent: LatentPolicy, note: dict[str, Any]) -> None:
    """Write prior and policy as one file, whole or not at all."""
    prior, policy = agent.prior, agent.policy
    if policy is None:
        raise ConfigError("a prior without a policy is saved by Prior.save")
    sizes = [layer.out_features for layer in policy.trunk if isinstance(layer, nn.Linear)][:-1]
    data: dict[str, Any] = {
        "kind": "latent",
        "contract": prior.contract.to_dict(),
        "size": prior.size.__dict__,
        "hidden": sizes,
    }
    data["slots"], data["radius"] = policy.slots, policy.radius
    save_torch(
        path, {**data, "prior": prior.state_dict(), "policy": policy.state_dict(), "note": note}
    )


def load_policy(data: Mapping[str, Any]) -> LatentPolicy:
    """What `save_policy` wrote."""
    prior = Prior(Contract.from_dict(data["contract"]), PriorSize(**data["size"]))
    prior.load_state_dict(data["prior"])
    radius = data.get("radius", math.inf)  # older files have none
    policy = GaussianPolicy(
        prior.encoder.feature_dim, prior.action_dim, data["hidden"], data["slots"], radius
    )
    policy.load_state_dict(data["policy"])
    return LatentPolicy(prior.eval().requires_grad_(False), policy.eval().requires_grad_(False))
