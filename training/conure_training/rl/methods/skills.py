"""`method=trajectory` and `method=hierarchical`: RL over the latent of a policy for many steps.

One latent decides about many actions; RL chooses the latent, a few times an episode.

The autoencoder of skills learns on the data set that the prior is trained on, on the same features.
RL is latent SAC in the skills' latent, whose prior is N(0, I) too, with the same critics;
demonstrations are in the replay as the latents that the autoencoder infers for them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conure_training.nn.float64 import in_float64
from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.nn.weights import seeded
from conure_training.policies.module import PolicyModule
from conure_training.policies.policy import Observation
from conure_training.policies.recurrent import RecurrentGraph, RecurrentPolicy
from conure_training.prior.latent_bound import chi_square_radius
from conure_training.prior.model import Prior
from conure_training.rl.config import RunConfig
from conure_training.rl.learners.skill_vae import (
    SkillConfig,
    SkillVae,
    infer_skills,
    train_skills,
)
from conure_training.rl.method import Method
from conure_training.rl.methods.latent import LatentConfig, latent_sac
from conure_training.rl.methods.latent_inverted import IdentityFlow
from conure_training.rl.policy_file import load_module, rebuild_policy, rebuild_prior
from conure_training.rl.prior_features import Features, build_mixed_replay
from conure_training.rl.replay import Episode


@dataclass(frozen=True)
class SkillSacConfig(LatentConfig):
    """Of SAC in the skills' latent as of latent SAC in z."""

    learns_from_interventions = False

    closed_loop: ClassVar[bool] = False
    """Whether the decoder of skills looks at every step, see SkillVae."""
    skills: SkillConfig = field(default_factory=SkillConfig)
    """The autoencoder of skills, and how it learns."""


@dataclass(frozen=True)
class TrajectoryConfig(SkillSacConfig):
    """One latent for a whole sequence of actions, carried out without looking."""

    name: str = "trajectory"


@dataclass(frozen=True)
class HierarchicalConfig(SkillSacConfig):
    """A latent every few steps, as the goal of a low-level policy that looks at every one."""

    name: str = "hierarchical"
    closed_loop: ClassVar[bool] = True
    skills: SkillConfig = field(default_factory=lambda: SkillConfig(horizon=5))


class SkillRun:
    """One latent being carried out: `action` gives its next action; `left` says how many are
    left.
    """

    def __init__(self, skills: SkillVae) -> None:
        self.skills = skills
        self.left = 0

    def begin(self, z: Tensor, features: Tensor) -> None:
        """Start a new latent.

        Args:
            z: Shape (1, A).
            features: What it was decided on, shape (1, F).
        """
        self._z = z
        self._first = features
        self.left = self.skills.horizon

    @torch.no_grad()
    def action(self, features: Callable[[], Tensor]) -> Tensor:
        """The next action, (1, A) in [-1, 1]; `features` gives the present ones, (1, F), to who
        looks at them.
        """
        seen = features() if self.skills.closed_loop else self._first
        step = self.skills.horizon - self.left
        self.left -= 1
        return self.skills.decode(self._z, seen, step)


