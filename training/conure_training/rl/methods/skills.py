"""`method=trajectory` and `method=hierarchical`: RL over the latent of a policy for many steps.

One latent decides about many actions; RL chooses the latent, a few times an episode.

The autoencoder of skills learns on the data set that the prior is trained on, on the same features.
RL is latent SAC in the skills' latent, whose prior is N(0, I) too, with the same critics;
demonstrations are in the replay as the latents that the autoencoder infers for them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.nn.mlp import mlp
from conure_training.nn.normalizer import Normalizer
from conure_training.nn.weights import seeded
from conure_training.policies.module import ModulePolicy, PolicyModule
from conure_training.policies.policy import Observation
from conure_training.prior.latent_bound import chi_square_radius
from conure_training.prior.model import Prior
from conure_training.rl.actor_critic import require
from conure_training.rl.method import Method, RunConfig
from conure_training.rl.methods.latent_sac import IdentityFlow, LatentSac, LatentSacConfig
from conure_training.rl.methods.prior_features import Features, mixed
from conure_training.rl.policy_file import loaded_module, untrained_policy, untrained_prior
from conure_training.rl.pretraining import PretrainingConfig, pretrain
from conure_training.rl.replay import Episode


@dataclass(frozen=True)
class SkillConfig(PretrainingConfig):
    """`horizon`: steps that one latent decides about; `action_deviation`: of the demonstrations
    about the decoder's.

    The default horizon is a whole demonstration, as trajectory-level imitation has it.
    """

    steps: int = 4000
    horizon: int = 25
    action_deviation: float = 0.2
    hidden_width: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.horizon >= 1, self, "horizon", "a whole number from 1")
        require(self.action_deviation > 0, self, "action_deviation", "a number above 0")


class SkillVae(nn.Module):
    """q(z | s_0, a_0..h-1), p(a_i | s_i, z) with deviation sigma, p(z) = N(0, I); z has an action's
    dimension.

    Loss: sum_i |a_i - decoder(s_i, z)|^2 / (2 sigma^2) + KL(q || p).

    `closed_loop`: the decoder sees the features of every step (a low-level policy with z as its
    goal: hierarchical imitation). Otherwise it sees those of the first step and the step's number
    (a whole sequence of actions from one latent: trajectory-level imitation). Source: the rivals
    HIRL and TrajRL in Singh et al., PARROT, arXiv 2011.10024, which describes them in words alone;
    the autoencoder of skills as in Pertsch et al., SPiRL, arXiv 2010.11944.
    """

    def __init__(
        self, feature_dim: int, action_dim: int, horizon: int, closed_loop: bool, width: int
    ) -> None:
        super().__init__()
        self.horizon, self.closed_loop, self.action_dim = horizon, closed_loop, action_dim
        self.normalize = Normalizer(feature_dim)
        self.posterior = mlp(
            [feature_dim + horizon * (action_dim + 1), width, width, 2 * action_dim]
        )
        phase = 0 if closed_loop else horizon
        self.decoder = mlp([feature_dim + action_dim + phase, width, width, action_dim])

    def decode(self, z: Tensor, features: Tensor, step: int) -> Tensor:
        """Actions (B, A) of step `step`, for latents (B, A) and features (B, F), see the class for
        whose.
        """
        parts = [self.normalize(features), z]
        if not self.closed_loop:
            phase = functional.one_hot(torch.full((len(z),), step), self.horizon)
            parts.append(phase.to(z.dtype))
        return torch.tanh(self.decoder(torch.cat(parts, dim=-1)))

    def infer(self, features: Tensor, action: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log std of z, each (B, A): features (B, F) at first, actions (B, h, A), present
        (B, h), 0 or 1.
        """
        shown = torch.cat([action * present[:, :, None], present[:, :, None]], dim=-1).flatten(1)
        mean, log_std = self.posterior(torch.cat([self.normalize(features), shown], dim=-1)).chunk(
            2, dim=-1
        )
        return mean, log_std.clamp(-6.0, 2.0)

    def loss(
        self,
        features: Tensor,
        action: Tensor,
        present: Tensor,
        sigma: float,
        generator: torch.Generator,
    ) -> Tensor:
        """See the class. features (B, h, F), action (B, h, A), present (B, h): 0 beyond an
        episode's end.
        """
        mean, log_std = self.infer(features[:, 0], action, present)
        z = mean + log_std.exp() * torch.randn(mean.shape, generator=generator)
        error = torch.zeros(len(z))
        for step in range(self.horizon):
            found = self.decode(z, features[:, step if self.closed_loop else 0], step)
            error = error + present[:, step] * (found - action[:, step]).square().sum(dim=-1)
        kl = 0.5 * (mean.square() + (2.0 * log_std).exp() - 1.0 - 2.0 * log_std).sum(dim=-1)
        return (error / (2.0 * sigma**2) + kl).mean()


def train_skills(
    skills: SkillVae,
    features: Tensor,
    action: Tensor,
    ends: NDArray[np.int64],
    config: SkillConfig,
    seed: int,
) -> None:
    """On episodes laid end to end: features (n, F), actions (n, A), ends (e,). Leaves it frozen."""
    skills.normalize.fit(features, least_deviation=0.05)
    rows_until = torch.from_numpy(np.repeat(ends, np.diff(ends, prepend=0)))
    steps = torch.arange(skills.horizon)

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        wanted = rows[:, None] + steps
        present = (wanted < rows_until[rows][:, None]).float()
        wanted = torch.minimum(wanted, rows_until[rows][:, None] - 1)
        seen = features[wanted]
        seen = seen + config.feature_noise * torch.randn(seen.shape, generator=generator)
        return skills.loss(seen, action[wanted], present, config.action_deviation, generator)

    pretrain("skills", skills, loss, len(features), config, seed)


