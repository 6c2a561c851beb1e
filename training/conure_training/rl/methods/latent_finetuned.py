"""`method=latent finetune_encoder=true`: latent SAC whose policy fine-tunes an encoder of its own.

The other methods see the prior's frozen features.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.nn.weights import seeded
from conure_training.policies.module import ModulePolicy, PolicyModule
from conure_training.prior.latent_bound import chi_square_radius
from conure_training.prior.model import Prior
from conure_training.rl.actor_critic import Observation
from conure_training.rl.method import Method
from conure_training.rl.methods.latent_sac import LatentSac, LatentSacConfig, bound_figures
from conure_training.rl.methods.prior_features import Features
from conure_training.rl.policy_file import loaded_module, untrained_policy, untrained_prior
from conure_training.rl.replay import Source


class EncodingPolicy(nn.Module):
    """A Gaussian policy in z behind a copy of the prior's encoder, which it trains: (image,
    proprio) -> mean, std.
    """

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

    An encoder that moved under the flow would move the prior; so there are two, and the first
    rollouts stay the prior's. Each update runs the encoder forward and back: several times slower
    than cached features.
    """

    def fit_normalizers(self, source: Source) -> None:
        super(LatentSac, self).fit_normalizers(source)
        self.policy.head.fit_normalizers(source.rows("features"))  # type: ignore[union-attr, operator]

    def _latent(self, observation: Observation, noise: Tensor | None) -> Tensor:
        return self.policy.draw(observation["image"], observation["proprio"], noise)  # type: ignore[operator]

    def _gaussian(self, observation: Observation) -> tuple[Tensor, Tensor]:
        mean_and_std: tuple[Tensor, Tensor] = self.policy(
            observation["image"], observation["proprio"]
        )
        return mean_and_std


class Finetuned(PolicyModule):
    """A policy in z with an encoder of its own."""

    prior: Prior
    policy: EncodingPolicy

    def forward(self, image: Tensor, proprio: Tensor, noise: Tensor) -> Tensor:
        z = self.policy.draw(image, proprio, noise)
        action: Tensor = self.prior.flow.decode(z, self.prior.encoder(image, proprio))
        return action


def load_policy(data: Mapping[str, Any]) -> ModulePolicy:
    """See policy_file."""
    prior = untrained_prior(data)
    head = untrained_policy(data, prior.encoder.feature_dim, prior.action_dim)
    return loaded_module(Finetuned(prior=prior, policy=EncodingPolicy(prior.encoder, head)), data)


def build_finetuned(features: Features, latent: LatentSacConfig) -> Method:
    """Latent SAC that trains an encoder of its own, see FinetunedSac."""
    config, prior = features.config, features.prior
    radius = chi_square_radius(latent.z_bound_quantile, features.action_dim)
    hidden = latent.hidden_dims
    with seeded(config.seed):
        head = GaussianPolicy(features.dim, features.action_dim, hidden, features.slots, radius)
    learner = FinetunedSac(
        prior.flow,
        features.dim,
        features.critic_dim,
        features.action_dim,
        latent,
        config.seed,
        critic_input=config.critic,
        policy=EncodingPolicy(prior.encoder, head),
    )

    def observe(observation: dict[str, NDArray]) -> dict[str, Tensor]:
        seen = {name: torch.from_numpy(observation[name]) for name in ("image", "proprio")}
        return {**features.observe(observation), **seen}

    def module() -> PolicyModule:
        return Finetuned(prior=prior, policy=learner.averaged_policy)

    save = features.saving("finetuned", module, hidden, radius)
    replay = features.mixed_replay(features.task_demonstrations(images=True))
    return Method(learner, replay, observe, save, figures=bound_figures(features, latent))
