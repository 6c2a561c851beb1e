"""`method=vae`: SAC from scratch on the frozen features of a variational autoencoder of
demonstrations' images.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conure_core.config.values import COUNT, bounds
from conure_core.contract.spec import Contract
from conure_training.data.demonstrations import load_demonstrations
from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.nn.normalizer import Normalizer
from conure_training.nn.weights import seeded
from conure_training.policies.module import ModulePolicy, PolicyModule
from conure_training.rl.config import RunConfig
from conure_training.rl.learners.feature_sac import FeatureSac, FeatureSacConfig, act_on_features
from conure_training.rl.learners.pretraining import PretrainingConfig, pretrain, train_once
from conure_training.rl.method import Method
from conure_training.rl.policy_file import load_module, rebuild_policy, save_module
from conure_training.rl.replay import Field, Replay


@dataclass(frozen=True)
class VaeTraining(PretrainingConfig):
    """Of the autoencoder."""

    steps: int = field(default=2000, metadata=COUNT)
    batch_size: int = field(default=128, metadata=COUNT)
    code_dim: int = field(default=32, metadata=COUNT)
    """Values that stand for an image."""
    beta: float = field(default=1.0, metadata=bounds(0.0))
    """Weight of their KL against the pixels' errors."""


@dataclass(frozen=True)
class VaeConfig(FeatureSacConfig):
    """Of soft actor-critic on a VAE's code."""

    reads = ("demos",)
    name: str = "vae"
    vae: VaeTraining = field(default_factory=VaeTraining)
    """The autoencoder, and how it learns."""


