"""The behavioral prior's invertible map between latent z and action, given the observation's
features.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from conure_core.errors import ConfigError, SpecMismatch
from conure_training.nn.onednn_linear import linear

ACTION_RANGE = 1.05
"""Actions come out in (-1.05, 1.05), so that the edges of the box [-1, 1] are ordinary, invertible
points.
"""

SATURATION = 1.0 - 1e-6

AUTHORS_FLOW = {"log_scale_bound": 1.0, "final_affine": False}
"""Options of ConditionalRealNVP that make the PARROT authors' flow, to compare with."""


class Decoder(Protocol):
    """A flow a = f(z; context), differentiable in z: (B, A) and (B, F) to (B, A)."""

    def decode(self, z: Tensor, context: Tensor) -> Tensor: ...


class ConditionalRealNVP(nn.Module):
    """Conditional Real NVP, a = f(z; c), z ~ N(0, I): affine couplings, a conditional affine, a
    tanh.

    Coupling:      z_moved <- z_moved * exp(s) + t,  (s, t) = MLP(z_kept, c),  halves taking turns
    Affine:        x = z * exp(s(c)) + t(c)
    Squash:        a = 1.05 tanh(x)
    Likelihood:    log p(a | c) = log N(f^-1(a; c)) - sum(all s) - sum(log da/dx)

    Every log-scale is s = bound * tanh(raw / bound). The authors' bound of 1 cannot represent
    demonstrations more precise than sigma 0.13; the bound of 3 reaches 1e-4. The last layers start
    at zero: untrained, a = 1.05 tanh(z).

    Actions of exactly -1 or +1 (a gripper) have a finite x (1.85), so encode and log_prob are exact
    and finite on the closed box, and decode may leave it by 0.05: whoever executes an action clips
    it, as the controller does. Beyond +-1.05 nothing has a density; log_prob then takes the nearest
    point that has one.

    Any action dimension, without padding. In one dimension f is affine before the squash: there is
    no half to keep.

    Source: Dinh, Sohl-Dickstein & Bengio, Density estimation using Real NVP, ICLR 2017;
    conditioning and use as a prior: Singh et al., Parrot, ICLR 2021, arXiv 2011.10024.

    >>> flow = ConditionalRealNVP(action_dim=7, context_dim=64)
    >>> context = torch.randn(5, 64)
    >>> action = flow.decode(torch.randn(5, 7), context)
    >>> z, log_prob = flow.encode_with_log_prob(action, context)
    >>> z.shape, log_prob.shape
    (torch.Size([5, 7]), torch.Size([5]))
    """

    _bound: Tensor

    def __init__(
        self,
        action_dim: int,
        context_dim: int,
        num_couplings: int = 4,
        hidden_dims: Sequence[int] = (256, 256),
        log_scale_bound: float = 3.0,
        final_affine: bool = True,
    ) -> None:
        """Raises: ConfigError for a size below 1, or a bound that is not above 0."""
        super().__init__()
        if min(action_dim, context_dim, num_couplings, *hidden_dims) < 1 or not hidden_dims:
            raise ConfigError(
                f"a flow needs sizes of at least 1, got action_dim={action_dim},"
                f" context_dim={context_dim}, num_couplings={num_couplings},"
                f" hidden_dims={tuple(hidden_dims)}"
            )
        if not log_scale_bound > 0:
            raise ConfigError(f"log_scale_bound must be above 0, got {log_scale_bound}")
        self.action_dim, self.context_dim = action_dim, context_dim
        self._half_sizes = [action_dim // 2, action_dim - action_dim // 2]
        sides = [1 if action_dim == 1 or index % 2 == 0 else 0 for index in range(num_couplings)]
        couplings = nn.ModuleList(
            _Coupling(self._half_sizes, side, context_dim, hidden_dims) for side in sides
        )
        self.couplings = cast("Sequence[_Coupling]", couplings)
        self.affine = _zeroed(nn.Linear(context_dim, 2 * action_dim)) if final_affine else None
        # A tensor, because torch multiplies by a Python number at half the speed.
        self.register_buffer("_bound", torch.tensor(float(log_scale_bound)), persistent=False)

    def log_prob(self, action: Tensor, context: Tensor) -> Tensor:
        """Log-density (B,), nats, of actions (B, D) in [-1, 1] given contexts (B, C)."""
        return self.encode_with_log_prob(action, context)[1]

    def decode(self, z: Tensor, context: Tensor) -> Tensor:
        """Actions (B, D) in (-1.05, 1.05) for latents (B, D) and contexts (B, C)."""
        return ACTION_RANGE * torch.tanh(self._to_unsquashed(z, context)[0])

    def encode(self, action: Tensor, context: Tensor) -> Tensor:
        """Latents (B, D) for actions (B, D) in [-1, 1] and contexts (B, C): the inverse of
        `decode`.
        """
        return self._to_latent(self._unsquashed(action), context)[0]

    def decode_with_log_prob(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Actions (B, D) and their log-density (B,) in one pass."""
        unsquashed, log_scales = self._to_unsquashed(z, context)
        return ACTION_RANGE * torch.tanh(unsquashed), _log_density(z, log_scales, unsquashed)

    def encode_with_log_prob(self, action: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (B, D) and the actions' log-density (B,) in one pass."""
        unsquashed = self._unsquashed(action)
        z, log_scales = self._to_latent(unsquashed, context)
        return z, _log_density(z, log_scales, unsquashed)

    def _to_unsquashed(self, z: Tensor, context: Tensor) -> tuple[Tensor, list[Tensor]]:
        self._check(z, context)
        halves, log_scales = list(z.split(self._half_sizes, -1)), []
        for coupling in self.couplings:
            log_scale, shift = self._bounded(coupling.raw(halves, context))
            halves[coupling.side] = torch.addcmul(shift, halves[coupling.side], log_scale.exp())
            log_scales.append(log_scale)
        joined = torch.cat(halves, -1)
        if self.affine is None:
            return joined, log_scales
        log_scale, shift = self._bounded(self.affine(context))
        return torch.addcmul(shift, joined, log_scale.exp()), [*log_scales, log_scale]

    def _to_latent(self, unsquashed: Tensor, context: Tensor) -> tuple[Tensor, list[Tensor]]:
        self._check(unsquashed, context)
        log_scales = []
        if self.affine is not None:
            log_scale, shift = self._bounded(self.affine(context))
            unsquashed = (unsquashed - shift) * (-log_scale).exp()
            log_scales.append(log_scale)
        halves = list(unsquashed.split(self._half_sizes, -1))
        for coupling in reversed(self.couplings):
            log_scale, shift = self._bounded(coupling.raw(halves, context))
            halves[coupling.side] = (halves[coupling.side] - shift) * (-log_scale).exp()
            log_scales.append(log_scale)
        return torch.cat(halves, -1), log_scales

    def _bounded(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = raw.chunk(2, -1)
        return torch.tanh(log_scale / self._bound) * self._bound, shift

    def _unsquashed(self, action: Tensor) -> Tensor:
        return torch.atanh((action / ACTION_RANGE).clamp(-SATURATION, SATURATION))

    def _check(self, values: Tensor, context: Tensor) -> None:
        if (
            values.shape != (context.shape[0], self.action_dim)
            or context.shape[-1] != self.context_dim
        ):
            raise SpecMismatch(
                f"the flow takes (batch, {self.action_dim}) with a context (batch,"
                f" {self.context_dim}), got {tuple(values.shape)} with {tuple(context.shape)}"
            )


def flow_loss(
    flow: ConditionalRealNVP,
    features: Tensor,
    action: Tensor,
    noise: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """-log p(action | features + noise), its mean; `noise`: its standard deviation, against
    overfitting.
    """
    return -flow.log_prob(action, with_noise(features, noise, generator)).mean()


def with_noise(
    features: Tensor, deviation: float, generator: torch.Generator | None = None
) -> Tensor:
    """Features with normal noise of this standard deviation."""
    return features + deviation * torch.randn(
        features.shape, generator=generator, device=features.device
    )


class _Coupling(nn.Module):
    """The MLP of one coupling, (kept half, context) -> raw (scale, shift) of the other half.

    Its first layer is two matrices, so that nothing has to be joined. Functions instead of module
    calls: at batch 1 the calls cost as much as the arithmetic.
    """

    def __init__(
        self, half_sizes: Sequence[int], side: int, context_dim: int, hidden_dims: Sequence[int]
    ) -> None:
        super().__init__()
        self.side = side
        kept, moved = half_sizes[1 - side], half_sizes[side]
        self.from_context = nn.Linear(context_dim, hidden_dims[0])
        self.from_kept = nn.Linear(kept, hidden_dims[0], bias=False) if kept else None
        self.hidden = cast(
            "Sequence[nn.Linear]",
            nn.ModuleList(nn.Linear(*sizes) for sizes in pairwise(hidden_dims)),
        )
        self.last = _zeroed(nn.Linear(hidden_dims[-1], 2 * moved))

    def raw(self, halves: Sequence[Tensor], context: Tensor) -> Tensor:
        """(B, 2 * moved)."""
        features = linear(context, self.from_context.weight, self.from_context.bias)
        if self.from_kept is not None:
            features = torch.addmm(features, halves[1 - self.side], self.from_kept.weight.t())
        features = torch.relu_(features)
        for layer in self.hidden:
            features = linear(features, layer.weight, layer.bias, relu=True)
        return linear(features, self.last.weight, self.last.bias)


def _zeroed(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _log_density(z: Tensor, log_scales: Sequence[Tensor], unsquashed: Tensor) -> Tensor:
    """Log N(z; 0, I) - sum(log-scales) - sum(log da/dx), (B,), with as few operations as there can
    be.

    log(1 - tanh(x)^2) = 2 (log 2 + x - softplus(2x)), which never overflows.
    """
    softplus = functional.softplus(unsquashed, beta=2.0)
    quarter = torch.addcmul(torch.sub(softplus, unsquashed, alpha=0.5), z, z, value=-0.125)
    constant = z.shape[-1] * (
        0.5 * math.log(2.0 * math.pi) + 2.0 * math.log(2.0) + math.log(ACTION_RANGE)
    )
    return torch.sub(4.0 * quarter.sum(-1) - constant, torch.cat(list(log_scales), -1).sum(-1))
