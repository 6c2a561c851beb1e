"""What `conure bench training` measures against: other libraries, and the networks of the paper's
authors.

Nothing else in the product imports zuko or stable-baselines3; the extra `dev` brings them.
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
    """zuko's Real NVP as its users build it, frozen: couplings alone, without our final affine and
    squash.
    """
    flow: nn.Module = zuko.flows.RealNVP(
        action_dim, context_dim, transforms=couplings, hidden_features=hidden
    )
    return flow.requires_grad_(False)


class PlainConditioner(nn.Module):
    """The weights of one of our couplings as an ordinary MLP, (kept, context) -> raw (scale,
    shift), (B, 2 * moved).
    """

    def __init__(self, flow: ConditionalRealNVP, index: int) -> None:
        super().__init__()
        coupling = flow.couplings[index]
        if coupling.from_kept is None:
            raise ValueError(
                "in one dimension a coupling keeps nothing, and other libraries have no such"
                " coupling"
            )
        first = nn.Linear(
            coupling.from_kept.in_features + flow.context_dim, coupling.from_kept.out_features
        )
        first.to(coupling.last.weight.dtype)
        with torch.no_grad():
            first.weight.copy_(
                torch.cat([coupling.from_kept.weight, coupling.from_context.weight], 1)
            )
            first.bias.copy_(coupling.from_context.bias)
        layers = [
            first,
            nn.ReLU(),
            *(part for layer in coupling.hidden for part in (layer, nn.ReLU())),
            coupling.last,
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, kept: Tensor, context: Tensor) -> Tensor:
        """Of kept (B, K) and context (B, C)."""
        raw: Tensor = self.layers(torch.cat([kept, context], -1))
        return raw


def scale_and_shift(raw: Tensor, bound: float = 3.0) -> tuple[Tensor, Tensor]:
    """Our clamp written out: exp(bound tanh(raw / bound)) and the shift."""
    size = raw.shape[-1] // 2
    return torch.exp(bound * torch.tanh(raw[:, :size] / bound)), raw[:, size:]


def moved_masks(flow: ConditionalRealNVP) -> list[Tensor]:
    """Which dimensions each coupling moves, (D,) bool."""
    first_half = torch.arange(flow.action_dim) < flow.action_dim // 2
    return [~first_half if index % 2 == 0 else first_half for index in range(len(flow.couplings))]


def zuko_twin(flow: ConditionalRealNVP, context: Tensor) -> TransformedDistribution:
    """The distribution of actions (B, D) given contexts (B, C), by zuko's transforms from our
    flow's weights.
    """
    if flow.affine is None:
        raise ValueError("the twin is of a flow with a final affine")

    def affine(raw: Tensor) -> DependentTransform:
        scale, shift = scale_and_shift(raw)
        return DependentTransform(AffineTransform(shift, scale), 1)

    def coupling(net: PlainConditioner, moved: Tensor) -> CouplingTransform:
        return CouplingTransform(lambda kept: affine(net(kept, context)), ~moved)

    couplings = [
        coupling(PlainConditioner(flow, index), moved)
        for index, moved in enumerate(moved_masks(flow))
    ]
    squash = [
        DependentTransform(TanhTransform(), 1),
        DependentTransform(AffineTransform(0.0, ACTION_RANGE), 1),
    ]
    decode = ComposedTransform(*couplings, affine(flow.affine(context)), *squash)
    zeros = context.new_zeros(len(context), flow.action_dim)
    return TransformedDistribution(Independent(Normal(zeros, torch.ones_like(zeros)), 1), [decode])


class AuthorsPrior(nn.Module):
    """The authors' encoder and flow: the CNN run again in every coupling, its weights shared by
    them.

    Encoder: three 3x3x16 convolutions, a 2x2 max-pool after each of the first two, fully connected
    1024-512-256. Flow: affine couplings on halves, MLP (context + half) -> 256 -> 256, log-scale
    tanh(.), no Jacobian of the squash. image (B, H, W, 3) uint8, action (B, D), D even. Source:
    Singh et al., Parrot, ICLR 2021, arXiv 2011.10024. Whether the couplings share the CNN's weights
    is not known: sharing is the cheaper of the two.
    """

    def __init__(
        self, image_size: int = 48, action_dim: int = 8, couplings: int = 4, hidden: int = 256
    ) -> None:
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
        """(B,), nats, of the unsquashed action."""
        pixels = image.permute(0, 3, 1, 2).float() / 255.0
        kept, moved = torch.atanh(action.clamp(-0.9, 0.9)).chunk(2, -1)
        log_scales = action.new_zeros(len(action))
        for net in self.nets:
            log_scale, shift = net(torch.cat([self.encoder(pixels), kept], -1)).chunk(2, -1)
            log_scale = torch.tanh(log_scale)
            kept, moved = (moved - shift) * torch.exp(-log_scale), kept
            log_scales = log_scales - log_scale.sum(-1)
        z = torch.cat([kept, moved], -1)
        return Normal(0.0, 1.0).log_prob(z).sum(-1) + log_scales


class _Rows(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """Spaces alone: an environment is what stable-baselines3 wants to see before it makes its
    networks.
    """

    def __init__(self, observation_dim: int, action_dim: int) -> None:
        self.observation_space = gymnasium.spaces.Box(-10.0, 10.0, (observation_dim,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (action_dim,), np.float32)

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> Any:
        return np.zeros(self.observation_space.shape or (), np.float32), {}


def stable_baselines_sac(
    rows: int, observation_dim: int, action_dim: int, hidden: tuple[int, ...], batch: int
) -> SAC:
    """stable-baselines3's SAC on vectors, its replay filled with random rows; `train(1, batch)` is
    one update.
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
