"""A discriminator D(x) between demonstrated and own rows, and the reward that it gives.

    L = -E_demonstrated[log D(x)] - E_own[log(1 - D(x))] - c_H E[H(D(x))] + c_G penalty
    reward(x) = -log(1 - D(x)),   D = sigmoid(logit)

D is high where rows look demonstrated (Ho and Ermon write it the other way round: their D is 1 for
the policy, their cost log D is minus this reward). So a row earns the more, the more it looks
demonstrated, and never less than 0: nothing is earned for ending an episode early. See `reward`
for what that means where success ends it.

Source: Ho and Ermon, Generative Adversarial Imitation Learning, arXiv 1606.03476.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from conure_core.config.values import COUNT, POSITIVE, bounds
from conure_training.nn.divergence import lower, require_finite
from conure_training.nn.mlp import mlp
from conure_training.nn.running_normalizer import RunningNormalizer
from conure_training.nn.weights import seeded


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Its size, and how it learns."""

    hidden_width: int = field(default=100, metadata=COUNT)
    """Width of the hidden layers."""
    hidden_layers: int = field(default=2, metadata=COUNT)
    """How many there are."""
    learning_rate: float = field(default=1e-3, metadata=POSITIVE)
    """Adam's."""
    updates: int = field(default=5, metadata=COUNT)
    """Gradient steps before each update of the policy."""
    minibatch: int = field(default=512, metadata=COUNT)
    """Own rows, and as many demonstrated ones, of a gradient step."""
    entropy_weight: float = field(default=0.001, metadata=bounds(0.0))
    """c_H: keeps D from certainty."""
    gradient_penalty: float = field(default=0.0, metadata=bounds(0.0))
    """c_G, on how far the logit's gradient between own and demonstrated rows is from length 1: with
    few demonstrations, D tells their scenes by heart without it."""
    reward_clip: float = field(default=10.0, metadata=POSITIVE)
    """Largest reward of a row."""


class Discriminator(nn.Module):
    """The logit of D(x). Inputs are scaled by all rows seen so far, own and demonstrated."""

    def __init__(self, features: int, config: DiscriminatorConfig) -> None:
        """Make an untrained one.

        Args:
            features: F, values of a row.
            config: Its size.
        """
        super().__init__()
        self.normalize = RunningNormalizer(features)
        hidden = [config.hidden_width] * config.hidden_layers
        self.layers = mlp([features, *hidden, 1])

    def forward(self, rows: Tensor) -> Tensor:
        """Logits, (n,), of rows (n, F)."""
        return self.judge(self.normalize(rows))

    def judge(self, inputs: Tensor) -> Tensor:
        """Logits, (n,), of scaled rows."""
        logits: Tensor = self.layers(inputs)[:, 0]
        return logits


def adversarial_loss(own: Tensor, demonstrated: Tensor, entropy_weight: float) -> Tensor:
    """Compute the loss of D without its gradient penalty.

    Args:
        own: Logits of own rows, (n,).
        demonstrated: Logits of demonstrated rows, (m,).
        entropy_weight: c_H.

    Returns:
        A scalar.
    """
    error = softplus(own).mean() + softplus(-demonstrated).mean()
    return error - entropy_weight * bernoulli_entropy(torch.cat([own, demonstrated])).mean()


def bernoulli_entropy(logits: Tensor) -> Tensor:
    """H(sigmoid(logit)), nats, same shape."""
    return torch.sigmoid(-logits) * logits + softplus(-logits)


def reward(logits: Tensor, clip: float) -> Tensor:
    """Compute -log(1 - D), at most `clip`.

    It lies above 0 everywhere, so that an episode that ends earns nothing more: right where failure
    ends it, but where success does, the policy learns to dawdle. `AdversarialReward` therefore goes
    on paying after the end.

    Args:
        logits: Of D, any shape.
        clip: Largest reward.

    Returns:
        Same shape.
    """
    return softplus(logits).clamp(max=clip)


class DiscriminatorLearner:
    """Trains a discriminator by Adam."""

    def __init__(self, features: int, config: DiscriminatorConfig, seed: int) -> None:
        """Make an untrained discriminator.

        Args:
            features: F, values of a row.
            config: How it learns.
            seed: Of the first weights and of the minibatches.
        """
        self.config = config
        with seeded(seed):
            self.network = Discriminator(features, config)
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate)
        self.generator = torch.Generator().manual_seed(seed)

    def update(self, own: Tensor, demonstrated: Tensor) -> dict[str, float]:
        """Take the gradient steps of one iteration.

        Args:
            own: The present policy's rows, (n, F).
            demonstrated: All demonstrated rows, (m, F).

        Returns:
            Metrics of the last step: the loss, and the mean of D on both kinds of rows.

        Raises:
            DataError: Learning diverged.
        """
        self.network.normalize.update(own)
        metrics: dict[str, float] = {}
        for _ in range(self.config.updates):
            metrics = self._step(self._draw(own), self._draw(demonstrated))
        return metrics

    @torch.no_grad()
    def reward(self, rows: Tensor) -> Tensor:
        """Rewards, (n,), of rows (n, F)."""
        return reward(self.network(rows), self.config.reward_clip)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs beside the configuration."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` gave."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def _draw(self, rows: Tensor) -> Tensor:
        index = torch.randint(len(rows), (self.config.minibatch,), generator=self.generator)
        return rows[index]

    def _step(self, own: Tensor, demonstrated: Tensor) -> dict[str, float]:
        inputs = self.network.normalize(torch.cat([own, demonstrated]))
        logits = self.network.judge(inputs)
        of_own, of_demonstrated = logits[: len(own)], logits[len(own) :]
        loss = adversarial_loss(of_own, of_demonstrated, self.config.entropy_weight)
        if self.config.gradient_penalty:
            between = self._between(inputs[: len(own)], inputs[len(own) :])
            loss = loss + self.config.gradient_penalty * self._penalty(between)
        remedy = lower("method.discriminator.learning_rate", self.config.learning_rate)
        require_finite(loss, "the discriminator's loss", remedy)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return {
            "discriminator_loss": loss.item(),
            "discriminator_own": torch.sigmoid(of_own).mean().item(),
            "discriminator_demonstrated": torch.sigmoid(of_demonstrated).mean().item(),
        }

    def _between(self, own: Tensor, demonstrated: Tensor) -> Tensor:
        """Inputs drawn evenly on the lines between pairs."""
        share = torch.rand(len(own), 1, generator=self.generator)
        return share * own + (1.0 - share) * demonstrated

    def _penalty(self, inputs: Tensor) -> Tensor:
        """Mean of (|gradient of the logit| - 1)^2. Source: Gulrajani et al., arXiv 1704.00028."""
        inputs = inputs.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(
            self.network.judge(inputs).sum(), inputs, create_graph=True
        )
        return (gradient.norm(dim=1) - 1.0).square().mean()