@torch.no_grad()
def told_in_skills(skills: SkillVae, features: Tensor, action: Tensor) -> tuple[list[int], Tensor]:
    """A demonstration of T steps as choices: the first steps of its pieces, and the mean z of each,
    (pieces, A).
    """
    starts = list(range(0, len(action), skills.horizon))
    shown = torch.zeros(len(starts), skills.horizon, action.shape[1])
    present = torch.zeros(len(starts), skills.horizon)
    for piece, start in enumerate(starts):
        rows = action[start : start + skills.horizon]
        shown[piece, : len(rows)], present[piece, : len(rows)] = rows, 1.0
    return starts, skills.infer(features[starts], shown, present)[0]


class SkillRun:
    """One latent being carried out: `action` gives its next action; `left` says how many are
    left.
    """

    def __init__(self, skills: SkillVae, encode: Callable[[Observation], Tensor]) -> None:
        self.skills, self.encode = skills, encode
        self.left = 0

    def begin(self, z: Tensor, observation: Observation) -> None:
        """Take over with z (A,)."""
        self._z, self._first, self.left = z[None], self.encode(observation), self.skills.horizon

    @torch.no_grad()
    def action(self, observation: Observation) -> NDArray[np.float32]:
        """The next action, (A,) in [-1, 1]."""
        features = self.encode(observation) if self.skills.closed_loop else self._first
        step = self.skills.horizon - self.left
        self.left -= 1
        return self.skills.decode(self._z, features, step)[0].numpy()


class SkillEnvironment:
    """An environment whose action is a latent: each step carries it out, to its end or the
    episode's.

    The reward is the sum of theirs; `info["env_steps"]` says how many steps it took. Everything
    else is the bare one's.
    """

    def __init__(self, env: Any, skills: SkillVae, encode: Callable[[Observation], Tensor]) -> None:
        self._env, self._run = env, SkillRun(skills, encode)
        self._observation: Observation = {}

    def reset(self, seed: int) -> tuple[Observation, dict[str, Any]]:
        self._observation, info = self._env.reset(seed=seed)
        return self._observation, info

    def step(self, z: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """z (A,): see the class."""
        self._run.begin(torch.from_numpy(z), self._observation)
        total, steps, done = 0.0, 0, False
        while self._run.left and not done:
            action = self._run.action(self._observation)
            self._observation, reward, terminated, truncated, info = self._env.step(action)
            total, steps, done = total + float(reward), steps + 1, terminated or truncated
        return self._observation, total, terminated, truncated, {**info, "env_steps": steps}


class Skilled(PolicyModule):
    """A policy that chooses a latent, and carries it out before it chooses again: it remembers."""

    prior: Prior
    policy: GaussianPolicy
    skills: SkillVae

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
        action: Tensor = self.skills.decode(
            self._z, features if self.skills.closed_loop else self._first, step
        )
        return action


def load_policy(data: Mapping[str, Any]) -> ModulePolicy:
    """See policy_file."""
    prior = untrained_prior(data)
    skills = SkillVae(prior.encoder.feature_dim, prior.action_dim, **data["sizes"]["skills"])
    policy = untrained_policy(data, prior.encoder.feature_dim, prior.action_dim)
    return loaded_module(Skilled(prior=prior, skills=skills, policy=policy), data)


def build_trajectory(
    config: RunConfig, env: Any, latent: LatentSacConfig, size: SkillConfig
) -> Method:
    """One latent for a whole sequence of actions, carried out without looking."""
    return _skilled(Features(config, env), latent, size, closed_loop=False)


def build_hierarchical(
    config: RunConfig, env: Any, latent: LatentSacConfig, size: SkillConfig
) -> Method:
    """A latent every few steps, as the goal of a low-level policy that looks at every one."""
    return _skilled(Features(config, env), latent, size, closed_loop=True)


def _skilled(
    features: Features, latent: LatentSacConfig, size: SkillConfig, closed_loop: bool
) -> Method:
    config = features.config
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

    def module() -> PolicyModule:
        return Skilled(prior=features.prior, skills=skills, policy=learner.averaged_policy)

    return Method(
        learner,
        mixed(episodes, config, steps_an_action=size.horizon),
        features.observe,
        features.saving("skills", module, latent.hidden_dims, radius, skills=sizes),
        command=_unchanged,
        environment=lambda bare: SkillEnvironment(bare, skills, features.prior.features),
    )


def _unchanged(observation: Mapping[str, Tensor], z: Tensor) -> Tensor:
    """A latent is not clipped to the actions' box."""
    return z


def _in_skills(skills: SkillVae, episode: Episode) -> Episode:
    starts, z = told_in_skills(skills, episode.observations["features"][:-1], episode.action)
    kept = torch.tensor([*starts, len(episode.action)])
    pieces = episode.reward.split(skills.horizon)
    observations = {name: rows[kept] for name, rows in episode.observations.items()}
    return replace(
        episode,
        observations=observations,
        action=z,
        reward=torch.stack([piece.sum() for piece in pieces]),
    )
