"""`method=steered`: DSRL, a flow-matching policy cloned from demonstrations that RL steers by its
noise.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from conure_core.config.values import COUNT
from conure_training.nn.critic_ensemble import CriticEnsemble
from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.nn.mlp import mlp
from conure_training.nn.normalizer import Normalizer
from conure_training.nn.weights import frozen, seeded
from conure_training.policies.module import FeatureModule, ModulePolicy, PolicyModule
from conure_training.prior.latent_bound import chi_square_radius
from conure_training.prior.model import Prior
from conure_training.rl.config import RunConfig
from conure_training.rl.learners.actor_critic import Observation
from conure_training.rl.learners.pretraining import PretrainingConfig, pretrain
from conure_training.rl.method import Method
from conure_training.rl.methods.latent import LatentConfig, LatentSac, act_in_latent
from conure_training.rl.policy_file import load_module, rebuild_policy, rebuild_prior
from conure_training.rl.prior_features import Features
from conure_training.rl.replay import Source


@dataclass(frozen=True)
class FlowMatchingConfig(PretrainingConfig):
    """Of the generative policy."""

    steps: int = field(default=6000, metadata=COUNT)
    integration_steps: int = field(default=8, metadata=COUNT)
    """Of Euler's method, from noise to action."""
    hidden_width: int = field(default=256, metadata=COUNT)
    """Width of its hidden layers."""
    hidden_layers: int = field(default=3, metadata=COUNT)
    """How many there are."""


@dataclass(frozen=True)
class SteeredConfig(LatentConfig):
    """Of DSRL: of SAC in the noise as of latent SAC in z."""

    name: str = "steered"
    flow_matching: FlowMatchingConfig = field(default_factory=FlowMatchingConfig)
    """The generative policy, and how it learns."""


class FlowMatchingPolicy(nn.Module):
    """dx/dt = v(x, t; features) from x(0) = w ~ N(0, I) to the action x(1), by Euler's method in
    few steps.

    Training: minimise |v((1 - t) w + t a, t; features) - (a - w)|^2 over t ~ U(0, 1), w ~ N(0, I),
    demonstrated a. Source: Lipman et al., Flow Matching for Generative Modeling, arXiv 2210.02747
    (the straight path).
    """

    def __init__(
        self, feature_dim: int, action_dim: int, hidden_dims: Sequence[int], integration_steps: int
    ) -> None:
        super().__init__()
        self.normalize = Normalizer(feature_dim)
        self.velocity = mlp([feature_dim + action_dim + 1, *hidden_dims, action_dim])
        self.integration_steps = integration_steps

    def decode(self, z: Tensor, context: Tensor) -> Tensor:
        """Integrate dx/dt = v from noise to an action, by Euler's method.

        Args:
            z: Noise w = x(0), shape (B, A).
            context: Features, shape (B, F).

        Returns:
            Actions, shape (B, A), in [-1, 1].
        """
        seen = self.normalize(context)
        x = z
        for step in range(self.integration_steps):
            time = x.new_full((x.shape[0], 1), step / self.integration_steps)
            x = x + self._velocity(x, time, seen) / self.integration_steps
        return x.clamp(-1.0, 1.0)

    def loss(self, features: Tensor, action: Tensor, generator: torch.Generator) -> Tensor:
        """Compute the conditional flow-matching loss, see the class.

        Args:
            features: Shape (B, F).
            action: Demonstrated, shape (B, A).
            generator: Where noise and times are drawn from.

        Returns:
            The mean squared error of the velocity, summed over an action's values, ().

        Source: Lipman et al., arXiv 2210.02747, eq. 23 (with sigma_min = 0).
        """
        noise = torch.randn(action.shape, generator=generator)
        time = torch.rand(len(action), 1, generator=generator)
        x = (1.0 - time) * noise + time * action
        found = self._velocity(x, time, self.normalize(features))
        return (found - (action - noise)).square().sum(dim=-1).mean()

    def _velocity(self, x: Tensor, time: Tensor, seen: Tensor) -> Tensor:
        velocity: Tensor = self.velocity(torch.cat([seen, x, time], dim=-1))
        return velocity


def train_flow_matching(
    policy: FlowMatchingPolicy,
    features: Tensor,
    action: Tensor,
    config: FlowMatchingConfig,
    seed: int,
) -> None:
    """Train the policy on demonstrations, and freeze it.

    Args:
        policy: The policy, trained in place.
        features: Shape (n, F).
        action: Shape (n, A), in [-1, 1].
        config: Steps, rate and noise of the training.
        seed: Of batches and noise.

    Raises:
        DataError: The loss is not finite.
    """
    policy.normalize.fit(features, least_deviation=0.05)

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        seen = features[rows]
        seen = seen + config.feature_noise * torch.randn(seen.shape, generator=generator)
        return policy.loss(seen, action[rows], generator)

    pretrain("flow matching", policy, loss, len(features), config, seed)


