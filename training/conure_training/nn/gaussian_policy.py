"""A Gaussian policy on features, the bound on what it draws, and the density of its squashed
actions.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from conure_training.nn.mlp import mlp
from conure_training.nn.normalizer import Normalizer

SLOT_SIZE = 10
"""Values of one object among the encoder's features, see SceneEncoder."""

KNEE = 0.8
"""Share of a bound's radius up to which it changes nothing."""


class GaussianPolicy(nn.Module):
    """pi(u | x) = N(mean(x), diag std(x)^2), unsquashed; exactly N(0, I) for every x before the
    first update.

    Example:
        mean, std = GaussianPolicy(128, 7)(torch.randn(4, 128))  # zeros (4, 7), ones (4, 7)

    With `slots`, the features begin with that many slots of SLOT_SIZE values, one an object in no
    meaning order; the policy attends to one of them by its content, and its trunk sees that slot
    beside everything.
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
        """`radius`: the bound on the length of what is drawn, see `bounded_radially`; infinite:
        none.
        """
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
        """Scale the inputs by rows (n, F); all slots by one scale, so that their order keeps no
        meaning.
        """
        self.normalize.fit(features, self.LEAST_DEVIATION)
        if self.normalize_slot is not None:
            self.normalize_slot.fit(self._slots_of(features).flatten(0, 1), self.LEAST_DEVIATION)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, each (B, A), for features (B, F). The limit on log std is
        smooth.
        """
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


def _without_idle_slot(
    policy: nn.Module, state: dict[str, Tensor], prefix: str, *_: object
) -> None:
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
