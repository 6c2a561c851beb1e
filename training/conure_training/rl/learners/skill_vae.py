"""Skills: the latent of an autoencoder stands for several actions of a demonstration."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from conure_core.config.values import COUNT, POSITIVE
from conure_training.nn.mlp import mlp
from conure_training.nn.normalizer import Normalizer
from conure_training.rl.learners.pretraining import PretrainingConfig, pretrain


@dataclass(frozen=True)
class SkillConfig(PretrainingConfig):
    """Of the autoencoder of skills."""

    steps: int = field(default=4000, metadata=COUNT)
    horizon: int = field(default=25, metadata=COUNT)
    """Steps that one latent decides about. The default is a whole demonstration, as
    trajectory-level imitation has it.
    """
    action_deviation: float = field(default=0.2, metadata=POSITIVE)
    """Standard deviation of demonstrated actions about the decoder's."""
    hidden_width: int = field(default=256, metadata=COUNT)
    """Width of its hidden layers."""


class SkillVae(nn.Module):
    """q(z | s_0, a_0..h-1), p(a_i | s_i, z) with deviation sigma, p(z) = N(0, I); z has an action's
    dimension.

    Loss: sum_i |a_i - decoder(s_i, z)|^2 / (2 sigma^2) + KL(q || p).

    `closed_loop`: the decoder sees the features of every step (a low-level policy with z as its
    goal: hierarchical imitation). Otherwise it sees those of the first step and the step's number
    (a whole sequence of actions from one latent: trajectory-level imitation). Source: the
    baselines HIRL and TrajRL in Singh et al., PARROT, arXiv 2011.10024, which describes them in
    words alone; the autoencoder of skills as in Pertsch et al., SPiRL, arXiv 2010.11944.
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
