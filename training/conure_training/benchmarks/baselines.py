"""The baselines of `conure bench training`: other libraries, and the networks of PARROT's authors.

Nothing else in the product imports zuko or stable-baselines3, which the extra `dev` installs.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
import zuko
from numpy.typing import NDArray
from stable_baselines3 import SAC
from stable_baselines3.common.logger import Logger
from torch import Tensor, nn
from torch.distributions import (
    AffineTransform,
    Independent,
    Normal,
    TanhTransform,
    TransformedDistribution,
)
from zuko.transforms import ComposedTransform, CouplingTransform, DependentTransform

from conure_training.prior.flow import ACTION_RANGE, ConditionalRealNVP


def zuko_flow(
    action_dim: int, context_dim: int, couplings: int, hidden: tuple[int, ...]
) -> nn.Module:
    """Build zuko's Real NVP as its users do, without our final affine and squash.

    Args:
        action_dim: Values of an action, D.
        context_dim: Values of the context, C.
        couplings: Number of affine couplings.
        hidden: Hidden widths of their MLPs.

    Returns:
        The flow, frozen.
    """
    flow: nn.Module = zuko.flows.RealNVP(
        action_dim, context_dim, transforms=couplings, hidden_features=hidden
    )
    return flow.requires_grad_(False)


class PlainConditioner(nn.Module):
    """One of our couplings as an ordinary MLP with the same weights."""

    def __init__(self, flow: ConditionalRealNVP, index: int) -> None:
        """Copy a coupling.

        Args:
            flow: Of at least two action dimensions.
            index: Which of its couplings.

        Raises:
            ValueError: The flow has one dimension, where a coupling keeps nothing.
        """
        super().__init__()
        coupling = flow.couplings[index]
        if coupling.from_kept is None:
            raise ValueError(
                "expected a flow of at least 2 action dimensions, got 1: a coupling keeps nothing"
                " there, and other libraries have no such coupling"
            )
        kept = coupling.from_kept
        weight = torch.cat([kept.weight, coupling.from_context.weight], 1)
        first = nn.Linear(kept.in_features + flow.context_dim, kept.out_features)
        first.to(coupling.last.weight.dtype)
        with torch.no_grad():
            first.weight.copy_(weight)
            first.bias.copy_(coupling.from_context.bias)

        layers: list[nn.Module] = [first, nn.ReLU()]
        for layer in coupling.hidden:
            layers += [layer, nn.ReLU()]
        layers.append(coupling.last)
        self.layers = nn.Sequential(*layers)

    def forward(self, kept: Tensor, context: Tensor) -> Tensor:
        """Compute raw log-scale and shift.

        Args:
            kept: The half that stays, shape (B, K).
            context: Shape (B, C).

        Returns:
            Shape (B, 2 * moved).
        """
        raw: Tensor = self.layers(torch.cat([kept, context], -1))
        return raw


def scale_and_shift(raw: Tensor, bound: float = 3.0) -> tuple[Tensor, Tensor]:
    """Write our flow's clamp out.

    Args:
        raw: Log-scale and shift before the bound, shape (B, 2 * D).
        bound: On the magnitude of the log-scale.

    Returns:
        exp(bound tanh(raw / bound)) and the shift, shape (B, D) each.
    """
    log_scale, shift = raw.chunk(2, -1)
    return torch.exp(bound * torch.tanh(log_scale / bound)), shift


def moved_masks(flow: ConditionalRealNVP) -> list[Tensor]:
    """Mark the dimensions that each coupling moves, (D,) bool."""
    first_half = torch.arange(flow.action_dim) < flow.action_dim // 2
    masks = []
    for index in range(len(flow.couplings)):
        masks.append(~first_half if index % 2 == 0 else first_half)
    return masks


def zuko_twin(flow: ConditionalRealNVP, context: Tensor) -> TransformedDistribution:
    """Build our flow from zuko's transforms, with the same weights.

    Args:
        flow: With a final affine.
        context: Shape (B, C).

    Returns:
        The distribution of B actions, (B, D).

    Raises:
        ValueError: The flow has no final affine.
    """
    if flow.affine is None:
        raise ValueError("expected a flow with a final affine, got one without")

    def affine(raw: Tensor) -> DependentTransform:
        scale, shift = scale_and_shift(raw)
        return DependentTransform(AffineTransform(shift, scale), 1)

    def _coupling(net: PlainConditioner, moved: Tensor) -> CouplingTransform:
        return CouplingTransform(lambda kept: affine(net(kept, context)), ~moved)

    couplings = []
    for index, moved in enumerate(moved_masks(flow)):
        couplings.append(_coupling(PlainConditioner(flow, index), moved))
    squash = [
        DependentTransform(TanhTransform(), 1),
        DependentTransform(AffineTransform(0.0, ACTION_RANGE), 1),
    ]
    decode = ComposedTransform(*couplings, affine(flow.affine(context)), *squash)

    zeros = context.new_zeros(len(context), flow.action_dim)
    latent = Independent(Normal(zeros, torch.ones_like(zeros)), 1)
    return TransformedDistribution(latent, [decode])


class AuthorsPrior(nn.Module):
    """The encoder and flow of PARROT's authors: every coupling runs the CNN again.

    Encoder: three 3x3x16 convolutions, a 2x2 max-pool after each of the first two, fully connected
    1024-512-256. Flow: affine couplings on halves, MLP (context + half) -> 256 -> 256, log-scale
    tanh(.), no Jacobian of the squash. Source: Singh et al., Parrot, ICLR 2021, arXiv 2011.10024.
    The paper does not say whether couplings share the CNN's weights; here they do: it is cheaper.
    """

    def __init__(
        self, image_size: int = 48, action_dim: int = 8, couplings: int = 4, hidden: int = 256
    ) -> None:
        """Make the networks.

        Args:
            image_size: Height and width of the images, px.
            action_dim: Values of an action, D, even.
            couplings: Number of couplings.
            hidden: Width of their MLPs.
        """
        super().__init__()
        flat = 16 * (image_size // 4) ** 2
        self.encoder = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Flatten()),
            *(
                nn.Linear(flat, 1024),
                nn.ReLU(),
                nn.Linear(1024, 512),
                nn.ReLU(),
                nn.Linear(512, 256),
            ),
        )
        half = action_dim // 2
        self.nets = nn.ModuleList(
            nn.Sequential(
                *(nn.Linear(256 + half, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()),
                nn.Linear(hidden, action_dim),
            )
            for _ in range(couplings)
        )

    def log_prob(self, image: Tensor, action: Tensor) -> Tensor:
        """Compute log p of the unsquashed action.

        Args:
            image: Shape (B, H, W, 3), uint8.
            action: In [-1, 1], shape (B, D).

        Returns:
            Shape (B,), nats.
        """
        pixels = image.permute(0, 3, 1, 2).float() / 255.0
        kept, moved = torch.atanh(action.clamp(-0.9, 0.9)).chunk(2, -1)
        log_scales = action.new_zeros(len(action))
        for net in self.nets:
            inputs = torch.cat([self.encoder(pixels), kept], -1)
            log_scale, shift = net(inputs).chunk(2, -1)
            log_scale = torch.tanh(log_scale)
            kept, moved = (moved - shift) * torch.exp(-log_scale), kept
            log_scales = log_scales - log_scale.sum(-1)
        z = torch.cat([kept, moved], -1)
        return Normal(0.0, 1.0).log_prob(z).sum(-1) + log_scales


class _Rows(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """An environment of spaces only, from which stable-baselines3 makes its networks."""

    def __init__(self, observation_dim: int, action_dim: int) -> None:
        self.observation_space = gymnasium.spaces.Box(-10.0, 10.0, (observation_dim,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (action_dim,), np.float32)

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> Any:
        return np.zeros(self.observation_space.shape or (), np.float32), {}


def stable_baselines_sac(
    rows: int, observation_dim: int, action_dim: int, hidden: tuple[int, ...], batch: int
) -> SAC:
    """Build stable-baselines3's SAC on vectors, with random rows in its replay buffer.

    Args:
        rows: Transitions in the buffer.
        observation_dim: Values of an observation.
        action_dim: Values of an action.
        hidden: Hidden widths of actor and critics.
        batch: Transitions in an update.

    Returns:
        The learner; `train(1, batch)` is one update.
    """
    model = SAC(
        "MlpPolicy",
        _Rows(observation_dim, action_dim),
        batch_size=batch,
        buffer_size=rows,
        device="cpu",
        policy_kwargs={"net_arch": list(hidden)},
    )
    model.set_logger(Logger(None, []))
    rng = np.random.default_rng(0)
    for _ in range(rows):
        seen, following = rng.normal(size=(2, 1, observation_dim)).astype(np.float32)
        action = rng.uniform(-1.0, 1.0, (1, action_dim)).astype(np.float32)
        model.replay_buffer.add(seen, following, action, np.zeros(1), np.zeros(1), [{}])
    return model