class SteeredSac(LatentSac):
    """The policy draws w ~ N(mean(features), std^2), the arm gets a = g(w; features) of a frozen
    generative policy g.

    Critics Q(s, a) learn on actions, so that demonstrations need no inversion. No gradient passes
    through g: critics of noise are distilled from them, Q_w(s, w) <- min_i Q_i(s, g(w; s)) at w ~
    N(0, I), and the actor maximises those:

        alpha KL(pi || N(0, I)) - min_i Q_w,i(s, w)

    Source: Wagenmaker et al., DSRL, arXiv 2506.15799 (its noise-aliased form); the KL in place of a
    bound on |w| is ours, and makes the first rollouts those of g.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """As LatentSac; its `prior` is g."""
        super().__init__(*arguments, **named)
        with seeded(int(self.generator.initial_seed()) + 2):
            critics = CriticEnsemble(
                self.critics.normalize.mean.shape[0],
                self.action_dim,
                self.config.hidden_dims,
                self.config.ensemble_size,
            )
        self.noise_critics = critics.to(self.device)
        self._saved.append("noise_critics")
        parameters = self.noise_critics.parameters()
        self._optimizers["noise_critics"] = torch.optim.Adam(
            parameters, self.config.learning_rate, fused=True
        )

    def fit_normalizers(self, source: Source) -> None:
        super().fit_normalizers(source)
        self.noise_critics.normalize = deepcopy(self.critics.normalize)

    def _actor_loss(self, observation: Observation) -> tuple[Tensor, Tensor, Tensor]:
        seen = observation[self.critic_input]
        self._distil(observation)
        w, penalty = self._propose_latent(observation)
        with frozen(self._weights("noise_critics")):
            q = self.noise_critics(seen, w).amin(dim=0)
        return (self.log_alpha.detach().exp() * penalty - q).mean(), penalty, q

    def _distil(self, observation: Observation) -> None:
        features = observation["features"]
        seen = observation[self.critic_input]
        w = self._noise(len(features), self.generator)
        with torch.no_grad():
            action = self.prior.decode(w, features)
            target = self._value(observation, action)
        error = self.noise_critics(seen, w) - target
        loss = error.square().mean(dim=1).sum()
        self._step("noise_critics", loss)


class Steered(FeatureModule):
    """Noise drawn by the policy, through a flow-matching policy."""

    prior: Prior
    generator: FlowMatchingPolicy
    policy: GaussianPolicy

    def decide(self, features: Tensor, noise: Tensor) -> Tensor:
        return act_in_latent(self.generator, self.policy, features, noise)


def load_policy(data: Mapping[str, Any]) -> ModulePolicy:
    """See policy_file."""
    prior = rebuild_prior(data)
    generator = FlowMatchingPolicy(
        prior.encoder.feature_dim, prior.action_dim, **data["sizes"]["generator"]
    )
    policy = rebuild_policy(data, prior.encoder.feature_dim, prior.action_dim)
    return load_module(Steered(prior=prior, generator=generator, policy=policy), data)


def build(run: RunConfig, config: SteeredConfig, env: Any) -> Method:
    """Build DSRL on a generative policy of all demonstrations; it sees what latent SAC sees.

    Args:
        run: The run.
        config: Settings of latent SAC, and of the generative policy.
        env: The run's environment.

    Returns:
        The method, its generative policy trained.
    """
    features = Features(run, env, config.critic)
    settings = config.flow_matching
    sizes = {
        "hidden_dims": (settings.hidden_width,) * settings.hidden_layers,
        "integration_steps": settings.integration_steps,
    }
    with seeded(run.seed):
        generator = FlowMatchingPolicy(features.dim, features.action_dim, **sizes)  # type: ignore[arg-type]

    def train(policy: FlowMatchingPolicy) -> None:
        seen = features.demonstrated_features
        actions = features.demonstrated_actions
        train_flow_matching(policy, seen, actions, settings, run.seed)

    generator = features.train_once(generator, train)
    learner = SteeredSac(
        generator,
        features.dim,
        features.critic_dim,
        features.action_dim,
        config,
        run.seed,
        slots=features.slots,
        critic_input=config.critic,
    )
    radius = chi_square_radius(config.z_bound_quantile, features.action_dim)

    def module() -> PolicyModule:
        return Steered(prior=features.prior, generator=generator, policy=learner.averaged_policy)

    save = features.make_saver("steered", module, config.hidden_dims, radius, generator=sizes)
    return Method(learner, features.mixed_replay(), features.observe, save)
