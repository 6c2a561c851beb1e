"""`method=latent_finetuned`: latent SAC whose policy fine-tunes an encoder of its own.

The other methods see the prior's frozen features.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.nn.weights import seeded
from conure_training.policies.module import ModulePolicy, PolicyModule, PriorModule
from conure_training.prior.flow import Decoder
from conure_training.prior.latent_bound import chi_square_radius
from conure_training.prior.model import Prior
from conure_training.rl.config import RunConfig
from conure_training.rl.learners.actor_critic import Observation
from conure_training.rl.method import Method
from conure_training.rl.methods.latent import LatentConfig, LatentSac, measure_bound
from conure_training.rl.policy_file import load_module, rebuild_policy, rebuild_prior
from conure_training.rl.prior_features import Features
from conure_training.rl.replay import Source


@dataclass(frozen=True)
class LatentFinetunedConfig(LatentConfig):
    """As latent SAC's."""

    name: str = "latent_finetuned"


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
        """Give the distribution of z.

        Args:
            image: Shape (B, H, W, 3), uint8.
            proprio: Shape (B, P).

        Returns:
            Mean and standard deviation of z, each (B, A).
        """
        mean_and_std: tuple[Tensor, Tensor] = self.head(self.encoder(image, proprio))
        return mean_and_std

    def draw(self, image: Tensor, proprio: Tensor, noise: Tensor | None) -> Tensor:
        """Draw z, see GaussianPolicy.draw.

        Args:
            image: Shape (B, H, W, 3), uint8.
            proprio: Shape (B, P).
            noise: Standard normal, shape (B, A); None: the mean.

        Returns:
            z, shape (B, A), within the radius.
        """
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

    def _decide(self, observation: Observation, noise: Tensor | None) -> Tensor:
        moved = {name: value.to(self.device) for name, value in observation.items()}
        seen = (moved["image"], moved["proprio"])
        return Finetuned.decide(self.policy, self.prior, seen, moved["features"], noise)

    def _gaussian(self, observation: Observation) -> tuple[Tensor, Tensor]:
        mean_and_std: tuple[Tensor, Tensor] = self.policy(
            observation["image"], observation["proprio"]
        )
        return mean_and_std


class Finetuned(PriorModule):
    """A policy in z with an encoder of its own."""

    prior: Prior
    policy: EncodingPolicy

    @staticmethod
    def decide(
        policy: nn.Module,
        flow: Decoder,
        seen: tuple[Tensor, Tensor],
        features: Tensor,
        noise: Tensor | None,
    ) -> Tensor:
        """Act, for the learner and the exported module alike.

        Args:
            policy: An EncodingPolicy.
            flow: The prior's flow.
            seen: Image (B, H, W, 3) uint8 and proprioception (B, P), for the policy's own encoder.
            features: The prior's frozen features, the flow's context, shape (B, F).
            noise: Standard normal, shape (B, A); None: the policy's mean.

        Returns:
            Actions, shape (B, A).
        """
        return flow.decode(policy.draw(*seen, noise), features)  # type: ignore[operator]

    def decide_from(
        self, image: Tensor, proprio: Tensor, features: Tensor, noise: Tensor
    ) -> Tensor:
        return self.decide(self.policy, self.prior.flow, (image, proprio), features, noise)


def load_policy(data: Mapping[str, Any]) -> ModulePolicy:
    """See policy_file."""
    prior = rebuild_prior(data)
    head = rebuild_policy(data, prior.encoder.feature_dim, prior.action_dim)
    return load_module(Finetuned(prior=prior, policy=EncodingPolicy(prior.encoder, head)), data)


def build(run: RunConfig, config: LatentFinetunedConfig, env: Any) -> Method:
    """Build latent SAC that trains an encoder of its own, see FinetunedSac.

    Args:
        run: The run.
        config: Settings of latent SAC.
        env: The run's environment.

    Returns:
        The method; its observations hold images too.
    """
    features = Features(run, env, config.critic, images=True)
    prior, hidden = features.prior, config.hidden_dims
    radius = chi_square_radius(config.z_bound_quantile, features.action_dim)
    with seeded(run.seed):
        head = GaussianPolicy(features.dim, features.action_dim, hidden, features.slots, radius)
    learner = FinetunedSac(
        prior.flow,
        features.dim,
        features.critic_dim,
        features.action_dim,
        config,
        run.seed,
        critic_input=config.critic,
        policy=EncodingPolicy(prior.encoder, head),
    )

    def observe(observation: dict[str, NDArray]) -> dict[str, Tensor]:
        seen = {name: torch.from_numpy(observation[name]) for name in ("image", "proprio")}
        return {**features.observe(observation), **seen}

    def module() -> PolicyModule:
        return Finetuned(prior=prior, policy=learner.averaged_policy)

    return Method(
        learner,
        features.mixed_replay(),
        observe,
        features.make_saver("finetuned", module, hidden, radius),
        metrics=measure_bound(features, config),
    )
