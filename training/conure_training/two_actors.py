"""Two actors, chosen between by what the critics expect of them: IBRL, and the escape from a wrong prior."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from conure_training.actor_critic import ActorCritic, Metrics, Observation
from conure_training.feature_sac import FeatureSacConfig, squashed_sample
from conure_training.latent_sac import LatentSacConfig, Prior, kl_to_standard_normal
from conure_training.networks import GaussianPolicy, Normalizer, bounded_radially, mlp, seeded
from conure_training.replay import Batch, Source


class Chooser(nn.Module):
    """g(features), (B,): by how much the second actor's action is worth more than the first's. 0 at first.

    It is regressed onto the difference of the critics' values. They may see the simulator's state; a robot does not,
    and the mean of that difference given the features is what the best choice by features alone needs.
    """

    def __init__(self, feature_dim: int, hidden_dims: Sequence[int]) -> None:
        super().__init__()
        self.normalize = Normalizer(feature_dim)
        self.advantage = mlp([feature_dim, *hidden_dims, 1])
        nn.init.zeros_(self.advantage[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.advantage[-1].bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        advantage: Tensor = self.advantage(self.normalize(features))
        return advantage.squeeze(-1)


class TwoPolicies(nn.Module):
    """First and second policy, and the chooser: one module, so that they are averaged and saved together."""

    def __init__(
        self, first: GaussianPolicy, second: GaussianPolicy, feature_dim: int, hidden_dims: Sequence[int]
    ) -> None:
        super().__init__()
        self.first, self.second, self.chooser = first, second, Chooser(feature_dim, hidden_dims)

    def choose(self, features: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """The second's actions (B, A) where they are worth more, else the first's."""
        return torch.where(self.chooser(features)[:, None] > 0.0, second, first)


class TwoActors(ActorCritic):
    """Acts by the actor whose action the critics value more; so do the targets:

        target:   r + discount * max(min_i Q'_i(s', a_1'), min_i Q'_i(s', a_2'))
        second:   SAC in the action space, a_2 = tanh(u), on features, its own temperature,
                  and imitation_weight * |tanh(mean(s_d)) - a_d|^2 on the demonstrated rows (s_d, a_d) of a batch
        chooser:  E[(g(features) - (Q(s, a_2) - Q(s, a_1)))^2]; acts by a_2 where g > 0

    A child says what the first actor is.
    """

    def __init__(
        self,
        policies: TwoPolicies,
        state_dim: int,
        action_dim: int,
        config: LatentSacConfig | FeatureSacConfig,
        target_cost: float,
        second_target_log_prob: float,
        seed: int = 0,
        device: str = "cpu",
        critic_input: str = "state",
        pretrained: bool = False,
        imitation_weight: float = 0.0,
    ) -> None:
        """`pretrained`: the policies know their input scales already."""
        super().__init__(config, policies, state_dim, action_dim, target_cost, seed, device, critic_input)
        self.pretrained, self.imitation_weight = pretrained, imitation_weight
        self._imitated = torch.zeros((), device=self.device)
        self.second_target_log_prob = second_target_log_prob
        self.second_temperature = nn.ParameterDict({"log_alpha": self.log_alpha.detach().clone()})
        self._saved.append("second_temperature")
        temperature = self.second_temperature.parameters()
        self._optimizers["second_alpha"] = torch.optim.Adam(temperature, config.alpha_learning_rate, fused=True)

    def _first(self, policies: TwoPolicies, features: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """The first actor's actions (B, A), differentiable where it learns, and their cost, (B,)."""
        raise NotImplementedError

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

    def _decide(self, observation: Observation, noise: Tensor | None) -> Tensor:
        features = observation["features"].to(self.device)
        first, _ = self._first(self.policies, features, noise)
        second = torch.tanh(self.policies.second.draw(features, noise))
        return self.policies.choose(features, first, second)

    def _next_value(self, observation: Observation) -> Tensor:
        features = observation["features"]
        (first, _), (second, _) = self._both(features)
        seen = observation[self.critic_input]
        values = [self._least(self.target_critics(seen, action)) for action in (first, second)]
        return torch.maximum(*values)

    def _both(self, features: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        first = self._first(self.policies, features, self._noise(len(features), self.generator))
        mean, std = self.policies.second(features)
        return first, squashed_sample(mean, std, self._noise(len(features), self.generator))

    def _update_actor(self, batch: Batch) -> Metrics:
        self._imitated = torch.zeros((), device=self.device)
        demonstrated = 0 if batch.online is None else len(batch.reward) - batch.online
        if self.imitation_weight and demonstrated:
            mean, _ = self.policies.second(batch.observation["features"][:demonstrated])
            error = (torch.tanh(mean) - batch.action[:demonstrated]).square().sum(dim=-1).mean()
            self._imitated = self.imitation_weight * error
        return super()._update_actor(batch)

    def _actor_loss(self, observation: Observation) -> tuple[Tensor, Tensor, Tensor]:
        features = observation["features"]
        (first, cost), (second, log_prob) = self._both(features)
        first_q, second_q = self._value(observation, first), self._value(observation, second)
        log_alpha = self.second_temperature["log_alpha"]
        loss = self.log_alpha.detach().exp() * cost - first_q + log_alpha.detach().exp() * log_prob - second_q
        wrong = self.policies.chooser(features) - (second_q - first_q).detach()
        rest = (self.second_target_log_prob - log_prob.detach().mean()) * log_alpha
        self._step("second_alpha", rest)
        with torch.no_grad():
            log_alpha.clamp_(*self.LOG_ALPHA_RANGE)
        return (loss + wrong.square()).mean() + self._imitated, cost, torch.maximum(first_q, second_q)


class EscapingSac(TwoActors):
    """Latent SAC (`latent_sac`) with a second actor that knows no prior, for what the prior cannot do.

    The first rollouts are still the prior's: the chooser begins at 0, and acts by the second only above it.
    Source: the second actor and its choice by Q, for acting and for the target: APC-RL, arXiv 2601.19452, which draws
    the choice from a Boltzmann distribution; the greedy choice is IBRL's, arXiv 2311.02198, its distillation ours.
    """

    def __init__(
        self,
        prior: Prior,
        policies: TwoPolicies,
        state_dim: int,
        action_dim: int,
        config: LatentSacConfig,
        **named: Any,
    ) -> None:
        """The prior, frozen; the policies, the first of them in z."""
        self.prior = prior
        target = config.target_kl_per_dim * action_dim
        super().__init__(policies, state_dim, action_dim, config, target, float(action_dim), **named)

    def _first(self, policies: TwoPolicies, features: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        mean, std = policies.first(features)
        z = bounded_radially(mean if noise is None else mean + std * noise, policies.first.radius)
        return self.prior.decode(z, features), kl_to_standard_normal(mean, std)


class Ibrl(TwoActors):
    """The imitation policy proposes its mean, SAC its own action, and the critics choose between the two.

    Source: Hu, Mirchandani & Sadigh, IBRL, arXiv 2311.02198. Ours for fairness: its critics may see the simulator's
    state, as all do here, so the choice that acts is distilled to features (see Chooser).
    """

    def __init__(
        self, policies: TwoPolicies, state_dim: int, action_dim: int, config: FeatureSacConfig, **named: Any
    ) -> None:
        """The policies, the first of them cloned from demonstrations."""
        policies.first.requires_grad_(False)
        target = -config.target_entropy_per_dim * action_dim
        super().__init__(policies, state_dim, action_dim, config, 0.0, target, **named)

    def _first(self, policies: TwoPolicies, features: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        action = torch.tanh(policies.first.draw(features, None))
        return action, action.new_zeros(len(action))


def two_policies(
    feature_dim: int, action_dim: int, hidden_dims: Sequence[int], slots: int, radius: float, seed: int
) -> TwoPolicies:
    """Both at N(0, I); `radius` bounds the first, which may act in z."""
    with seeded(seed):
        first = GaussianPolicy(feature_dim, action_dim, hidden_dims, slots, radius)
        second = GaussianPolicy(feature_dim, action_dim, hidden_dims, slots)
        return TwoPolicies(first, second, feature_dim, hidden_dims)
