"""Soft actor-critic in the latent space of a frozen behavioral prior."""

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from conure_core.config_values import MAY_BE_INFINITE
from conure_core.errors import SpecMismatch, unknown_name
from conure_training.nn.gaussian_policy import GaussianPolicy, bound_radially
from conure_training.nn.weights import seeded
from conure_training.prior.flow import Decoder
from conure_training.prior.latent_bound import chi_square_radius, reachable_fraction
from conure_training.rl.actor_critic import ActorCritic, LearnerConfig, Observation, require
from conure_training.rl.methods.prior_features import Features
from conure_training.rl.replay import Source

Cost = Callable[[Tensor, Tensor], Tensor]
"""Nats (B,) of a policy's mean and std, (B, A)."""
BOUND_SAMPLES = 2000


@dataclass(frozen=True)
class LatentSacConfig(LearnerConfig):
    """Defaults for short sparse episodes: +1 at success, which ends them, so that every return lies
    in [0, 1].
    """

    initial_alpha: float = 0.03
    target_min: float = field(default=0.0, metadata=MAY_BE_INFINITE)
    target_max: float = field(default=1.0, metadata=MAY_BE_INFINITE)
    cost_in_target: bool = False
    actor_on_demonstrations: bool = (
        False  # they were after other objects, which the critics' state tells and no image
    )
    target_kl_per_dim: float = (
        0.5  # nats from N(0, 1) that alpha steers every latent coordinate to, on average
    )
    # Or entropy: how far the policy's entropy lies below that of N(0, 1), in the same nats.
    cost: str = "kl"
    z_bound_quantile: float = (
        1.0  # of chi-square: |z| stays below its root, the exploration dial; 1: no bound
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.target_kl_per_dim > 0, self, "target_kl_per_dim", "a number above 0")
        require(0 < self.z_bound_quantile <= 1, self, "z_bound_quantile", "a probability above 0")
        if self.cost not in COSTS:
            raise unknown_name("latent.cost", self.cost, COSTS)


def kl_to_standard_normal(mean: Tensor, std: Tensor) -> Tensor:
    """KL(N(mean, diag std^2) || N(0, I)), nats, (B,), for mean and std (B, A)."""
    return 0.5 * (mean.square() + std.square() - 1.0 - 2.0 * std.log()).sum(dim=-1)


def entropy_below_standard_normal(mean: Tensor, std: Tensor) -> Tensor:
    """H(N(0, I)) - H(N(mean, diag std^2)), nats, (B,), for mean and std (B, A). The mean is free to
    go anywhere.
    """
    return -std.log().sum(dim=-1)


COSTS = {"kl": kl_to_standard_normal, "entropy": entropy_below_standard_normal}
"""What being another distribution than the prior's base costs, by the name in the config."""


def drawn(
    mean: Tensor, std: Tensor, noise: Tensor | None, radius: float, cost: Cost
) -> tuple[Tensor, Tensor]:
    """z (B, A) of N(mean, diag std^2) within the radius, differentiable, and what it costs in nats,
    (B,).
    """
    return bound_radially(mean if noise is None else mean + std * noise, radius), cost(mean, std)


class LatentSac(ActorCritic):
    """The policy draws z ~ N(mean(features), std(features)^2) and the arm gets a = f(z; features).

    The actor minimises alpha KL(pi || N(0, I)) - min_i Q_i(state, f(z; features)), its gradient
    passing through the frozen flow, so that critics live on actions and demonstrations need no
    inversion. (In place of the KL: COSTS.) Before the first update pi is N(0, I) exactly: the first
    rollouts are the prior's.

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
        config: LatentSacConfig | None = None,
        seed: int = 0,
        device: str = "cpu",
        slots: int = 0,
        critic_input: str = "state",
        policy: nn.Module | None = None,
    ) -> None:
        """`prior` is frozen in place if it is a torch module; `slots`: of the GaussianPolicy made
        for None.
        """
        config = config or LatentSacConfig()
        if policy is None:
            radius = chi_square_radius(config.z_bound_quantile, action_dim)
            with seeded(seed):
                policy = GaussianPolicy(feature_dim, action_dim, config.hidden_dims, slots, radius)
        target_cost = config.target_kl_per_dim * action_dim
        super().__init__(
            config, policy, state_dim, action_dim, target_cost, seed, device, critic_input
        )
        self._cost = COSTS[config.cost]
        self.prior = prior
        if isinstance(prior, nn.Module):
            prior.requires_grad_(False).eval().to(self.device)

    def fit_normalizers(self, source: Source) -> None:
        super().fit_normalizers(source)
        self.policy.fit_normalizers(source.rows("features"))  # type: ignore[operator]

    @torch.no_grad()
    def latent(
        self, observation: Observation, generator: torch.Generator, deterministic: bool = False
    ) -> Tensor:
        """The z (n, A) that `act` decodes."""
        noise = None if deterministic else self._noise(len(observation["features"]), generator)
        return self._latent(observation, noise)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "prior": _fingerprint(self.prior)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state.get("prior") != _fingerprint(self.prior):
            raise SpecMismatch(
                "the checkpoint was trained in the latent space of another prior; give it its own"
            )
        super().load_state_dict(state)

    def _latent(self, observation: Observation, noise: Tensor | None) -> Tensor:
        return self.policy.draw(observation["features"], noise)  # type: ignore[operator]

    def _decide(self, observation: Observation, noise: Tensor | None) -> Tensor:
        moved = {name: value.to(self.device) for name, value in observation.items()}
        return self.prior.decode(self._latent(moved, noise), moved["features"])

    def _propose(self, observation: Observation) -> tuple[Tensor, Tensor]:
        z, cost = self._propose_latent(observation)
        return self.prior.decode(z, observation["features"]), cost

    def _propose_latent(self, observation: Observation) -> tuple[Tensor, Tensor]:
        noise = self._noise(len(observation["features"]), self.generator)
        return drawn(*self._gaussian(observation), noise, self.policy.radius, self._cost)  # type: ignore[arg-type]

    def _gaussian(self, observation: Observation) -> tuple[Tensor, Tensor]:
        mean_and_std: tuple[Tensor, Tensor] = self.policy(observation["features"])
        return mean_and_std


def _fingerprint(prior: Decoder) -> int:
    """A number that changes with the prior's weights."""
    tensors = prior.state_dict().values() if isinstance(prior, nn.Module) else ()
    checksum = 0
    for tensor in tensors:
        checksum = zlib.crc32(tensor.detach().cpu().contiguous().numpy().tobytes(), checksum)
    return checksum


class IdentityFlow:
    """z for z: the learner's actions are latents, which the loop decodes."""

    def decode(self, z: Tensor, context: Tensor) -> Tensor:
        return z


def bound_figures(features: Features, config: LatentSacConfig) -> dict[str, Any]:
    """The exploration dial, as it was set: what a run notes of it."""
    quantile = config.z_bound_quantile
    radius = chi_square_radius(quantile, features.action_dim)
    if math.isinf(radius):
        return {}
    rows = torch.linspace(0, len(features.data) - 1, min(BOUND_SAMPLES, len(features.data))).long()
    seen = features.demonstrated_features[rows]
    reachable = reachable_fraction(features.prior.flow, seen, features.action_dim, radius)
    return {"z_bound_quantile": quantile, "z_bound_radius": radius, "reachable_fraction": reachable}
