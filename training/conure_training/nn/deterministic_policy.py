"""A policy without noise."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from conure_training.nn.gaussian_policy import GaussianPolicy


class DeterministicPolicy(GaussianPolicy):
    """a = tanh(mean(x)): a GaussianPolicy whose standard deviation is 0, so that it draws its mean.

    Its last layer begins as torch initializes it, not at 0.
    """

    def __init__(
        self,
        feature_dim: int,
        action_dim: int,
        hidden_dims: Sequence[int] = (256, 256),
        slots: int = 0,
    ) -> None:
        """Make the networks.

        Args:
            feature_dim: Values of the features, F.
            action_dim: Values of an action, A.
            hidden_dims: Widths of the trunk's hidden layers.
            slots: See GaussianPolicy.
        """
        super().__init__(feature_dim, action_dim, hidden_dims, slots)
        layers = list(self.trunk)[:-1]
        self.trunk = nn.Sequential(*layers, nn.Linear(hidden_dims[-1], action_dim))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Give the mean of atanh(a) for features (B, F), and zeros, each (B, A)."""
        mean = self.trunk(self._inputs(features))
        return mean, torch.zeros_like(mean)

    def act(self, features: Tensor) -> Tensor:
        """Actions (B, A), in (-1, 1), for features (B, F)."""
        mean, _ = self(features)
        return torch.tanh(mean)
