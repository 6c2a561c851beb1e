"""A Gaussian policy on features, a bound on its samples, and the density of squashed actions."""

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

    With `slots`, the policy attends to one object by its content, and its trunk sees that slot
    beside all features.
    """

    LOG_STD_LIMIT = 4.0

    LEAST_DEVIATION = 0.05
    """Features that vary less are not scaled up: features are of size 1, so that is noise."""

    def __init__(
        self,
        feature_dim: int,
        action_dim: int,
        hidden_dims: Sequence[int] = (256, 256),
        slots: int = 0,
        radius: float = math.inf,
    ) -> None:
        """Make the networks.

        Args:
            feature_dim: Values of the features, F.
            action_dim: Values of an action, A.
            hidden_dims: Widths of the trunk's hidden layers.
            slots: The features begin with so many slots of SLOT_SIZE values, one an object, whose
                order has no meaning; 0: without attention.
            radius: Bound on the length of a sample, see `bound_radially`; infinite: none.
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
        """Scale the inputs by rows (n, F); all slots alike, so that their order keeps no
        meaning.
        """
        self.normalize.fit(features, self.LEAST_DEVIATION)
        if self.normalize_slot is not None:
            slots = self._split_slots(features)
            self.normalize_slot.fit(slots.flatten(0, 1), self.LEAST_DEVIATION)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Give mean and standard deviation, each (B, A), for features (B, F).

        |log std| stays below LOG_STD_LIMIT, smoothly.
        """
        mean, raw = self.trunk(self._inputs(features)).chunk(2, dim=-1)
        log_std = self.LOG_STD_LIMIT * torch.tanh(raw / self.LOG_STD_LIMIT)
        return mean, torch.exp(log_std)

    def draw(self, features: Tensor, noise: Tensor | None) -> Tensor:
        """Sample u = mean + std * noise, bounded by `radius`.

        Args:
            features: Shape (B, F).
            noise: Standard normal, shape (B, A); None: take the mean.

        Returns:
            u, shape (B, A).
        """
        mean, std = self(features)
        u = mean if noise is None else mean + std * noise
        return bound_radially(u, self.radius)

    def _inputs(self, features: Tensor) -> Tensor:
        """What the trunk sees: all features, scaled, and the slot that is attended to."""
        inputs: Tensor = self.normalize(features)
        if self.score is None:
            return inputs
        return torch.cat([self._attend(features), inputs], dim=-1)

    def _attend(self, features: Tensor) -> Tensor:
        """Average the slots by the softmax of their scores, (B, SLOT_SIZE)."""
        slot = self.normalize_slot(self._split_slots(features))  # type: ignore[misc]
        weight = torch.softmax(self.score(slot), dim=1)  # type: ignore[misc]
        return (weight * slot).sum(dim=1)

    def _split_slots(self, features: Tensor) -> Tensor:
        """The slots, (B, slots, SLOT_SIZE)."""
        leading = features[:, : self.slots * SLOT_SIZE]
        return leading.unflatten(1, (self.slots, SLOT_SIZE))


def _without_idle_slot(
    policy: nn.Module, state: dict[str, Tensor], prefix: str, *_: object
) -> None:
    """Drop the scale of a slot, which policies without slots were once saved with."""
    if policy.slots:
        return
    idle = [key for key in state if key.startswith(f"{prefix}normalize_slot.")]
    for key in idle:
        del state[key]


def bound_radially(z: Tensor, radius: float) -> Tensor:
    """Shorten z smoothly to less than `radius`; unchanged, gradient too, up to KNEE of it.

    |z| <- k + (r - k) tanh((|z| - k) / (r - k)) beyond k = KNEE * r; the direction stays.

    Args:
        z: Shape (B, A).
        radius: r; infinite: no bound.

    Returns:
        Shape (B, A).
    """
    if math.isinf(radius):
        return z
    knee = KNEE * radius
    length = z.norm(dim=-1, keepdim=True).clamp(min=knee)
    squashed = knee + (radius - knee) * torch.tanh((length - knee) / (radius - knee))
    return z * (squashed / length)


def tanh_normal_log_prob(u: Tensor, noise: Tensor, std: Tensor) -> Tensor:
    """Log-density of a = tanh(u) for u = mean + std * noise.

    log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)), which does not underflow.

    Args:
        u: Unsquashed actions, shape (B, A).
        noise: The standard normal noise that made them, shape (B, A).
        std: Standard deviations, shape (B, A).

    Returns:
        Shape (B,), nats.

    Source: Haarnoja et al., arXiv 1812.05905, appendix C.
    """
    normal = -0.5 * noise.square() - std.log() - 0.5 * math.log(2.0 * math.pi)
    squash = 2.0 * (math.log(2.0) - u - nn.functional.softplus(-2.0 * u))
    return (normal - squash).sum(dim=-1)
