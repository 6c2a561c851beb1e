"""The learners' networks: Gaussian policy, ensemble of critics, small image encoder."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn

from conure_training.nn.onednn_linear import Linear

SLOT_SIZE = 10
"""Values of one object among the encoder's features, see SceneEncoder."""

KNEE = 0.8
"""Share of a bound's radius up to which it changes nothing."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Initial weights drawn inside depend on this seed alone; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def frozen(weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Inside, gradients pass through these weights and none are computed for them, as `backward(inputs=)` would."""
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


class Normalizer(nn.Module):
    """(x - mean) / deviation, clipped; the identity (but for the clip) until `fit`. Travels with the network's weights.

    A coordinate that hardly varies in the fitted rows is only centred, so that its first real change is not a shock.
    """

    CLIP = 10.0
    LEAST_DEVIATION = 3e-3

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def fit(self, rows: Tensor, least_deviation: float = LEAST_DEVIATION) -> None:
        """Take mean and standard deviation from rows (n, dim)."""
        deviation = rows.std(dim=0, correction=0)
        self.mean.copy_(rows.mean(dim=0))
        self.scale.copy_(torch.where(deviation > least_deviation, 1.0 / deviation, torch.ones_like(deviation)))

    def forward(self, x: Tensor) -> Tensor:
        return ((x - self.mean) * self.scale).clamp(-self.CLIP, self.CLIP)


def mlp(sizes: Sequence[int], layer_norm: bool = False) -> nn.Sequential:
    """Linear layers through these sizes, ReLU between them, after LayerNorm if asked for."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [Linear(inputs, outputs), *([nn.LayerNorm(outputs)] if layer_norm else []), nn.ReLU(inplace=True)]
    last = len(layers) - (2 if layer_norm else 1)
    return nn.Sequential(*layers[:last])


class GaussianPolicy(nn.Module):
    """pi(u | x) = N(mean(x), diag std(x)^2), unsquashed; exactly N(0, I) for every x before the first update.

    Example:
        mean, std = GaussianPolicy(128, 7)(torch.randn(4, 128))  # zeros (4, 7), ones (4, 7)

    With `slots`, the features begin with that many slots of SLOT_SIZE values, one an object in no meaning order; the
    policy attends to one of them by its content, and its trunk sees that slot beside everything.
    """

    LOG_STD_LIMIT = 4.0
    # Of a feature that is scaled by it: features are of size 1, dividing by less magnifies noise.
    LEAST_DEVIATION = 0.05

    def __init__(
        self,
        feature_dim: int,
        action_dim: int,
        hidden_dims: Sequence[int] = (256, 256),
        slots: int = 0,
        radius: float = math.inf,
    ) -> None:
        """`radius`: the bound on the length of what is drawn, see `bounded_radially`; infinite: none."""
        super().__init__()
        self.radius = radius
        self.normalize = Normalizer(feature_dim)
        self.slots = slots
        self.normalize_slot = Normalizer(SLOT_SIZE) if slots else None
        self.score = mlp([SLOT_SIZE, 64, 1]) if slots else None
        attended = SLOT_SIZE if slots else 0
        self.trunk = mlp([feature_dim + attended, *hidden_dims, 2 * action_dim])
        last = self.trunk[-1]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.register_load_state_dict_pre_hook(_without_idle_slot)

    def fit_normalizers(self, features: Tensor) -> None:
        """Scale the inputs by rows (n, F); all slots by one scale, so that their order keeps no meaning."""
        self.normalize.fit(features, self.LEAST_DEVIATION)
        if self.normalize_slot is not None:
            self.normalize_slot.fit(self._slots_of(features).flatten(0, 1), self.LEAST_DEVIATION)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, each (B, A), for features (B, F). The limit on log std is smooth."""
        inputs = self.normalize(features)
        if self.score is not None:
            inputs = torch.cat([self._attended(features), inputs], dim=-1)
        mean, raw = self.trunk(inputs).chunk(2, dim=-1)
        return mean, torch.exp(self.LOG_STD_LIMIT * torch.tanh(raw / self.LOG_STD_LIMIT))

    def draw(self, features: Tensor, noise: Tensor | None) -> Tensor:
        """Mean + std * noise, (B, A), bounded; the mean for None."""
        mean, std = self(features)
        return bounded_radially(mean if noise is None else mean + std * noise, self.radius)

    def _attended(self, features: Tensor) -> Tensor:
        """The slot that the scores choose, softly, (B, SLOT_SIZE)."""
        slot = self.normalize_slot(self._slots_of(features))  # type: ignore[misc]
        return (torch.softmax(self.score(slot), dim=1) * slot).sum(dim=1)  # type: ignore[misc]

    def _slots_of(self, features: Tensor) -> Tensor:
        return features[:, : self.slots * SLOT_SIZE].unflatten(1, (self.slots, SLOT_SIZE))


