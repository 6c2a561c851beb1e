"""`method=prior_explore`: soft actor-critic on frozen features that now and then takes an action of
the prior's.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from conure_core.config.values import SHARE
from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.prior.flow import Decoder
from conure_training.rl.config import RunConfig
from conure_training.rl.learners.actor_critic import Observation
from conure_training.rl.learners.feature_sac import (
    FeatureSac,
    FeatureSacConfig,
    method_on_features,
)
from conure_training.rl.method import Method
from conure_training.rl.prior_features import Features


@dataclass(frozen=True)
class PriorExploreConfig(FeatureSacConfig):
    """Of Prior-explore."""

    name: str = "prior_explore"
    epsilon: float = field(default=0.5, metadata=SHARE)
    """Probability of the prior's action, while it is trained."""


class PriorExploreSac(FeatureSac):
    """SAC in the action space that now and then takes an action of the prior's instead of its own.

    With probability `epsilon`, drawn anew for every step, a = f(z; features) with z ~ N(0, I).
    Source: the baseline "Prior-explore" in Singh et al., PARROT, arXiv 2011.10024, which does not
    give its epsilon.
    """

    def __init__(
        self, prior: Decoder, epsilon: float, policy: GaussianPolicy, *arguments: Any, **named: Any
    ) -> None:
        """Make SAC on features that explores by the prior.

        Args:
            prior: The prior's flow, frozen.
            epsilon: Probability of the prior's action, in [0, 1].
            policy: The policy on features.
            *arguments: See FeatureSac.
            **named: See FeatureSac.
        """
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


def build(run: RunConfig, config: PriorExploreConfig, env: Any) -> Method:
    """Build Prior-explore, which sees what latent SAC sees.

    The demonstrations, which the original leaves to the prior, are in its replay too.

    Args:
        run: The run.
        config: Settings of soft actor-critic, and epsilon.
        env: The run's environment.

    Returns:
        The method, its policy untrained.
    """
    features = Features(run, env, config.critic)
    learner = PriorExploreSac(
        features.prior.flow,
        config.epsilon,
        features.policy(config.hidden_dims),
        features.critic_dim,
        features.action_dim,
        config,
        run.seed,
        critic_input=config.critic,
    )
    return method_on_features(features, learner)
