"""`method=latent`: soft actor-critic in the latent space of a frozen behavioral prior."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from conure_core.config.values import POSITIVE, bounds
from conure_core.contract.spec import Contract
from conure_core.errors import ConfigError, unknown_name
from conure_training.nn.gaussian_policy import GaussianPolicy, bound_radially
from conure_training.nn.weights import seeded
from conure_training.policies.latent import LatentPolicy
from conure_training.prior.flow import Decoder
from conure_training.prior.latent_bound import chi_square_radius, reachable_fraction
from conure_training.prior.model import Prior, PriorSize
from conure_training.rl.config import RunConfig
from conure_training.rl.learners.actor_critic import (
    ActorCritic,
    FeatureLearnerConfig,
    Observation,
)
from conure_training.rl.method import Method
from conure_training.rl.prior_features import Features
from conure_training.rl.replay import Source
from conure_training.runtime.torch_files import save_torch

Penalty = Callable[[Tensor, Tensor], Tensor]
"""KL or entropy penalty in nats, (B,), of a policy's mean and std, (B, A)."""
BOUND_SAMPLES = 2000


@dataclass(frozen=True)
class LatentConfig(FeatureLearnerConfig):
    """Of latent SAC."""

    learns_from_interventions: ClassVar[bool] = True
    name: str = "latent"
    target_kl_per_dim: float = field(default=0.25, metadata=POSITIVE)
    """Nats from N(0, 1) that alpha steers every latent coordinate to, on average."""
    cost: str = "kl"
    """What alpha weighs: `kl`, of the policy from N(0, I), or `entropy`, by how much the policy's
    lies below that of N(0, I), in the same nats.
    """
    z_bound_quantile: float = field(default=1.0, metadata=bounds(above=0.0, high=1.0))
    """Of chi-square: |z| stays below its root, the exploration dial; 1: no bound."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cost not in PENALTIES:
            raise unknown_name("method.cost", self.cost, PENALTIES)


def kl_to_standard_normal(mean: Tensor, std: Tensor) -> Tensor:
    """Compute KL(N(mean, diag std^2) || N(0, I)).

    Args:
        mean: Shape (B, A).
        std: Shape (B, A), above 0.

    Returns:
        Nats, shape (B,).
    """
    return 0.5 * (mean.square() + std.square() - 1.0 - 2.0 * std.log()).sum(dim=-1)


def _entropy_below_standard_normal(mean: Tensor, std: Tensor) -> Tensor:
    """H(N(0, I)) - H(N(mean, diag std^2)), nats, (B,), for mean and std (B, A). The mean is free to
    go anywhere.
    """
    return -std.log().sum(dim=-1)


PENALTIES = {"kl": kl_to_standard_normal, "entropy": _entropy_below_standard_normal}
"""Penalties of being another distribution than N(0, I), by the name in the config."""


def sample_latent(
    mean: Tensor, std: Tensor, noise: Tensor, radius: float, penalty: Penalty
) -> tuple[Tensor, Tensor]:
    """Sample z of N(mean, diag std^2) within the radius, differentiable in mean and std.

    Args:
        mean: Shape (B, A).
        std: Shape (B, A), above 0.
        noise: Standard normal, shape (B, A).
        radius: Bound on |z|; infinity: none.
        penalty: Of being another distribution than N(0, I), see PENALTIES.

    Returns:
        z, shape (B, A), and its penalty in nats, shape (B,).
    """
    z = bound_radially(mean + std * noise, radius)
    return z, penalty(mean, std)


def act_in_latent(
    flow: Decoder, policy: nn.Module, features: Tensor, noise: Tensor | None
) -> Tensor:
    """Act by a policy in z: draw z of the policy and decode a = f(z; features).

    Args:
        flow: The prior's flow.
        policy: Draws z for features and noise, as GaussianPolicy does.
        features: Shape (B, F).
        noise: Standard normal, shape (B, A); None: the policy's mean.

    Returns:
        Actions, shape (B, A).
    """
    return flow.decode(policy.draw(features, noise), features)  # type: ignore[operator]


class LatentSac(ActorCritic):
    """The policy draws z ~ N(mean(features), std(features)^2) and the arm gets a = f(z; features).

    The actor minimises alpha KL(pi || N(0, I)) - min_i Q_i(state, f(z; features)), its gradient
    passing through the frozen flow, so that critics live on actions and demonstrations need no
    inversion. (In place of the KL: PENALTIES.) Before the first update pi is N(0, I) exactly: the
    first rollouts are the prior's.

    Observations: "features" (B, F), the prior's frozen encoding, also the flow's context; "state"
    (B, S), the simulator's, for the critics alone. Source: Singh et al., PARROT, arXiv 2011.10024;
    the KL, the critic on actions and what is in the config are ours.
    """

    def __init__(
        self,
        prior: Decoder,
        feature_dim: int,
        state_dim: int,
        action_dim: int,
        config: LatentConfig | None = None,
        seed: int = 0,
        device: str = "cpu",
        slots: int = 0,
        critic_input: str = "state",
        policy: nn.Module | None = None,
    ) -> None:
        """Make the learner in the z of a prior.

        Args:
            prior: The flow; frozen in place if it is a torch module.
            feature_dim: Values of the features, F.
            state_dim: Values of what the critics see.
            action_dim: Values of an action, and of z, A.
            config: Settings; None: the defaults.
            seed: Of the policy's weights, the learner's generator and the critics' weights.
            device: Where networks and batches live.
            slots: Object slots that the policy made here attends to; 0: none.
            critic_input: Name of the observation that the critics see.
            policy: The policy in z; None: a GaussianPolicy is made.
        """
        config = config or LatentConfig()
        if policy is None:
            radius = chi_square_radius(config.z_bound_quantile, action_dim)
            with seeded(seed):
                policy = GaussianPolicy(feature_dim, action_dim, config.hidden_dims, slots, radius)
        target_penalty = config.target_kl_per_dim * action_dim
        super().__init__(
            config, policy, state_dim, action_dim, target_penalty, seed, device, critic_input
        )
        self._penalty = PENALTIES[config.cost]
        self.prior = prior
        if isinstance(prior, nn.Module):
            prior.requires_grad_(False).eval().to(self.device)

    def fit_normalizers(self, source: Source) -> None:
        super().fit_normalizers(source)
        self.policy.fit_normalizers(source.rows("features"))  # type: ignore[operator]

    def _decide(self, observation: Observation, noise: Tensor | None) -> Tensor:
        features = observation["features"].to(self.device)
        return act_in_latent(self.prior, self.policy, features, noise)

    def _propose(self, observation: Observation) -> tuple[Tensor, Tensor]:
        z, penalty = self._propose_latent(observation)
        action = self.prior.decode(z, observation["features"])
        return action, penalty

    def _propose_latent(self, observation: Observation) -> tuple[Tensor, Tensor]:
        noise = self._noise(len(observation["features"]), self.generator)
        mean, std = self._gaussian(observation)
        return sample_latent(mean, std, noise, self.policy.radius, self._penalty)  # type: ignore[arg-type]

    def _gaussian(self, observation: Observation) -> tuple[Tensor, Tensor]:
        mean_and_std: tuple[Tensor, Tensor] = self.policy(observation["features"])
        return mean_and_std


def measure_bound(features: Features, config: LatentConfig) -> dict[str, Any]:
    """Measure the exploration dial as the run sets it, for the run's record.

    Args:
        features: The run's features and demonstrations.
        config: Says the quantile of the bound on |z|.

    Returns:
        "z_bound_quantile", "z_bound_radius" and "reachable_fraction" of the action box, in [0, 1];
        empty without a bound.
    """
    quantile = config.z_bound_quantile
    radius = chi_square_radius(quantile, features.action_dim)
    if math.isinf(radius):
        return {}
    count = len(features.data)
    rows = torch.linspace(0, count - 1, min(BOUND_SAMPLES, count)).long()
    seen = features.demonstrated_features[rows]
    reachable = reachable_fraction(features.prior.flow, seen, features.action_dim, radius)
    return {"z_bound_quantile": quantile, "z_bound_radius": radius, "reachable_fraction": reachable}


def latent_sac(prior: Decoder, features: Features, config: LatentConfig) -> LatentSac:
    """Build the learner on a prior's features.

    Args:
        prior: Turns z into what the critics judge.
        features: The run's; they give sizes and seed.
        config: Settings of latent SAC.

    Returns:
        The learner, not yet trained.
    """
    return LatentSac(
        prior,
        features.dim,
        features.critic_dim,
        features.action_dim,
        config,
        features.config.seed,
        slots=features.slots,
        critic_input=config.critic,
    )


def build(run: RunConfig, config: LatentConfig, env: Any) -> Method:
    """Build latent SAC, demonstrations in its batches.

    The actor sees the prior's frozen features, the critics see the simulator's state.

    Args:
        run: The run.
        config: Settings of latent SAC.
        env: The run's environment.

    Returns:
        The method, its policy at the prior.
    """
    features = Features(run, env, config.critic)
    learner = latent_sac(features.prior.flow, features, config)
    return Method(
        learner,
        features.mixed_replay(),
        features.observe,
        make_saver(features.prior, learner),
        metrics=features.metrics() | measure_bound(features, config),
    )


def make_saver(prior: Prior, learner: LatentSac) -> Callable[[Path, dict[str, Any]], None]:
    """Make the function that writes the learner's averaged policy.

    Args:
        prior: Saved with the policy.
        learner: Its averaged policy is saved as it is at the time of the call.

    Returns:
        A function of the path and a note.
    """

    def save(path: Path, note: dict[str, Any]) -> None:
        save_policy(path, LatentPolicy(prior, learner.averaged_policy), note)  # type: ignore[arg-type]

    return save


def save_policy(path: Path, agent: LatentPolicy, note: dict[str, Any]) -> None:
    """Write prior and policy as one file, whole or not at all.

    Args:
        path: The file.
        agent: Prior and policy.
        note: Kept beside the weights, for people.

    Raises:
        ConfigError: There is no policy.
    """
    prior, policy = agent.prior, agent.policy
    if policy is None:
        raise ConfigError("a prior without a policy is saved by Prior.save")
    sizes = [layer.out_features for layer in policy.trunk if isinstance(layer, nn.Linear)][:-1]
    data: dict[str, Any] = {
        "kind": "latent",
        "contract": prior.contract.to_dict(),
        "size": prior.size.__dict__,
        "hidden": sizes,
    }
    data["slots"], data["radius"] = policy.slots, policy.radius
    save_torch(
        path, {**data, "prior": prior.state_dict(), "policy": policy.state_dict(), "note": note}
    )


def load_policy(data: Mapping[str, Any]) -> LatentPolicy:
    """What `save_policy` wrote."""
    prior = Prior(Contract.from_dict(data["contract"]), PriorSize(**data["size"]))
    prior.load_state_dict(data["prior"])
    radius = data.get("radius", math.inf)  # older files have none
    policy = GaussianPolicy(
        prior.encoder.feature_dim, prior.action_dim, data["hidden"], data["slots"], radius
    )
    policy.load_state_dict(data["policy"])
    return LatentPolicy(prior.eval().requires_grad_(False), policy.eval().requires_grad_(False))
