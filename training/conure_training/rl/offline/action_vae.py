"""What BCQ knows of the data: a conditional autoencoder that makes actions like the data's."""

import torch
from torch import Tensor, nn

from conure_training.nn.mlp import mlp

LOG_STD_RANGE = (-4.0, 15.0)
LATENT_LIMIT = 0.5
"""Latents are clipped to this when actions are generated: beyond it the data are thin."""


class ActionVae(nn.Module):
    """q(z | s, a), a = tanh(decoder(s, z)), p(z) = N(0, I); z has 2 A values.

    Loss: mean (a - decoder(s, z))^2 + 0.5 * mean KL per dimension of z.

    Source: Fujimoto et al., arXiv 1812.02900, appendix D; weights of the two parts as in its code.
    """

    def __init__(self, feature_dim: int, action_dim: int, width: int) -> None:
        """Make the networks.

        Args:
            feature_dim: Values of what is seen, F, already scaled.
            action_dim: Values of an action, A.
            width: Of the hidden layers.
        """
        super().__init__()
        self.latent_dim = 2 * action_dim
        self.encoder = mlp([feature_dim + action_dim, width, width, 2 * self.latent_dim])
        self.decoder = mlp([feature_dim + self.latent_dim, width, width, action_dim])

    def decode(self, features: Tensor, z: Tensor) -> Tensor:
        """Make actions.

        Args:
            features: Scaled, shape (B, F).
            z: Latents, shape (B, 2 A).

        Returns:
            Shape (B, A), in (-1, 1).
        """
        return torch.tanh(self.decoder(torch.cat([features, z], dim=-1)))

    def infer(self, features: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Infer the posterior.

        Args:
            features: Scaled, shape (B, F).
            action: Shape (B, A).

        Returns:
            Mean and standard deviation of z, each (B, 2 A).
        """
        mean, log_std = self.encoder(torch.cat([features, action], dim=-1)).chunk(2, dim=-1)
        return mean, log_std.clamp(*LOG_STD_RANGE).exp()

    def loss(self, features: Tensor, action: Tensor, noise: Tensor) -> Tensor:
        """Compute the loss of the class's docstring.

        Args:
            features: Scaled, shape (B, F).
            action: Shape (B, A).
            noise: Standard normal, shape (B, 2 A).

        Returns:
            The loss, ().
        """
        mean, std = self.infer(features, action)
        error = self.decode(features, mean + std * noise) - action
        kl = 0.5 * (mean.square() + std.square() - 1.0) - std.log()
        return error.square().mean() + 0.5 * kl.mean()
