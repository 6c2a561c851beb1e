"""`method=latent`: SAC in the latent space of a frozen prior (`latent_sac`), and what can be changed about it."""

import math
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from conure_training.nn.networks import GaussianPolicy, seeded
from conure_training.policies.policy import LatentAgent, save_latent_agent
from conure_training.prior.flow import ConditionalRealNVP
from conure_training.prior.latent_bound import chi_square_radius, reachable_fraction
from conure_training.rl.actor_critic import Observation
from conure_training.rl.behavior_cloning import clone_flow
from conure_training.rl.config import RlConfig
from conure_training.rl.demonstrations import inverted
from conure_training.rl.loop import Method, within_the_box
from conure_training.rl.methods.finetuned import EncodingPolicy, FinetunedSac
from conure_training.rl.methods.latent_sac import LatentSac
from conure_training.rl.methods.prior_features import Features
from conure_training.rl.methods.two_actors import EscapingSac, two_policies

BOUND_SAMPLES = 2000


def build(config: RlConfig, env: Any) -> Method:
    """Actor: the prior's frozen features. Critics: the simulator's state, and demonstrations in their batches."""
    features = Features(config, env)
    if config.escape:
        return _escaping(features)
    if config.finetune_encoder:
        return _finetuned(features)
    return _latent(features)


class IdentityFlow:
    """z for z: the learner's actions are latents, which the loop decodes."""

    def decode(self, z: Tensor, context: Tensor) -> Tensor:
        return z


def _latent(features: Features) -> Method:
    config, prior = features.config, features.prior
    in_z = config.demonstrations_in == "z"
    learner = LatentSac(
        IdentityFlow() if in_z else prior.flow,
        features.dim,
        features.critic_dim,
        features.action_dim,
        config.latent,
        config.seed,
        slots=features.slots,
        critic_input=config.critic,
    )

    def save(path: Path, note: dict[str, Any]) -> None:
        save_latent_agent(path, LatentAgent(prior, learner.averaged_policy), note)  # type: ignore[arg-type]

    def decoded(observation: Observation, z: Tensor) -> Tensor:
        return prior.flow.decode(z, observation["features"]).clamp(-1.0, 1.0)

    episodes = features.task_demonstrations()
    if in_z:
        episodes = [inverted(episode, prior.flow) for episode in episodes]
    command = decoded if in_z else within_the_box
    return Method(learner, features.mixed_replay(episodes), features.observe, save, command, figures=_bound(features))


def _bound(features: Features) -> dict[str, Any]:
    """The dial, as it was set."""
    quantile = features.config.latent.z_bound_quantile
    radius = chi_square_radius(quantile, features.action_dim)
    if math.isinf(radius):
        return {}
    rows = torch.linspace(0, len(features.data) - 1, min(BOUND_SAMPLES, len(features.data))).long()
    seen = features.demonstrated_features[rows]
    reachable = reachable_fraction(features.prior.flow, seen, features.action_dim, radius)
    return {"z_bound_quantile": quantile, "z_bound_radius": radius, "reachable_fraction": reachable}


def _escaping(features: Features) -> Method:
    config = features.config
    hidden, radius = config.latent.hidden_dims, chi_square_radius(config.latent.z_bound_quantile, features.action_dim)
    sizes = (features.dim, features.action_dim, hidden, features.slots, radius, config.seed)
    own = _own_flow(features)
    learner = EscapingSac(
        features.prior.flow.requires_grad_(False),
        own,
        two_policies(*sizes, margin=config.escape_margin),
        features.critic_dim,
        features.action_dim,
        config.latent,
        seed=config.seed,
        critic_input=config.critic,
    )
    save = features.saving("escaping", lambda: learner.averaged_policy, hidden, radius, own=(own, {}))
    return Method(learner, features.mixed_replay(), features.observe, save, figures=_bound(features))


def _own_flow(features: Features) -> ConditionalRealNVP:
    """Cloned from all demonstrations of the run, as rivals are, on the prior's features and nothing else of it."""
    config, seen, done = features.config, features.demonstrated_features, features.demonstrated_actions
    with seeded(config.seed):
        flow = ConditionalRealNVP(features.action_dim, features.dim)
    return features.trained_once(
        flow, lambda module: clone_flow(module, seen, done, config.escape_cloning, config.seed)
    )


def _finetuned(features: Features) -> Method:
    config, prior = features.config, features.prior
    radius = chi_square_radius(config.latent.z_bound_quantile, features.action_dim)
    hidden = config.latent.hidden_dims
    with seeded(config.seed):
        head = GaussianPolicy(features.dim, features.action_dim, hidden, features.slots, radius)
    learner = FinetunedSac(
        prior.flow,
        features.dim,
        features.critic_dim,
        features.action_dim,
        config.latent,
        config.seed,
        critic_input=config.critic,
        policy=EncodingPolicy(prior.encoder, head),
    )

    def observe(observation: dict[str, NDArray]) -> dict[str, Tensor]:
        seen = {name: torch.from_numpy(observation[name]) for name in ("image", "proprio")}
        return {**features.observe(observation), **seen}

    save = features.saving("finetuned", lambda: learner.averaged_policy, hidden, radius)
    replay = features.mixed_replay(features.task_demonstrations(images=True))
    return Method(learner, replay, observe, save, figures=_bound(features))