class ImageVae(nn.Module):
    """q(c | x) = N(mean(x), diag std(x)^2), p(x | c) = N(decoder(c), 0.1^2) per pixel in [0, 1],
    p(c) = N(0, I).

    Loss: |x - decoder(c)|^2 / (2 * 0.1^2) + beta KL(q || p), summed over pixels and coordinates. As
    an encoder: (image (B, H, W, 3) uint8, proprio (B, P)) -> features (B, code_dim + P), the mean
    beside proprioception, as a prior's encoder does it. Source: Kingma & Welling, arXiv 1312.6114;
    beta: Higgins et al., ICLR 2017.
    """

    CHANNELS = (3, 16, 32, 32, 32)
    DEVIATION = 0.1

    def __init__(self, image_size: int, proprio_dim: int, code_dim: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.proprio_dim = proprio_dim
        self.code_dim = code_dim
        self.side = math.ceil(image_size / 16)
        flat = self.CHANNELS[-1] * self.side**2
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for inputs, outputs in zip(self.CHANNELS, self.CHANNELS[1:], strict=False):
            down += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU()]
            up = [nn.ConvTranspose2d(outputs, inputs, 4, stride=2, padding=1), nn.ReLU(), *up]
        self.encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(flat, 2 * code_dim))
        shape = (self.CHANNELS[-1], self.side, self.side)
        self.decoder = nn.Sequential(
            nn.Linear(code_dim, flat), nn.Unflatten(1, shape), nn.ReLU(), *up[:-1]
        )
        self.proprio = Normalizer(proprio_dim)

    @property
    def feature_dim(self) -> int:
        """Length of the features."""
        return self.code_dim + self.proprio_dim

    def forward(self, image: Tensor, proprio: Tensor) -> Tensor:
        """Encode image and proprioception, as a prior's encoder does.

        Args:
            image: Shape (B, H, W, 3), uint8.
            proprio: Shape (B, P).

        Returns:
            The code's mean beside scaled proprioception, shape (B, code_dim + P).
        """
        mean, _ = self.code(image)
        scaled = self.proprio(proprio)
        return torch.cat([mean, scaled], dim=-1)

    def code(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of the code, each (B, code_dim)."""
        dtype = next(self.encoder.parameters()).dtype
        mean, log_std = self.encoder(_pixels(image, dtype)).chunk(2, dim=-1)
        return mean, log_std.clamp(-6.0, 2.0)

    def loss(self, image: Tensor, beta: float, generator: torch.Generator) -> Tensor:
        """Compute the negative evidence lower bound, see the class.

        Args:
            image: Shape (B, H, W, 3), uint8.
            beta: Weight of the KL; 1: the bound itself.
            generator: Where the code is drawn from.

        Returns:
            Nats, up to a constant, the mean over images, ().
        """
        mean, log_std = self.code(image)
        code = mean + log_std.exp() * torch.randn(mean.shape, generator=generator)
        size = self.image_size
        decoded = self.decoder(code)[:, :, :size, :size]
        error = (decoded - _pixels(image)).square().sum(dim=(1, 2, 3))
        variance = (2.0 * log_std).exp()
        kl = 0.5 * (mean.square() + variance - 1.0 - 2.0 * log_std).sum(dim=-1)
        return (error / (2.0 * self.DEVIATION**2) + beta * kl).mean()


def _pixels(image: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    return image.permute(0, 3, 1, 2).to(dtype) / 255.0


def train_vae(
    vae: ImageVae, image: Tensor, proprio: Tensor, config: VaeTraining, seed: int
) -> None:
    """Train the autoencoder on images, fit its scale of proprioception, and freeze it.

    Args:
        vae: The autoencoder, trained in place.
        image: Shape (n, H, W, 3), uint8.
        proprio: Shape (n, P).
        config: Steps, rate and beta of the training.
        seed: Of batches and noise.

    Raises:
        DataError: The loss is not finite.
    """
    vae.proprio.fit(proprio)

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        return vae.loss(image[rows], config.beta, generator)

    pretrain("VAE of the images", vae, loss, len(image), config, seed)


class OnCode(PolicyModule):
    """a = tanh(mean + std * noise) on the features of a VAE."""

    encoder: ImageVae
    policy: GaussianPolicy

    def forward(self, image: Tensor, proprio: Tensor, noise: Tensor) -> Tensor:
        return act_on_features(self.policy, self.encoder(image, proprio), noise)


def load_policy(data: Mapping[str, Any]) -> ModulePolicy:
    """See policy_file."""
    contract = Contract.from_dict(data["contract"])
    image_size = contract.observation.image.shape[0]
    proprio_dim = contract.observation.proprio.shape[0]
    action_dim = contract.action.values.shape[0]
    vae = ImageVae(image_size, proprio_dim, data["sizes"]["code_dim"])
    policy = rebuild_policy(data, vae.feature_dim, action_dim)
    return load_module(OnCode(encoder=vae, policy=policy), data)


def build(run: RunConfig, config: VaeConfig, env: Any) -> Method:
    """Build SAC from scratch on an image's code and proprioception.

    The critics see the simulator's state, or the same features. The demonstrations give their
    images alone: from scratch means that no demonstrated action is learned from.

    Args:
        run: The run.
        config: Settings of soft actor-critic, and of the autoencoder.
        env: The run's environment.

    Returns:
        The method, its autoencoder trained.
    """
    shapes = {name: space.shape for name, space in env.observation_space.items()}
    action_dim = env.action_space.shape[0]
    proprio_dim = shapes["proprio"][0]
    vae = _train(run, config.vae, proprio_dim)
    hidden = config.hidden_dims
    with seeded(run.seed):
        policy = GaussianPolicy(vae.feature_dim, action_dim, hidden)
    critic_dim = shapes["state"][0] if config.critic == "state" else vae.feature_dim
    learner = FeatureSac(
        policy, critic_dim, action_dim, config, run.seed, critic_input=config.critic
    )

    @torch.inference_mode()
    def observe(observation: dict[str, NDArray]) -> dict[str, Tensor]:
        image = torch.from_numpy(observation["image"])[None]
        proprio = torch.from_numpy(observation["proprio"])[None]
        features = vae(image, proprio)[0]
        return {"features": features, "state": torch.from_numpy(observation["state"])}

    def save(path: Path, note: dict[str, Any]) -> None:
        sizes = {
            "code_dim": config.vae.code_dim,
            "hidden": list(hidden),
            "slots": 0,
            "radius": float("inf"),
        }
        module = OnCode(encoder=vae, policy=learner.averaged_policy)
        save_module(path, "vae", module, env.contract, sizes, note)

    fields = {"features": Field((vae.feature_dim,)), "state": Field(shapes["state"])}
    return Method(learner, Replay(fields, action_dim, run.replay), observe, save)


def _train(run: RunConfig, settings: VaeTraining, proprio_dim: int) -> ImageVae:
    data = load_demonstrations(Path(run.demos))
    with seeded(run.seed):
        vae = ImageVae(run.image_size, proprio_dim, settings.code_dim)

    def train(module: ImageVae) -> None:
        image = torch.from_numpy(np.asarray(data.image))
        proprio = torch.from_numpy(data.proprio)
        train_vae(module, image, proprio, settings, run.seed)

    return train_once(Path(run.out) / "pretrained.pt", run.identity(), vae, train)
