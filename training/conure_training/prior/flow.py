"""The behavioral prior's flow: an invertible map between latent z and action, given features."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from conure_core.errors import ConfigError, SpecMismatch

ACTION_RANGE = 1.05
"""Decoded actions lie in (-1.05, 1.05): the edges of [-1, 1] are ordinary, invertible points."""

SATURATION = 1.0 - 1e-6

AUTHORS_FLOW = {"log_scale_bound": 1.0, "final_affine": False}
"""Options of ConditionalRealNVP for the flow of PARROT's authors, as a baseline."""


class Decoder(Protocol):
    """A flow that is differentiable in z."""

    def decode(self, z: Tensor, context: Tensor) -> Tensor:
        """Compute a = f(z; context).

        Args:
            z: Shape (B, A).
            context: Shape (B, F).

        Returns:
            Actions, shape (B, A).
        """
        ...


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
    and finite on the closed box. Decode may leave the box by 0.05; the controller clips actions
    before it executes them. Beyond +-1.05 nothing has a density; log_prob then takes the nearest
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
        """Make the flow, which is the squash alone before training.

        Args:
            action_dim: Values of an action and of z, D.
            context_dim: Values of the features, C.
            num_couplings: Affine couplings.
            hidden_dims: Hidden widths of the couplings' MLPs.
            log_scale_bound: Bound on the magnitude of every log-scale.
            final_affine: Whether an affine map of the context alone follows the couplings.

        Raises:
            ConfigError: A size is below 1, or the bound is not above 0.
        """
        super().__init__()
        if min(action_dim, context_dim, num_couplings, *hidden_dims) < 1 or not hidden_dims:
            raise ConfigError(
                f"a flow needs sizes of at least 1, got action_dim={action_dim},"
                f" context_dim={context_dim}, num_couplings={num_couplings},"
                f" hidden_dims={tuple(hidden_dims)}"
            )
        if not log_scale_bound > 0:
            raise ConfigError(f"log_scale_bound must be above 0, got {log_scale_bound}")
        self.action_dim = action_dim
        self.context_dim = context_dim
        self._half_sizes = [action_dim // 2, action_dim - action_dim // 2]

        couplings = nn.ModuleList()
        for index in range(num_couplings):
            side = 1 if action_dim == 1 or index % 2 == 0 else 0
            couplings.append(_Coupling(self._half_sizes, side, context_dim, hidden_dims))
        self.couplings = cast("Sequence[_Coupling]", couplings)
        self.affine = _zero(nn.Linear(context_dim, 2 * action_dim)) if final_affine else None
        # A tensor, because torch multiplies by a Python number at half the speed.
        self.register_buffer("_bound", torch.tensor(float(log_scale_bound)), persistent=False)

    def log_prob(self, action: Tensor, context: Tensor) -> Tensor:
        """Compute log p(action | context).

        Args:
            action: In [-1, 1], shape (B, D).
            context: Shape (B, C).

        Returns:
            Shape (B,), nats.
        """
        return self.encode_with_log_prob(action, context)[1]

    def decode(self, z: Tensor, context: Tensor) -> Tensor:
        """Compute f(z; context).

        Args:
            z: Latents, shape (B, D).
            context: Shape (B, C).

        Returns:
            Actions in (-1.05, 1.05), shape (B, D).
        """
        unsquashed, _ = self._to_unsquashed(z, context)
        return ACTION_RANGE * torch.tanh(unsquashed)

    def encode(self, action: Tensor, context: Tensor) -> Tensor:
        """Compute the inverse of `decode`.

        Args:
            action: In [-1, 1], shape (B, D).
            context: Shape (B, C).

        Returns:
            Latents, shape (B, D).
        """
        z, _ = self._to_latent(self._unsquash(action), context)
        return z

    def decode_with_log_prob(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Compute f(z; context) and its log-density in one pass.

        Args:
            z: Latents, shape (B, D).
            context: Shape (B, C).

        Returns:
            Actions in (-1.05, 1.05), shape (B, D), and log p, shape (B,), nats.
        """
        unsquashed, log_scales = self._to_unsquashed(z, context)
        return ACTION_RANGE * torch.tanh(unsquashed), _log_density(z, log_scales, unsquashed)

    def encode_with_log_prob(self, action: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Compute latents and the actions' log-density in one pass.

        Args:
            action: In [-1, 1], shape (B, D).
            context: Shape (B, C).

        Returns:
            Latents, shape (B, D), and log p, shape (B,), nats.
        """
        unsquashed = self._unsquash(action)
        z, log_scales = self._to_latent(unsquashed, context)
        return z, _log_density(z, log_scales, unsquashed)

    def _to_unsquashed(self, z: Tensor, context: Tensor) -> tuple[Tensor, list[Tensor]]:
        self._check(z, context)
        halves = list(z.split(self._half_sizes, -1))
        log_scales = []
        for coupling in self.couplings:
            log_scale, shift = self._split_raw(coupling.raw(halves, context))
            moved = halves[coupling.side]
            halves[coupling.side] = torch.addcmul(shift, moved, log_scale.exp())
            log_scales.append(log_scale)
        joined = torch.cat(halves, -1)
        if self.affine is None:
            return joined, log_scales

        log_scale, shift = self._split_raw(self.affine(context))
        log_scales.append(log_scale)
        return torch.addcmul(shift, joined, log_scale.exp()), log_scales

    def _to_latent(self, unsquashed: Tensor, context: Tensor) -> tuple[Tensor, list[Tensor]]:
        self._check(unsquashed, context)
        log_scales = []
        if self.affine is not None:
            log_scale, shift = self._split_raw(self.affine(context))
            unsquashed = (unsquashed - shift) * (-log_scale).exp()
            log_scales.append(log_scale)

        halves = list(unsquashed.split(self._half_sizes, -1))
        for coupling in reversed(self.couplings):
            log_scale, shift = self._split_raw(coupling.raw(halves, context))
            moved = halves[coupling.side]
            halves[coupling.side] = (moved - shift) * (-log_scale).exp()
            log_scales.append(log_scale)
        return torch.cat(halves, -1), log_scales

    def _split_raw(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Log-scale, bounded, and shift."""
        log_scale, shift = raw.chunk(2, -1)
        return torch.tanh(log_scale / self._bound) * self._bound, shift

    def _unsquash(self, action: Tensor) -> Tensor:
        scaled = action / ACTION_RANGE
        return torch.atanh(scaled.clamp(-SATURATION, SATURATION))

    def _check(self, values: Tensor, context: Tensor) -> None:
        expected = (context.shape[0], self.action_dim)
        if values.shape != expected or context.shape[-1] != self.context_dim:
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
    """Compute the mean of -log p(action | features + noise).

    Args:
        flow: The flow.
        features: Shape (B, C).
        action: In [-1, 1], shape (B, D).
        noise: Standard deviation of normal noise on the features, against overfitting; 0: none.
        generator: Draws the noise; None: torch's global one.

    Returns:
        A scalar, nats.
    """
    context = with_noise(features, noise, generator)
    return -flow.log_prob(action, context).mean()


def with_noise(
    features: Tensor, deviation: float, generator: torch.Generator | None = None
) -> Tensor:
    """Add normal noise.

    Args:
        features: Shape (B, C).
        deviation: The noise's standard deviation.
        generator: Draws it; None: torch's global one.

    Returns:
        Shape (B, C).
    """
    noise = torch.randn(features.shape, generator=generator, device=features.device)
    return features + deviation * noise


class _Coupling(nn.Module):
    """The MLP of one coupling, (kept half, context) -> raw (scale, shift) of the other half.

    Its first layer is two matrices, so that no tensor is joined. Functions instead of module calls:
    at batch 1 the calls cost as much as the arithmetic.
    """

    def __init__(
        self, half_sizes: Sequence[int], side: int, context_dim: int, hidden_dims: Sequence[int]
    ) -> None:
        super().__init__()
        self.side = side
        kept = half_sizes[1 - side]
        moved = half_sizes[side]
        self.from_context = nn.Linear(context_dim, hidden_dims[0])
        self.from_kept = nn.Linear(kept, hidden_dims[0], bias=False) if kept else None
        hidden = nn.ModuleList(nn.Linear(*sizes) for sizes in pairwise(hidden_dims))
        self.hidden = cast("Sequence[nn.Linear]", hidden)
        self.last = _zero(nn.Linear(hidden_dims[-1], 2 * moved))

    def raw(self, halves: Sequence[Tensor], context: Tensor) -> Tensor:
        """Compute log-scale and shift before the bound.

        Args:
            halves: Both halves of z, shapes (B, D // 2) and (B, D - D // 2).
            context: Shape (B, C).

        Returns:
            Shape (B, 2 * moved).
        """
        features: Tensor = self.from_context(context)
        if self.from_kept is not None:
            kept = halves[1 - self.side]
            features = torch.addmm(features, kept, self.from_kept.weight.t())
        features = torch.relu_(features)
        for layer in self.hidden:
            features = torch.relu_(layer(features))
        affine: Tensor = self.last(features)
        return affine


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _log_density(z: Tensor, log_scales: Sequence[Tensor], unsquashed: Tensor) -> Tensor:
    """Log N(z; 0, I) - sum(log-scales) - sum(log da/dx), (B,), in as few operations as possible.

    log(1 - tanh(x)^2) = 2 (log 2 + x - softplus(2x)), which never overflows.
    """
    softplus = functional.softplus(unsquashed, beta=2.0)
    quarter = torch.addcmul(torch.sub(softplus, unsquashed, alpha=0.5), z, z, value=-0.125)
    each = 0.5 * math.log(2.0 * math.pi) + 2.0 * math.log(2.0) + math.log(ACTION_RANGE)
    constant = z.shape[-1] * each
    all_log_scales = torch.cat(list(log_scales), -1)
    return torch.sub(4.0 * quarter.sum(-1) - constant, all_log_scales.sum(-1))