class SkillEnvironment:
    """An environment whose action is a latent: each step carries it out, to its end or the
    episode's.

    The reward is the sum of theirs; `info["env_steps"]` says how many steps it took. Everything
    else is the bare one's.
    """

    def __init__(self, env: Any, skills: SkillVae, encode: Callable[[Observation], Tensor]) -> None:
        self._env = env
        self._run = SkillRun(skills)
        self._encode = encode
        self._observation: Observation = {}

    def reset(self, seed: int) -> tuple[Observation, dict[str, Any]]:
        self._observation, info = self._env.reset(seed=seed)
        return self._observation, info

    def step(self, z: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """z (A,): see the class."""
        self._run.begin(torch.from_numpy(z)[None], self._features())
        total = 0.0
        steps = 0
        done = False
        while self._run.left and not done:
            action = self._run.action(self._features)[0].numpy()
            self._observation, reward, terminated, truncated, info = self._env.step(action)
            total += float(reward)
            steps += 1
            done = terminated or truncated
        return self._observation, total, terminated, truncated, {**info, "env_steps": steps}

    def _features(self) -> Tensor:
        return self._encode(self._observation)


class Skilled(PolicyModule):
    """The parts of a policy that chooses a latent, and carries it out before it chooses again."""

    prior: Prior
    policy: GaussianPolicy
    skills: SkillVae


class SkillGraph(RecurrentGraph):
    """a = skill(z, features, step), z drawn at a skill's first step.

    The memory is the step within the skill, 0 at an episode's start, then z and the features that
    it was drawn on. z and the log-likelihood of the outputs are what the prior says of a.
    """

    has_prior = True

    def __init__(self, module: Skilled) -> None:
        """Copy the module in float64."""
        action_dim = module.prior.action_dim
        super().__init__(None, action_dim)
        self.module = in_float64(module)
        self.encoder = self.module.prior.encoder
        self.flow = self.module.prior.flow
        self._parts = (1, action_dim, module.prior.encoder.feature_dim)
        self.memory_size = sum(self._parts)

    def forward(
        self, image: Tensor, proprio: Tensor, noise: Tensor, memory: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        if memory is None:
            memory = image.new_zeros(image.shape[0], self.memory_size)
        skills = self.module.skills
        features = self.encoder(image, proprio.double())
        step, z, first = memory.double().split(self._parts, dim=-1)
        begins = step == 0.0
        z = torch.where(begins, self.module.policy.draw(features, noise.double()), z)
        first = torch.where(begins, features, first)
        seen = features if skills.closed_loop else first
        action = skills.decode(z, seen, step[:, 0]).clamp(-1.0, 1.0)
        judged = self.flow.encode_with_log_prob(action, features)
        after = torch.where(step + 1.0 < skills.horizon, step + 1.0, 0.0)
        outputs = (action, *judged, torch.cat([after, z, first], dim=-1))
        return tuple(output.float() for output in outputs)


def load_policy(data: Mapping[str, Any]) -> RecurrentPolicy:
    """See policy_file."""
    prior = rebuild_prior(data)
    skills = SkillVae(prior.encoder.feature_dim, prior.action_dim, **data["sizes"]["skills"])
    policy = rebuild_policy(data, prior.encoder.feature_dim, prior.action_dim)
    module = Skilled(prior=prior, skills=skills, policy=policy)
    contract = load_module(module, data).contract
    return RecurrentPolicy(SkillGraph(module), contract)


def build(run: RunConfig, config: SkillSacConfig, env: Any) -> Method:
    """Build RL whose action is a latent of skills; it sees what latent SAC sees.

    Args:
        run: The run.
        config: Settings of latent SAC, and of the autoencoder.
        env: The run's bare environment.

    Returns:
        The method, its autoencoder trained.
    """
    features = Features(run, env, config.critic)
    settings = config.skills
    sizes = {
        "horizon": settings.horizon,
        "closed_loop": config.closed_loop,
        "width": settings.hidden_width,
    }
    with seeded(run.seed):
        skills = SkillVae(features.dim, features.action_dim, **sizes)  # type: ignore[arg-type]

    def train(module: SkillVae) -> None:
        seen = features.demonstrated_features
        actions = features.demonstrated_actions
        train_skills(module, seen, actions, features.data.ends, settings, run.seed)

    skills = features.train_once(skills, train)
    learner = latent_sac(IdentityFlow(), features, config)
    episodes = [_in_skills(skills, episode) for episode in features.task_demonstrations()]
    radius = chi_square_radius(config.z_bound_quantile, features.action_dim)

    def module() -> PolicyModule:
        return Skilled(prior=features.prior, skills=skills, policy=learner.averaged_policy)

    return Method(
        learner,
        build_mixed_replay(episodes, run, steps_an_action=settings.horizon),
        features.observe,
        features.make_saver("skills", module, config.hidden_dims, radius, skills=sizes),
        command=_unchanged,
        environment=lambda bare: SkillEnvironment(bare, skills, features.prior.features),
    )


def _unchanged(observation: Mapping[str, Tensor], z: Tensor) -> Tensor:
    """A latent is not clipped to the actions' box."""
    return z


def _in_skills(skills: SkillVae, episode: Episode) -> Episode:
    features = episode.observations["features"][:-1]
    starts, z = infer_skills(skills, features, episode.action)
    kept = torch.tensor([*starts, len(episode.action)])
    pieces = episode.reward.split(skills.horizon)
    observations = {name: rows[kept] for name, rows in episode.observations.items()}
    return replace(
        episode,
        observations=observations,
        action=z,
        reward=torch.stack([piece.sum() for piece in pieces]),
    )
