"""Distributions over actions: a Gaussian for continuous ones, a categorical for discrete ones."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Distribution(Protocol):
    """B distributions, one a row."""

    def sample(self, generator: torch.Generator, noise_scale: float = 1.0) -> Tensor:
        """Draw one action a row; `noise_scale` 0 takes the most likely one."""
        ...

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-density or log-probability of one action a row, (B,), nats."""
        ...

    def entropy(self) -> Tensor:
        """Shape (B,), nats."""
        ...

    def kl_from(self, other: "Distribution") -> Tensor:
        """KL(other || self), row by row, (B,), nats."""
        ...

    def detached(self) -> "Distribution":
        """The same without gradient."""
        ...


@dataclass(frozen=True)
class Gaussian:
    """N(mean, diag std^2), not squashed: the environment gets the action clipped to its box."""

    mean: Tensor
    """Shape (B, A)."""
    std: Tensor
    """Shape (B, A)."""

    def sample(self, generator: torch.Generator, noise_scale: float = 1.0) -> Tensor:
        noise = torch.randn(self.mean.shape, generator=generator)
        return self.mean + noise_scale * self.std * noise

    def log_prob(self, action: Tensor) -> Tensor:
        deviation = (action - self.mean) / self.std
        density = -0.5 * deviation.square() - self.std.log() - 0.5 * math.log(2 * math.pi)
        return density.sum(dim=-1)

    def entropy(self) -> Tensor:
        return (self.std.log() + 0.5 * math.log(2 * math.pi * math.e)).sum(dim=-1)

    def kl_from(self, other: Distribution) -> Tensor:
        if not isinstance(other, Gaussian):
            raise TypeError(f"expected a Gaussian, got {type(other).__name__}")
        spread = (other.std.square() + (other.mean - self.mean).square()) / self.std.square()
        return (0.5 * (spread - 1.0) + self.std.log() - other.std.log()).sum(dim=-1)

    def detached(self) -> "Gaussian":
        return Gaussian(self.mean.detach(), self.std.detach())


@dataclass(frozen=True)
class Categorical:
    """softmax(logits) over A actions; an action is its index."""

    logits: Tensor
    """Shape (B, A)."""

    def sample(self, generator: torch.Generator, noise_scale: float = 1.0) -> Tensor:
        if noise_scale == 0.0:
            return self.logits.argmax(dim=-1)
        probabilities = torch.softmax(self.logits, dim=-1)
        return torch.multinomial(probabilities, 1, generator=generator)[:, 0]

    def log_prob(self, action: Tensor) -> Tensor:
        return self._log().gather(-1, action[:, None])[:, 0]

    def entropy(self) -> Tensor:
        log = self._log()
        return -(log.exp() * log).sum(dim=-1)

    def kl_from(self, other: Distribution) -> Tensor:
        if not isinstance(other, Categorical):
            raise TypeError(f"expected a Categorical, got {type(other).__name__}")
        theirs = other._log()
        return (theirs.exp() * (theirs - self._log())).sum(dim=-1)

    def detached(self) -> "Categorical":
        return Categorical(self.logits.detach())

    def _log(self) -> Tensor:
        return torch.log_softmax(self.logits, dim=-1)
