"""`method=latent escape=true`: latent SAC with a second actor that knows no prior."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.nn.weights import seeded
from conure_training.policies.module import ModulePolicy, PolicyModule
from conure_training.prior.flow import ConditionalRealNVP, Decoder
from conure_training.prior.latent_bound import chi_square_radius
from conure_training.prior.model import Prior
from conure_training.rl.actor_critic import Observation
from conure_training.rl.behavior_cloning import clone_flow
from conure_training.rl.method import Method
from conure_training.rl.methods.latent_sac import COSTS, LatentSacConfig, bound_figures, drawn
from conure_training.rl.methods.prior_features import Features
from conure_training.rl.methods.two_actors import (
    TwoActors,
    TwoPolicies,
    two_policies,
    untrained_two_policies,
)
from conure_training.rl.policy_file import loaded_module, untrained_prior


class EscapingSac(TwoActors):
    """Latent SAC (`latent_sac`) with a second actor that knows no prior, for what the prior cannot
    do.

    The second is latent SAC too, in the z of a flow of its own, cloned from the run's
    demonstrations. The chooser's margin makes it act unless the critics value the prior's action by
    more than that: one action of a wrong prior, whose successor is in good hands again, costs one
    step's discount, less than young critics can tell. So the first rollouts are the second actor's.
    Targets take the action that would be taken:

        target:   r + discount * min_i Q'_i(s', a'),  a' = a_2' where g(features') > 0, else a_1'

    Source: the second actor and its choice by Q, for acting and for the target: APC-RL, arXiv
    2601.19452, which draws the choice from a Boltzmann distribution; the chooser, its margin and
    the second flow are ours.
    """

    def __init__(
        self,
        prior: Decoder,
        own: Decoder,
        policies: TwoPolicies,
        state_dim: int,
        action_dim: int,
        config: LatentSacConfig,
        **named: Any,
    ) -> None:
        """The prior and the second actor's own flow, both frozen; the policies, each in its z."""
        self.prior, self.own, self._cost = prior, own, COSTS[config.cost]
        target = config.target_kl_per_dim * action_dim
        super().__init__(policies, state_dim, action_dim, config, (target, target), **named)

    def _next_value(self, observation: Observation) -> Tensor:
        (first, _), (second, _) = self._both(observation["features"])
        action = self.policies.choose(observation["features"], first, second)
        return self._slow_value(observation, action)

    def _first(
        self, policies: TwoPolicies, features: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        return self._decoded(self.prior, policies.first, features, noise)

    def _second(
        self, policies: TwoPolicies, features: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        return self._decoded(self.own, policies.second, features, noise)

    def _decoded(
        self, flow: Decoder, policy: GaussianPolicy, features: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        mean, std = policy(features)
        z, cost = drawn(mean, std, noise, policy.radius, self._cost)
        return flow.decode(z, features), cost


class Escaping(PolicyModule):
    """A policy in the prior's z or one in that of a flow of its own."""

    prior: Prior
    own: ConditionalRealNVP
    policy: TwoPolicies

    def forward(self, image: Tensor, proprio: Tensor, noise: Tensor) -> Tensor:
        features = self.prior.encoder(image, proprio)
        first = self.prior.flow.decode(self.policy.first.draw(features, noise), features)
        second = self.own.decode(self.policy.second.draw(features, noise), features)
        chosen: Tensor = self.policy.choose(features, first, second)
        return chosen


def load_policy(data: Mapping[str, Any]) -> ModulePolicy:
    """See policy_file."""
    prior = untrained_prior(data)
    own = ConditionalRealNVP(prior.action_dim, prior.encoder.feature_dim)
    policy = untrained_two_policies(data, prior.encoder.feature_dim, prior.action_dim)
    return loaded_module(Escaping(prior=prior, own=own, policy=policy), data)


def build_escaping(features: Features, latent: LatentSacConfig) -> Method:
    """Latent SAC with a second actor, see EscapingSac."""
    config = features.config
    hidden, radius = (
        latent.hidden_dims,
        chi_square_radius(latent.z_bound_quantile, features.action_dim),
    )
    sizes = (features.dim, features.action_dim, hidden, features.slots, radius, config.seed)
    own = _own_flow(features)
    learner = EscapingSac(
        features.prior.flow.requires_grad_(False),
        own,
        two_policies(*sizes, margin=config.escape_margin),
        features.critic_dim,
        features.action_dim,
        latent,
        seed=config.seed,
        critic_input=config.critic,
    )

    def module() -> PolicyModule:
        return Escaping(prior=features.prior, own=own, policy=learner.averaged_policy)

    save = features.saving("escaping", module, hidden, radius, own={})
    return Method(
        learner,
        features.mixed_replay(),
        features.observe,
        save,
        figures=bound_figures(features, latent),
    )


def _own_flow(features: Features) -> ConditionalRealNVP:
    """Cloned from all demonstrations of the run, as rivals are, on the prior's features and nothing
    else of it.
    """
    config, seen, done = (
        features.config,
        features.demonstrated_features,
        features.demonstrated_actions,
    )
    with seeded(config.seed):
        flow = ConditionalRealNVP(features.action_dim, features.dim)
    return features.trained_once(
        flow, lambda module: clone_flow(module, seen, done, config.escape_cloning, config.seed)
    )
