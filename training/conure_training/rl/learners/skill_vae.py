"""Skills: the latent of an autoencoder stands for several actions of a demonstration."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

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
        self.horizon = horizon
        self.closed_loop = closed_loop
        self.action_dim = action_dim
        self.normalize = Normalizer(feature_dim)
        seen = feature_dim + horizon * (action_dim + 1)
        self.posterior = mlp([seen, width, width, 2 * action_dim])
        phase = 0 if closed_loop else horizon
        self.decoder = mlp([feature_dim + action_dim + phase, width, width, action_dim])

    def decode(self, z: Tensor, features: Tensor, step: int | Tensor) -> Tensor:
        """Decode one step of the skill.

        Args:
            z: Latents, shape (B, A).
            features: Shape (B, F): of this step if `closed_loop`, else of the skill's first step.
            step: Number of the step within the skill, 0 to horizon - 1; a tensor: of each row,
                shape (B,).

        Returns:
            Actions, shape (B, A), in (-1, 1).
        """
        parts = [self.normalize(features), z]
        if not self.closed_loop:
            steps = torch.as_tensor(step).expand(z.shape[0])
            phase = steps[:, None] == torch.arange(self.horizon)
            parts.append(phase.to(z.dtype))
        inputs = torch.cat(parts, dim=-1)
        return torch.tanh(self.decoder(inputs))

    def infer(self, features: Tensor, action: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Infer the posterior q(z | s_0, a_0..h-1).

        Args:
            features: Of the first step, shape (B, F).
            action: Shape (B, h, A).
            present: Shape (B, h): 1 where there is an action, 0 beyond the episode's end.

        Returns:
            Mean and log standard deviation of z, each (B, A), the latter in [-6, 2].
        """
        mask = present[:, :, None]
        shown = torch.cat([action * mask, mask], dim=-1).flatten(1)
        inputs = torch.cat([self.normalize(features), shown], dim=-1)
        mean, log_std = self.posterior(inputs).chunk(2, dim=-1)
        return mean, log_std.clamp(-6.0, 2.0)

    def loss(
        self,
        features: Tensor,
        action: Tensor,
        present: Tensor,
        sigma: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Compute the negative evidence lower bound, see the class.

        Args:
            features: Shape (B, h, F).
            action: Shape (B, h, A).
            present: Shape (B, h): 1 where there is an action, 0 beyond the episode's end.
            sigma: Standard deviation of actions about the decoder's.
            generator: Where z is drawn from.

        Returns:
            Nats, up to a constant, the mean over the batch, ().
        """
        mean, log_std = self.infer(features[:, 0], action, present)
        z = mean + log_std.exp() * torch.randn(mean.shape, generator=generator)
        error = torch.zeros(len(z))
        for step in range(self.horizon):
            seen = features[:, step if self.closed_loop else 0]
            found = self.decode(z, seen, step)
            squares = (found - action[:, step]).square()
            error = error + present[:, step] * squares.sum(dim=-1)
        variance = (2.0 * log_std).exp()
        kl = 0.5 * (mean.square() + variance - 1.0 - 2.0 * log_std).sum(dim=-1)
        return (error / (2.0 * sigma**2) + kl).mean()


def train_skills(
    skills: SkillVae,
    features: Tensor,
    action: Tensor,
    ends: NDArray[np.int64],
    config: SkillConfig,
    seed: int,
) -> None:
    """Train the autoencoder on episodes laid end to end, and freeze it.

    Args:
        skills: The autoencoder, trained in place.
        features: Shape (n, F).
        action: Shape (n, A), in [-1, 1].
        ends: One past the last row of each episode, ascending, shape (e,), int64.
        config: Steps, rate and noise of the training.
        seed: Of batches and noise.

    Raises:
        DataError: The loss is not finite.
    """
    skills.normalize.fit(features, least_deviation=0.05)
    lengths = np.diff(ends, prepend=0)
    rows_until = torch.from_numpy(np.repeat(ends, lengths))
    steps = torch.arange(skills.horizon)

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        end = rows_until[rows][:, None]
        wanted = rows[:, None] + steps
        present = (wanted < end).float()
        wanted = torch.minimum(wanted, end - 1)
        seen = features[wanted]
        seen = seen + config.feature_noise * torch.randn(seen.shape, generator=generator)
        return skills.loss(seen, action[wanted], present, config.action_deviation, generator)

    pretrain("skills", skills, loss, len(features), config, seed)


@torch.no_grad()
def infer_skills(skills: SkillVae, features: Tensor, action: Tensor) -> tuple[list[int], Tensor]:
    """Split a demonstration into pieces of one horizon each, and infer the latent of each.

    Args:
        skills: The trained autoencoder.
        features: Of the T steps, shape (T, F).
        action: Shape (T, A).

    Returns:
        The first steps of the pieces, and the mean z of each, (pieces, A).
    """
    starts = list(range(0, len(action), skills.horizon))
    shown = torch.zeros(len(starts), skills.horizon, action.shape[1])
    present = torch.zeros(len(starts), skills.horizon)
    for piece, start in enumerate(starts):
        rows = action[start : start + skills.horizon]
        shown[piece, : len(rows)] = rows
        present[piece, : len(rows)] = 1.0
    mean, _ = skills.infer(features[starts], shown, present)
    return starts, mean
