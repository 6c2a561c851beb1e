"""A variational autoencoder of images, whose code serves a learner as features."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from conure_training.nn.networks import Normalizer
from conure_training.rl.pretraining import PretrainingConfig, pretrain


@dataclass(frozen=True)
class VaeConfig(PretrainingConfig):
    """`code_dim` values an image; `beta` weighs their KL against the pixels' errors."""

    steps: int = 2000
    batch_size: int = 128
    code_dim: int = 32
    beta: float = 1.0


class ImageVae(nn.Module):
    """q(c | x) = N(mean(x), diag std(x)^2), p(x | c) = N(decoder(c), 0.1^2) per pixel in [0, 1], p(c) = N(0, I).

    Loss: |x - decoder(c)|^2 / (2 * 0.1^2) + beta KL(q || p), summed over pixels and coordinates.
    As an encoder: (image (B, H, W, 3) uint8, proprio (B, P)) -> features (B, code_dim + P), the mean beside
    proprioception, as a prior's encoder does it.
    Source: Kingma & Welling, arXiv 1312.6114; beta: Higgins et al., ICLR 2017.
    """

    CHANNELS = (3, 16, 32, 32, 32)
    DEVIATION = 0.1

    def __init__(self, image_size: int, proprio_dim: int, code_dim: int) -> None:
        super().__init__()
        self.image_size, self.proprio_dim, self.code_dim = image_size, proprio_dim, code_dim
        self.side = math.ceil(image_size / 16)
        flat = self.CHANNELS[-1] * self.side**2
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for inputs, outputs in zip(self.CHANNELS, self.CHANNELS[1:], strict=False):
            down += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU()]
            up = [nn.ConvTranspose2d(outputs, inputs, 4, stride=2, padding=1), nn.ReLU(), *up]
        self.encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(flat, 2 * code_dim))
        shape = (self.CHANNELS[-1], self.side, self.side)
        self.decoder = nn.Sequential(nn.Linear(code_dim, flat), nn.Unflatten(1, shape), nn.ReLU(), *up[:-1])
        self.proprio = Normalizer(proprio_dim)

    @property
    def feature_dim(self) -> int:
        """Length of the features."""
        return self.code_dim + self.proprio_dim

    def forward(self, image: Tensor, proprio: Tensor) -> Tensor:
        mean, _ = self.code(image)
        return torch.cat([mean, self.proprio(proprio)], dim=-1)

    def code(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of the code, each (B, code_dim)."""
        mean, log_std = self.encoder(_pixels(image)).chunk(2, dim=-1)
        return mean, log_std.clamp(-6.0, 2.0)

    def loss(self, image: Tensor, beta: float, generator: torch.Generator) -> Tensor:
        """See the class; the mean over images (B, H, W, 3) uint8."""
        mean, log_std = self.code(image)
        code = mean + log_std.exp() * torch.randn(mean.shape, generator=generator)
        size = self.image_size
        error = (self.decoder(code)[:, :, :size, :size] - _pixels(image)).square().sum(dim=(1, 2, 3))
        kl = 0.5 * (mean.square() + (2.0 * log_std).exp() - 1.0 - 2.0 * log_std).sum(dim=-1)
        return (error / (2.0 * self.DEVIATION**2) + beta * kl).mean()


def _pixels(image: Tensor) -> Tensor:
    return image.permute(0, 3, 1, 2).float() / 255.0


def train_vae(vae: ImageVae, image: Tensor, proprio: Tensor, config: VaeConfig, seed: int) -> None:
    """On images (n, H, W, 3) uint8 and proprioception (n, P); leaves it frozen."""
    vae.proprio.fit(proprio)

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        return vae.loss(image[rows], config.beta, generator)

    pretrain("VAE of the images", vae, loss, len(image), config, seed)
