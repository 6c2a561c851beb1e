"""Two actors, chosen between by what the critics expect of them: what IBRL and the escape from a
wrong prior share.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.nn.mlp import mlp
from conure_training.nn.normalizer import Normalizer
from conure_training.nn.weights import seeded
from conure_training.rl.learners.actor_critic import (
    ActorCritic,
    FeatureLearnerConfig,
    Observation,
)
from conure_training.rl.learners.feature_sac import sample_squashed
from conure_training.rl.replay import Source


class Chooser(nn.Module):
    """g(features), (B,): by how much the second actor's action is worth more than the first's, and
    a margin.

    It is regressed onto the difference of the critics' values plus the margin, at which it begins.
    Critics may see the simulator's state; a robot does not, and the mean of that difference given
    the features is what the best choice by features alone needs.
    """

    def __init__(self, feature_dim: int, hidden_dims: Sequence[int], margin: float = 0.0) -> None:
        super().__init__()
        self.margin = margin
        self.normalize = Normalizer(feature_dim)
        self.advantage = mlp([feature_dim, *hidden_dims, 1])
        nn.init.zeros_(self.advantage[-1].weight)  # type: ignore[arg-type]
        nn.init.constant_(self.advantage[-1].bias, margin)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        advantage: Tensor = self.advantage(self.normalize(features))
        return advantage.squeeze(-1)


class TwoPolicies(nn.Module):
    """First and second policy, and the chooser: one module, so that they are averaged and saved
    together.
    """

    def __init__(self, first: GaussianPolicy, second: GaussianPolicy, chooser: Chooser) -> None:
        super().__init__()
        self.first, self.second, self.chooser = first, second, chooser

    def choose(self, features: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Choose between two proposals, row by row.

        Args:
            features: Shape (B, F).
            first: The first policy's actions, shape (B, A).
            second: The second policy's actions, shape (B, A).

        Returns:
            The second's actions where the chooser is above 0, else the first's, (B, A).
        """
        return torch.where(self.chooser(features)[:, None] > 0.0, second, first)


class TwoActors(ActorCritic):
    """Acts by the actor whose action the critics value more; targets take the better of both:

        target:   r + discount * max(min_i Q'_i(s', a_1'), min_i Q'_i(s', a_2'))
        chooser:  E[(g(features) - (Q(s, a_2) - Q(s, a_1) + margin))^2]; acts by a_2 where g > 0

    Each actor has its own penalty and its own temperature, as in `actor_critic`. A child says how
    it acts, what the first actor is, and what the second, unless it is SAC in the action space, a_2
    = tanh(u), on features.
    """

    def __init__(
        self,
        policies: TwoPolicies,
        state_dim: int,
        action_dim: int,
        config: FeatureLearnerConfig,
        target_penalties: tuple[float, float],
        seed: int = 0,
        device: str = "cpu",
        critic_input: str = "state",
        pretrained: bool = False,
    ) -> None:
        """Make the learner of two policies.

        Args:
            policies: Both policies and the chooser.
            state_dim: Values of what the critics see.
            action_dim: Values of an action, A.
            config: Settings of both actors and the critics.
            target_penalties: Nats that the temperatures steer the first and second actor's to.
            seed: Of the learner's generator and the critics' weights.
            device: Where networks and batches live.
            critic_input: Name of the observation that the critics see.
            pretrained: The policies know their input scales already.
        """
        super().__init__(
            config, policies, state_dim, action_dim, target_penalties[0], seed, device, critic_input
        )
        self.pretrained = pretrained
        self.second_target_penalty = target_penalties[1]
        self.second_temperature = nn.ParameterDict({"log_alpha": self.log_alpha.detach().clone()})
        self._saved.append("second_temperature")
        temperature = self.second_temperature.parameters()
        self._optimizers["second_alpha"] = torch.optim.Adam(
            temperature, config.alpha_learning_rate, fused=True
        )

    def _first(
        self, policies: TwoPolicies, features: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The first actor's actions (B, A), differentiable where it learns; penalty, (B,)."""
        raise NotImplementedError

    def _second(
        self, policies: TwoPolicies, features: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The same of the second."""
        mean, std = policies.second(features)
        return sample_squashed(mean, std, noise)

    @property
    def policies(self) -> TwoPolicies:
        """The policy, which is two."""
        return self.policy  # type: ignore[return-value]

    def fit_normalizers(self, source: Source) -> None:
        super().fit_normalizers(source)
        self.policies.chooser.normalize.fit(source.rows("features"), GaussianPolicy.LEAST_DEVIATION)
        if not self.pretrained:
            self.policies.first.fit_normalizers(source.rows("features"))
            self.policies.second.fit_normalizers(source.rows("features"))

    def _next_value(self, observation: Observation) -> Tensor:
        features = observation["features"]
        (first, _), (second, _) = self._both(features)
        first_q = self._min_target_q(observation, first)
        second_q = self._min_target_q(observation, second)
        return torch.maximum(first_q, second_q)

    def _both(self, features: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        first_noise = self._noise(len(features), self.generator)
        first = self._first(self.policies, features, first_noise)
        second_noise = self._noise(len(features), self.generator)
        second = self._second(self.policies, features, second_noise)
        return first, second

    def _actor_loss(self, observation: Observation) -> tuple[Tensor, Tensor, Tensor]:
        features = observation["features"]
        chooser = self.policies.chooser
        (first, penalty), (second, second_penalty) = self._both(features)
        first_q = self._value(observation, first)
        second_q = self._value(observation, second)
        log_alpha = self.second_temperature["log_alpha"]
        loss = (
            self.log_alpha.detach().exp() * penalty
            - first_q
            + log_alpha.detach().exp() * second_penalty
            - second_q
        )
        wrong = chooser(features) - (second_q - first_q).detach() - chooser.margin
        excess = self.second_target_penalty - second_penalty.detach().mean()
        self._step("second_alpha", log_alpha * excess)
        with torch.no_grad():
            log_alpha.clamp_(*self.LOG_ALPHA_RANGE)
        return (loss + wrong.square()).mean(), penalty, torch.maximum(first_q, second_q)


def build_two_policies(
    feature_dim: int,
    action_dim: int,
    hidden_dims: Sequence[int],
    slots: int,
    radius: float,
    seed: int,
    margin: float = 0.0,
) -> TwoPolicies:
    """Build two policies at N(0, I), and their chooser.

    Args:
        feature_dim: Values of the features, F.
        action_dim: Values of an action, A.
        hidden_dims: Widths of the hidden layers of all three networks.
        slots: Object slots among the features that the policies attend to; 0: none.
        radius: Bound on the norm of what they draw; infinity: none.
        seed: Of the weights.
        margin: Where the chooser begins, see Chooser.

    Returns:
        Both policies and the chooser, in one module.
    """
    with seeded(seed):
        first = GaussianPolicy(feature_dim, action_dim, hidden_dims, slots, radius)
        second = GaussianPolicy(feature_dim, action_dim, hidden_dims, slots, radius)
        return TwoPolicies(first, second, Chooser(feature_dim, hidden_dims, margin))


def rebuild_two_policies(data: Mapping[str, Any], feature_dim: int, action_dim: int) -> TwoPolicies:
    """Build the two policies of a policy's file, without its weights.

    Args:
        data: The file's values; "sizes" holds "hidden", "slots" and "radius".
        feature_dim: Values of the features, F.
        action_dim: Values of an action, A.

    Returns:
        The policies; their weights come with the module's.
    """
    sizes = data["sizes"]
    return build_two_policies(
        feature_dim, action_dim, sizes["hidden"], sizes["slots"], sizes["radius"], seed=0
    )
