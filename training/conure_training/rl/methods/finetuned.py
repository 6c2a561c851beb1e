"""Latent SAC whose policy fine-tunes an encoder of its own instead of seeing the prior's frozen features."""

from copy import deepcopy

from torch import Tensor, nn

from conure_training.nn.networks import GaussianPolicy
from conure_training.rl.actor_critic import Observation
from conure_training.rl.methods.latent_sac import LatentSac
from conure_training.rl.replay import Source


class EncodingPolicy(nn.Module):
    """A Gaussian policy in z behind a copy of the prior's encoder, which it trains: (image, proprio) -> mean, std."""

    def __init__(self, encoder: nn.Module, head: GaussianPolicy) -> None:
        super().__init__()
        self.encoder, self.head = deepcopy(encoder).requires_grad_(True), head

    @property
    def radius(self) -> float:
        """The bound on |z|."""
        return self.head.radius

    def forward(self, image: Tensor, proprio: Tensor) -> tuple[Tensor, Tensor]:
        mean_and_std: tuple[Tensor, Tensor] = self.head(self.encoder(image, proprio))
        return mean_and_std

    def draw(self, image: Tensor, proprio: Tensor, noise: Tensor | None) -> Tensor:
        """See GaussianPolicy."""
        return self.head.draw(self.encoder(image, proprio), noise)


class FinetunedSac(LatentSac):
    """Latent SAC on "image" and "proprio"; the flow's context stays the prior's frozen "features".

    An encoder that moved under the flow would move the prior; so there are two, and the first rollouts stay the
    prior's. Each update runs the encoder forward and back: several times slower than cached features.
    """

    def fit_normalizers(self, source: Source) -> None:
        super(LatentSac, self).fit_normalizers(source)
        self.policy.head.fit_normalizers(source.rows("features"))  # type: ignore[union-attr, operator]

    def _latent(self, observation: Observation, noise: Tensor | None) -> Tensor:
        return self.policy.draw(observation["image"], observation["proprio"], noise)  # type: ignore[operator]

    def _gaussian(self, observation: Observation) -> tuple[Tensor, Tensor]:
        mean_and_std: tuple[Tensor, Tensor] = self.policy(observation["image"], observation["proprio"])
        return mean_and_std
