"""The dueling network: values of all actions at once, from vectors or from a game's screens."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from conure_training.nn.mlp import mlp
from conure_training.nn.normalizer import Normalizer


@dataclass(frozen=True)
class QNetworkSize:
    """What a network is made from."""

    observation: tuple[int, ...]
    """Shape of an observation: (F,), or (C, H, W) of screens, uint8."""
    actions: int
    """How many can be chosen, A."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers; on screens, of those after the convolutions."""


class DuelingNetwork(nn.Module):
    """Q(s, a) = V(s) + D(s, a) - mean over a' of D(s, a').

    Source: Wang et al., Dueling Network Architectures for Deep RL, arXiv 1511.06581, equation 9.
    """

    def __init__(self, size: QNetworkSize) -> None:
        super().__init__()
        self.size = size
        self.encoder: nn.Module
        if len(size.observation) == 1:
            self.encoder = Normalizer(size.observation[0])
            features = size.observation[0]
        else:
            self.encoder = Screens(size.observation)
            features = self.encoder.features
        self.trunk = nn.Sequential(mlp([features, *size.hidden]), nn.ReLU(inplace=True))
        self.value = mlp([size.hidden[-1], 1])
        self.advantage = mlp([size.hidden[-1], size.actions])

    def forward(self, observation: Tensor) -> Tensor:
        """Compute Q(s, .), (B, A), of observations (B, ...)."""
        features = self.trunk(self.encoder(observation))
        advantage = self.advantage(features)
        centred = advantage - advantage.mean(dim=1, keepdim=True)
        q: Tensor = self.value(features) + centred
        return q

    def fit_normalizers(self, rows: Tensor) -> None:
        """Take the scale of vectors from rows (n, F); screens have theirs."""
        if isinstance(self.encoder, Normalizer):
            self.encoder.fit(rows)


class Screens(nn.Module):
    """Three convolutions over stacked screens (B, C, H, W) uint8.

    Source: Mnih et al., Human-level control through deep RL, Nature 518, 2015.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(shape[0], 32, 8, stride=4),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3),
            nn.ReLU(),
            nn.Flatten(),
        )
        with torch.no_grad():
            self.features = int(self.convolutions(torch.zeros(1, *shape)).shape[1])

    def forward(self, screens: Tensor) -> Tensor:
        """Encode screens as features (B, F)."""
        features: Tensor = self.convolutions(screens.float() / 255.0)
        return features