def _without_idle_slot(policy: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Policies without slots were once saved with the scale of a slot."""
    if not policy.slots:
        for key in [key for key in state if key.startswith(f"{prefix}normalize_slot.")]:
            del state[key]


def bounded_radially(z: Tensor, radius: float) -> Tensor:
    """z (B, A), its length smoothly kept below `radius`; unchanged, gradient too, up to KNEE of it.

    |z| <- k + (r - k) tanh((|z| - k) / (r - k)) beyond k = KNEE * r; the direction stays.
    """
    if math.isinf(radius):
        return z
    knee = KNEE * radius
    length = z.norm(dim=-1, keepdim=True).clamp(min=knee)
    squashed = knee + (radius - knee) * torch.tanh((length - knee) / (radius - knee))
    return z * (squashed / length)


def tanh_normal_log_prob(u: Tensor, noise: Tensor, std: Tensor) -> Tensor:
    """Log-density of a = tanh(u), nats, (B,), for u = mean + std * noise, each (B, A).

    log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)), which does not underflow.
    Source: Haarnoja et al., arXiv 1812.05905, appendix C.
    """
    normal = -0.5 * noise.square() - std.log() - 0.5 * math.log(2.0 * math.pi)
    squash = 2.0 * (math.log(2.0) - u - nn.functional.softplus(-2.0 * u))
    return (normal - squash).sum(dim=-1)


class CriticEnsemble(nn.Module):
    """Q_i(state, action) of independent MLPs with LayerNorm, which bounds Q outside the data.

    Separate MLPs: one batched product for all was no faster on a CPU (3.1-4.7 against 3.7 ms a step, 2 x 256 x 256).
    Source: Ball et al., RLPD, ICML 2023.
    """

    def __init__(self, state_dim: int, action_dim: int, hidden_dims: Sequence[int] = (256, 256), size: int = 2) -> None:
        super().__init__()
        self.normalize = Normalizer(state_dim)
        sizes = [state_dim + action_dim, *hidden_dims, 1]
        self.members = nn.ModuleList(mlp(sizes, layer_norm=True) for _ in range(size))

    def forward(self, state: Tensor, action: Tensor, asked: Sequence[int] | None = None) -> Tensor:
        """Q, (size, B), for states (B, S) and actions (B, A); of the members `asked` alone, in that order."""
        x = torch.cat([self.normalize(state), action], dim=-1)
        members = self.members if asked is None else [self.members[index] for index in asked]
        return torch.cat([member(x) for member in members], dim=-1).T


class SmallImageEncoder(nn.Module):
    """uint8 images (B, H, W, 3) to features (B, `out_dim`): four strided 3x3 convolutions, channels last.

    About 25 ms forward and backward for 256 images of 48x48 on one core.
    """

    CHANNELS = (16, 32, 32, 32)

    def __init__(self, height_px: int = 48, width_px: int = 48, out_dim: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((3, *self.CHANNELS)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU()]
            height_px, width_px = (height_px + 1) // 2, (width_px + 1) // 2
        self.convolutions = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        flat = self.CHANNELS[-1] * height_px * width_px
        self.project = nn.Sequential(nn.Flatten(), nn.Linear(flat, out_dim), nn.LayerNorm(out_dim), nn.Tanh())

    def forward(self, image: Tensor) -> Tensor:
        x = image.permute(0, 3, 1, 2).float().div_(255.0).sub_(0.5)
        return self.project(self.convolutions(x))
