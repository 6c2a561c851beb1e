"""`method=ibrl`: a cloned policy and soft actor-critic propose, the critics choose."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from conure_training.policies.module import FeatureModule, ModulePolicy, PolicyModule
from conure_training.prior.model import Prior
from conure_training.rl.config import RunConfig
from conure_training.rl.learners.actor_critic import Observation
from conure_training.rl.learners.behavior_cloning import clone_once
from conure_training.rl.learners.feature_sac import FeatureSacConfig, act_on_features
from conure_training.rl.learners.pretraining import PretrainingConfig
from conure_training.rl.learners.two_actors import (
    TwoActors,
    TwoPolicies,
    build_two_policies,
    rebuild_two_policies,
)
from conure_training.rl.method import Method
from conure_training.rl.policy_file import load_module, rebuild_prior
from conure_training.rl.prior_features import Features


@dataclass(frozen=True)
class IbrlConfig(FeatureSacConfig):
    """Of IBRL."""

    name: str = "ibrl"
    cloning: PretrainingConfig = field(default_factory=PretrainingConfig)
    """How the first policy is cloned."""


class Ibrl(TwoActors):
    """The imitation policy proposes its mean, SAC its own action, and the critics choose between
    the two.

    Source: Hu, Mirchandani & Sadigh, IBRL, arXiv 2311.02198. Ours for fairness: its critics may see
    the simulator's state, as all do here, so the choice that acts is distilled to features (see
    Chooser).
    """

    def __init__(
        self,
        policies: TwoPolicies,
        state_dim: int,
        action_dim: int,
        config: FeatureSacConfig,
        **named: Any,
    ) -> None:
        """The policies, the first of them cloned from demonstrations."""
        policies.first.requires_grad_(False)
        target = -config.target_entropy_per_dim * action_dim
        super().__init__(policies, state_dim, action_dim, config, (0.0, target), **named)

    def _decide(self, observation: Observation, noise: Tensor | None) -> Tensor:
        return Proposing.propose(self.policies, observation["features"].to(self.device), noise)

    def _first(
        self, policies: TwoPolicies, features: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        action = act_on_features(policies.first, features, None)
        return action, action.new_zeros(len(action))


class Proposing(FeatureModule):
    """IBRL: the imitation policy's mean or SAC's action."""

    prior: Prior
    policy: TwoPolicies

    @staticmethod
    def propose(policies: TwoPolicies, features: Tensor, noise: Tensor | None) -> Tensor:
        """Act, for the learner and the exported module alike.

        Args:
            policies: Imitation policy, SAC policy and chooser.
            features: Shape (B, F).
            noise: Standard normal, shape (B, A), of SAC's action; None: its mean.

        Returns:
            Actions, shape (B, A), in [-1, 1].
        """
        first = act_on_features(policies.first, features, None)
        second = act_on_features(policies.second, features, noise)
        return policies.choose(features, first, second)

    def decide(self, features: Tensor, noise: Tensor) -> Tensor:
        return self.propose(self.policy, features, noise)


def load_policy(data: Mapping[str, Any]) -> ModulePolicy:
    """See policy_file."""
    prior = rebuild_prior(data)
    policy = rebuild_two_policies(data, prior.encoder.feature_dim, prior.action_dim)
    return load_module(Proposing(prior=prior, policy=policy), data)


def build(run: RunConfig, config: IbrlConfig, env: Any) -> Method:
    """Build IBRL: it sees what latent SAC sees; its first policy is cloned from all demonstrations.

    Args:
        run: The run.
        config: Settings of soft actor-critic, and how the first policy is cloned.
        env: The run's environment.

    Returns:
        The method, its first policy cloned and frozen.
    """
    features, hidden = Features(run, env, config.critic), config.hidden_dims
    policies = build_two_policies(
        features.dim, features.action_dim, hidden, features.slots, float("inf"), run.seed
    )
    policies.first = clone_once(features, policies.first, config.cloning)
    policies.second.fit_normalizers(features.demonstrated_features)
    learner = Ibrl(
        policies,
        features.critic_dim,
        features.action_dim,
        config,
        seed=run.seed,
        critic_input=config.critic,
        pretrained=True,
    )

    def module() -> PolicyModule:
        return Proposing(prior=features.prior, policy=learner.averaged_policy)

    save = features.make_saver("ibrl", module, hidden)
    return Method(learner, features.mixed_replay(), features.observe, save)
