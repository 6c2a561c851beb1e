"""`method=rlpd` and `method=prior_explore`: soft actor-critic in the action space, on frozen
features.

Other methods on features are made of the same learner. With demonstrations in the replay.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conure_core.config_values import MAY_BE_INFINITE
from conure_training.nn.gaussian_policy import GaussianPolicy, tanh_normal_log_prob
from conure_training.policies.module import ModulePolicy, PolicyModule
from conure_training.prior.flow import Decoder
from conure_training.prior.model import Prior
from conure_training.rl.actor_critic import ActorCritic, LearnerConfig, Observation
from conure_training.rl.method import Method, RunConfig
from conure_training.rl.methods.prior_features import Features
from conure_training.rl.policy_file import loaded_module, untrained_policy, untrained_prior
from conure_training.rl.replay import Source


@dataclass(frozen=True)
class FeatureSacConfig(LearnerConfig):
    """The same levers and the same known bounds of the return as latent SAC, which they serve to be
    compared with.
    """

    initial_alpha: float = 0.03
    target_min: float = field(default=0.0, metadata=MAY_BE_INFINITE)
    target_max: float = field(default=1.0, metadata=MAY_BE_INFINITE)
    cost_in_target: bool = False
    actor_on_demonstrations: bool = False
    target_entropy_per_dim: float = -1.0  # nats


class FeatureSac(ActorCritic):
    """a = tanh(u), u ~ N(mean(features), std(features)^2); the cost of an action is its
    log-probability.

    Observations: "features" (B, F) for the actor; "state" (B, S), the simulator's, for the critics,
    or whatever `critic_input` names. Source: Haarnoja et al., Soft Actor-Critic Algorithms and
    Applications, arXiv 1812.05905. With half of each batch demonstrated, an ensemble and many
    updates a step it is RLPD: Ball et al., ICML 2023.
    """

    def __init__(
        self,
        policy: GaussianPolicy,
        state_dim: int,
        action_dim: int,
        config: FeatureSacConfig | None = None,
        seed: int = 0,
        device: str = "cpu",
        critic_input: str = "state",
        pretrained: bool = False,
    ) -> None:
        """`pretrained`: the policy knows its input scales already."""
        config = config or FeatureSacConfig()
        target = -config.target_entropy_per_dim * action_dim
        super().__init__(config, policy, state_dim, action_dim, target, seed, device, critic_input)
        self.pretrained = pretrained

    def fit_normalizers(self, source: Source) -> None:
        super().fit_normalizers(source)
        if not self.pretrained:
            self.policy.fit_normalizers(source.rows("features"))  # type: ignore[operator]

    def _decide(self, observation: Observation, noise: Tensor | None) -> Tensor:
        return torch.tanh(self.policy.draw(observation["features"].to(self.device), noise))  # type: ignore[operator]

    def _propose(self, observation: Observation) -> tuple[Tensor, Tensor]:
        mean, std = self.policy(observation["features"])
        return squashed_sample(mean, std, self._noise(len(mean), self.generator))


def squashed_sample(mean: Tensor, std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """a = tanh(mean + std * noise), (B, A), and log p(a), nats, (B,)."""
    u = mean + std * noise
    return torch.tanh(u), tanh_normal_log_prob(u, noise, std)


class PriorExploreSac(FeatureSac):
    """SAC in the action space that now and then takes an action of the prior's instead of its own.

    With probability `epsilon`, drawn anew for every step, a = f(z; features) with z ~ N(0, I).
    Source: the rival "Prior-explore" in Singh et al., PARROT, arXiv 2011.10024, which does not give
    its epsilon.
    """

    def __init__(
        self, prior: Decoder, epsilon: float, policy: GaussianPolicy, *arguments: Any, **named: Any
    ) -> None:
        """The prior, frozen; then as FeatureSac."""
        super().__init__(policy, *arguments, **named)
        self.prior, self.epsilon = prior, epsilon

    def _explore(
        self, observation: Observation, action: Tensor, generator: torch.Generator, exploring: bool
    ) -> Tensor:
        if not exploring:
            return action
        priors = self.prior.decode(
            self._noise(len(action), generator), observation["features"].to(self.device)
        )
        instead = torch.rand(len(action), 1, generator=generator).to(self.device) < self.epsilon
        return torch.where(instead, priors, action)


class OnPriorFeatures(PolicyModule):
    """a = tanh(mean + std * noise) on a prior's features."""

    prior: Prior
    policy: GaussianPolicy

    def forward(self, image: Tensor, proprio: Tensor, noise: Tensor) -> Tensor:
        features = self.prior.encoder(image, proprio)
        action: Tensor = torch.tanh(self.policy.draw(features, noise))
        return action


def saving_features(
    features: Features, learner: FeatureSac, config: FeatureSacConfig
) -> Callable[[Path, dict[str, Any]], None]:
    """What writes the learner's averaged policy."""

    def module() -> PolicyModule:
        return OnPriorFeatures(prior=features.prior, policy=learner.averaged_policy)

    return features.saving("features", module, config.hidden_dims)


def load_policy(data: Mapping[str, Any]) -> ModulePolicy:
    """See policy_file."""
    prior = untrained_prior(data)
    policy = untrained_policy(data, prior.encoder.feature_dim, prior.action_dim)
    return loaded_module(OnPriorFeatures(prior=prior, policy=policy), data)


def build_rlpd(config: RunConfig, env: Any, rlpd: FeatureSacConfig) -> Method:
    """RLPD: half of each batch demonstrated, an ensemble of critics with LayerNorm, many updates a
    step.

    Sees what latent SAC sees: features for the actor, the simulator's state for the critics, the
    same demonstrations.
    """
    features = Features(config, env)
    policy = features.policy(rlpd.hidden_dims)
    learner = FeatureSac(
        policy,
        features.critic_dim,
        features.action_dim,
        rlpd,
        config.seed,
        critic_input=config.critic,
    )
    save = saving_features(features, learner, rlpd)
    return Method(learner, features.mixed_replay(), features.observe, save)


def build_prior_explore(config: RunConfig, env: Any, sac: FeatureSacConfig) -> Method:
    """SAC that takes an action of the prior's with probability `prior_explore_epsilon`, while it is
    trained.

    Sees what latent SAC sees; the demonstrations, which the original leaves to the prior, are in
    its replay too.
    """
    features = Features(config, env)
    learner = PriorExploreSac(
        features.prior.flow,
        config.prior_explore_epsilon,
        features.policy(sac.hidden_dims),
        features.critic_dim,
        features.action_dim,
        sac,
        config.seed,
        critic_input=config.critic,
    )
    save = saving_features(features, learner, sac)
    return Method(learner, features.mixed_replay(), features.observe, save)
