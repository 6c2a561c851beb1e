"""`method=trajectory` and `method=hierarchical`: RL over the latent of a policy for many steps (`skills`).

The autoencoder of skills learns on the data set that the prior is trained on, on the same features. RL is latent SAC in
the skills' latent, whose prior is N(0, I) too, with the same critics; demonstrations are in the replay as the latents
that the autoencoder infers for them.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from conure_training.nn.networks import seeded
from conure_training.prior.latent_bound import chi_square_radius
from conure_training.rl.actor_critic import Observation
from conure_training.rl.config import RlConfig
from conure_training.rl.loop import Method
from conure_training.rl.methods.latent import IdentityFlow
from conure_training.rl.methods.latent_sac import LatentSac
from conure_training.rl.methods.prior_features import Features, mixed
from conure_training.rl.methods.skill_model import SkillConfig, SkillEnvironment, SkillVae, told_in_skills, train_skills
from conure_training.rl.replay import Episode


def build_trajectory(config: RlConfig, env: Any) -> Method:
    """One latent for a whole sequence of actions, carried out without looking."""
    return _skilled(Features(config, env), config.trajectory, closed_loop=False)


def build_hierarchical(config: RlConfig, env: Any) -> Method:
    """A latent every few steps, as the goal of a low-level policy that looks at every one."""
    return _skilled(Features(config, env), config.hierarchical, closed_loop=True)


def _skilled(features: Features, size: SkillConfig, closed_loop: bool) -> Method:
    config, latent = features.config, features.config.latent
    sizes = {"horizon": size.horizon, "closed_loop": closed_loop, "width": size.hidden_width}
    with seeded(config.seed):
        skills = SkillVae(features.dim, features.action_dim, **sizes)  # type: ignore[arg-type]

    def train(module: SkillVae) -> None:
        seen, done = features.demonstrated_features, features.demonstrated_actions
        train_skills(module, seen, done, features.data.ends, size, config.seed)

    skills = features.trained_once(skills, train)
    learner = LatentSac(
        IdentityFlow(),
        features.dim,
        features.critic_dim,
        features.action_dim,
        latent,
        config.seed,
        slots=features.slots,
        critic_input=config.critic,
    )
    episodes = [_in_skills(skills, episode) for episode in features.task_demonstrations()]
    radius = chi_square_radius(latent.z_bound_quantile, features.action_dim)
    return Method(
        learner,
        mixed(episodes, config, steps_an_action=size.horizon),
        features.observe,
        features.saving("skills", lambda: learner.averaged_policy, latent.hidden_dims, radius, skills=(skills, sizes)),
        command=_unchanged,
        environment=lambda bare: SkillEnvironment(bare, skills, features.prior.features),
    )


def _unchanged(observation: Observation, z: Tensor) -> Tensor:
    """A latent is not clipped to the actions' box."""
    return z


def _in_skills(skills: SkillVae, episode: Episode) -> Episode:
    starts, z = told_in_skills(skills, episode.observations["features"][:-1], episode.action)
    kept = torch.tensor([*starts, len(episode.action)])
    pieces = episode.reward.split(skills.horizon)
    observations = {name: rows[kept] for name, rows in episode.observations.items()}
    return replace(episode, observations=observations, action=z, reward=torch.stack([piece.sum() for piece in pieces]))
