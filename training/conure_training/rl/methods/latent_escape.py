"""`method=latent_escape`: latent SAC with a second actor that knows no prior."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from conure_core.config.values import SHARE
from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.nn.weights import seeded
from conure_training.policies.module import FeatureModule, ModulePolicy, PolicyModule
from conure_training.prior.flow import ConditionalRealNVP, Decoder
from conure_training.prior.latent_bound import chi_square_radius
from conure_training.prior.model import Prior
from conure_training.rl.config import RunConfig
from conure_training.rl.learners.actor_critic import Observation
from conure_training.rl.learners.behavior_cloning import clone_flow
from conure_training.rl.learners.pretraining import PretrainingConfig
from conure_training.rl.learners.two_actors import (
    TwoActors,
    TwoPolicies,
    build_two_policies,
    rebuild_two_policies,
)
from conure_training.rl.method import Method
from conure_training.rl.methods.latent import (
    PENALTIES,
    LatentConfig,
    act_in_latent,
    measure_bound,
    sample_latent,
)
from conure_training.rl.policy_file import load_module, rebuild_prior
from conure_training.rl.prior_features import Features


@dataclass(frozen=True)
class LatentEscapeConfig(LatentConfig):
    """Of latent SAC with a second actor."""

    name: str = "latent_escape"
    margin: float = field(default=0.1, metadata=SHARE)
    """By how much the critics must value the prior's action more before it acts."""
    cloning: PretrainingConfig = field(default_factory=lambda: PretrainingConfig(batch_size=512))
    """How the second actor's flow is cloned."""


class EscapingSac(TwoActors):
    """Latent SAC (`latent`) with a second actor that knows no prior, for what the prior cannot
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
        config: LatentConfig,
        **named: Any,
    ) -> None:
        """Make the learner of two actors, each in the z of its own flow.

        Args:
            prior: The first actor's flow, frozen.
            own: The second actor's flow, cloned from the demonstrations, frozen.
            policies: One in each flow's z, and the chooser.
            state_dim: Values of what the critics see.
            action_dim: Values of an action, and of z, A.
            config: Settings of both actors.
            **named: See TwoActors.
        """
        self.prior = prior
        self.own = own
        self._penalty = PENALTIES[config.cost]
        target = config.target_kl_per_dim * action_dim
        super().__init__(policies, state_dim, action_dim, config, (target, target), **named)

    def _decide(self, observation: Observation, noise: Tensor | None) -> Tensor:
        features = observation["features"].to(self.device)
        return Escaping.propose(self.policies, self.prior, self.own, features, noise)

    def _next_value(self, observation: Observation) -> Tensor:
        (first, _), (second, _) = self._both(observation["features"])
        action = self.policies.choose(observation["features"], first, second)
        return self._min_target_q(observation, action)

    def _first(
        self, policies: TwoPolicies, features: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self._decode(self.prior, policies.first, features, noise)

    def _second(
        self, policies: TwoPolicies, features: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self._decode(self.own, policies.second, features, noise)

    def _decode(
        self, flow: Decoder, policy: GaussianPolicy, features: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        mean, std = policy(features)
        z, penalty = sample_latent(mean, std, noise, policy.radius, self._penalty)
        return flow.decode(z, features), penalty


class Escaping(FeatureModule):
    """A policy in the prior's z or one in that of a flow of its own."""

    prior: Prior
    own: ConditionalRealNVP
    policy: TwoPolicies

    @staticmethod
    def propose(
        policies: TwoPolicies,
        flow: Decoder,
        own: Decoder,
        features: Tensor,
        noise: Tensor | None,
    ) -> Tensor:
        """Act, for the learner and the exported module alike.

        Args:
            policies: One in each flow's z, and the chooser.
            flow: The prior's flow.
            own: The second actor's flow.
            features: Shape (B, F).
            noise: Standard normal, shape (B, A), of both policies; None: their means.

        Returns:
            Actions, shape (B, A).
        """
        first = act_in_latent(flow, policies.first, features, noise)
        second = act_in_latent(own, policies.second, features, noise)
        return policies.choose(features, first, second)

    def decide(self, features: Tensor, noise: Tensor) -> Tensor:
        return self.propose(self.policy, self.prior.flow, self.own, features, noise)


def load_policy(data: Mapping[str, Any]) -> ModulePolicy:
    """See policy_file."""
    prior = rebuild_prior(data)
    own = ConditionalRealNVP(prior.action_dim, prior.encoder.feature_dim)
    policy = rebuild_two_policies(data, prior.encoder.feature_dim, prior.action_dim)
    return load_module(Escaping(prior=prior, own=own, policy=policy), data)


def build(run: RunConfig, config: LatentEscapeConfig, env: Any) -> Method:
    """Build latent SAC with a second actor, whose flow is cloned from all demonstrations.

    Args:
        run: The run.
        config: Settings of both actors, the margin, and how the flow is cloned.
        env: The run's environment.

    Returns:
        The method; it sees what latent SAC sees.
    """
    features = Features(run, env, config.critic)
    hidden = config.hidden_dims
    radius = chi_square_radius(config.z_bound_quantile, features.action_dim)
    sizes = (features.dim, features.action_dim, hidden, features.slots, radius, run.seed)
    own = _own_flow(features, config.cloning)
    learner = EscapingSac(
        features.prior.flow.requires_grad_(False),
        own,
        build_two_policies(*sizes, margin=config.margin),
        features.critic_dim,
        features.action_dim,
        config,
        seed=run.seed,
        critic_input=config.critic,
    )

    def module() -> PolicyModule:
        return Escaping(prior=features.prior, own=own, policy=learner.averaged_policy)

    return Method(
        learner,
        features.mixed_replay(),
        features.observe,
        features.make_saver("escaping", module, hidden, radius, own={}),
        metrics=measure_bound(features, config),
    )


def _own_flow(features: Features, cloning: PretrainingConfig) -> ConditionalRealNVP:
    """Cloned from all demonstrations of the run, as the baselines' policies are, on the prior's
    features and nothing else of it.
    """
    seed = features.config.seed
    seen, done = features.demonstrated_features, features.demonstrated_actions
    with seeded(seed):
        flow = ConditionalRealNVP(features.action_dim, features.dim)
    return features.train_once(flow, lambda module: clone_flow(module, seen, done, cloning, seed))
