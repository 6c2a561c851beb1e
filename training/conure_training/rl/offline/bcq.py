"""`method=bcq`: batch-constrained Q-learning, which considers actions like the data's alone.

    candidates:  a_i = clip(d_i + xi(s, d_i)),  d_i = decoder(s, z_i),  |xi| <= phi,  |z_i| <= 0.5
    critics:     Q_j(s, a)  <-  r + gamma * max_i [lambda * min_j Q'_j(s', a_i)
                                                   + (1 - lambda) * max_j Q'_j(s', a_i)]
    xi:          maximise  Q_1(s, clip(d + xi(s, d)))
    acting:      the candidate of the largest Q_1

The decoder is that of an autoencoder of the data's actions, see ActionVae.

Source: Fujimoto, Meger and Precup, Off-Policy Deep RL without Exploration, arXiv 1812.02900; its
code (sfujim/BCQ). Ours: the latents to act with are drawn once, so that the policy is a function of
what it sees; hidden layers of one width.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from conure_core.config.values import COUNT, POSITIVE, SHARE, bounds
from conure_training.nn.critic_ensemble import CriticEnsemble
from conure_training.nn.mlp import mlp
from conure_training.nn.normalizer import Normalizer
from conure_training.nn.weights import seeded
from conure_training.policies.module import FeatureModule, ModulePolicy
from conure_training.rl.config import RunConfig
from conure_training.rl.learners.learner import Metrics, Observation, PolyakAverage
from conure_training.rl.method import Method
from conure_training.rl.offline.action_vae import LATENT_LIMIT, ActionVae
from conure_training.rl.offline.data import OfflineData
from conure_training.rl.offline.learner import SEEN, OfflineConfig, OfflineLearner
from conure_training.rl.policy_file import load_module, rebuild_prior
from conure_training.rl.replay import Batch


@dataclass(frozen=True)
class BcqConfig(OfflineConfig):
    """Of BCQ."""

    name: str = "bcq"
    batch_size: int = field(default=100, metadata=COUNT)
    learning_rate: float = field(default=1e-3, metadata=POSITIVE)
    perturbation: float = field(default=0.05, metadata=bounds(0.0, 1.0))
    """Most that xi changes an action by, phi."""
    minimum_weight: float = field(default=0.75, metadata=SHARE)
    """What the smaller of two critics' values weighs in the targets, lambda."""
    target_candidates: int = field(default=10, metadata=COUNT)
    """Actions that a target takes the largest value of."""
    candidates: int = field(default=100, metadata=COUNT)
    """Actions that the policy chooses from."""
    vae_width: int = field(default=750, metadata=COUNT)
    """Width of the autoencoder's hidden layers."""


class BcqPolicy(nn.Module):
    """The candidate with the largest Q_1, of actions like the data's."""

    latents: Tensor

    def __init__(
        self,
        feature_dim: int,
        action_dim: int,
        critics: CriticEnsemble,
        config: BcqConfig,
        seed: int = 0,
    ) -> None:
        """Make the networks.

        Args:
            feature_dim: Values of what is seen, F.
            action_dim: Values of an action, A.
            critics: The first of them chooses.
            config: Sizes, and how far xi reaches.
            seed: Of weights and of the latents to act with.
        """
        super().__init__()
        self.reach = config.perturbation
        self.critics = critics
        self.normalize = Normalizer(feature_dim)
        with seeded(seed):
            self.vae = ActionVae(feature_dim, action_dim, config.vae_width)
            self.xi = mlp([feature_dim + action_dim, *config.hidden_dims, action_dim])
            latents = torch.randn(config.candidates, self.vae.latent_dim)
        self.register_buffer("latents", latents.clamp(-LATENT_LIMIT, LATENT_LIMIT))

    def fit_normalizers(self, features: Tensor) -> None:
        """Scale the inputs by rows (n, F)."""
        self.normalize.fit(features)

    def propose(self, features: Tensor, z: Tensor) -> Tensor:
        """Make one candidate a row.

        Args:
            features: Shape (B, F).
            z: Latents, shape (B, 2 A); clipped to +-LATENT_LIMIT.

        Returns:
            Actions, shape (B, A), in [-1, 1].
        """
        scaled = self.normalize(features)
        action = self.vae.decode(scaled, z.clamp(-LATENT_LIMIT, LATENT_LIMIT))
        change = torch.tanh(self.xi(torch.cat([scaled, action], dim=-1)))
        return (action + self.reach * change).clamp(-1.0, 1.0)

    def act(self, features: Tensor) -> Tensor:
        """Actions (B, A) for features (B, F)."""
        rows, count = features.shape[0], self.latents.shape[0]
        repeated = features[:, None].expand(-1, count, -1).flatten(0, 1)
        latents = self.latents[None].expand(rows, -1, -1).flatten(0, 1)
        action = self.propose(repeated, latents)
        q: Tensor = self.critics(repeated, action, [0])
        best = q.reshape(-1, count).argmax(dim=1)
        candidates = action.unflatten(0, (-1, count))
        chosen = best[:, None, None].expand(-1, 1, candidates.shape[2])
        return candidates.gather(1, chosen).squeeze(1)


class Bcq(OfflineLearner):
    """See the module. As in the source, the autoencoder has no average: targets use it as it is."""

    config: BcqConfig
    policy: BcqPolicy
    averaged_policy: BcqPolicy

    def __init__(
        self, feature_dim: int, action_dim: int, config: BcqConfig | None = None, seed: int = 0
    ) -> None:
        """Make autoencoder, xi and critics.

        Args:
            feature_dim: Values of what is seen, F.
            action_dim: Values of an action, A.
            config: Settings; None: the defaults.
            seed: Of weights and `generator`.
        """
        config = config or BcqConfig()
        super().__init__(config, feature_dim, action_dim, seed)
        self.policy = BcqPolicy(feature_dim, action_dim, self.critics, config, seed)
        self.averaged_policy = deepcopy(self.policy)
        self.averaged_policy.critics = self.target_critics
        self.averaged_policy.vae = self.policy.vae
        self.averaged_policy.xi.requires_grad_(False)
        for name, network in (("vae", self.policy.vae), ("xi", self.policy.xi)):
            self._optimizers[name] = torch.optim.Adam(
                network.parameters(), config.learning_rate, fused=True
            )
        self._saved += ["policy", "averaged_policy"]
        self._targets.append(PolyakAverage(self.averaged_policy.xi, self.policy.xi))

    def _decide(self, observation: Observation, noise: Tensor | None) -> Tensor:
        return self.policy.act(observation[SEEN])

    def update(self, batch: Batch) -> Metrics:
        """Take one step of the autoencoder, then of critics and xi, see Learner."""
        self._check(batch)
        scaled = self.policy.normalize(batch.observation[SEEN])
        loss = self.policy.vae.loss(scaled, batch.action, self._latents(len(scaled)))
        self._step("vae", loss)
        return {"vae_loss": loss.item(), **super().update(batch)}

    @torch.no_grad()
    def _target(self, batch: Batch) -> Tensor:
        count = self.config.target_candidates
        following = batch.next_observation[SEEN].repeat_interleave(count, dim=0)
        action = self.averaged_policy.propose(following, self._latents(len(following)))
        q = self.target_critics(following, action)
        weight = self.config.minimum_weight
        value = weight * q.amin(dim=0) + (1.0 - weight) * q.amax(dim=0)
        best = value.reshape(-1, count).amax(dim=1)
        target: Tensor = batch.reward + batch.discount * best
        return target

    def _update_actor(self, batch: Batch) -> Metrics:
        features = batch.observation[SEEN]
        action = self.policy.propose(features, self._latents(len(features)))
        loss = -self._first_value(features, action).mean()
        self._step("xi", loss)
        self._update_targets()
        return {"actor_loss": loss.item()}

    def _latents(self, rows: int) -> Tensor:
        """Standard normal, (rows, 2 A)."""
        return torch.randn(rows, self.policy.vae.latent_dim, generator=self.generator)


class Choosing(FeatureModule):
    """A BcqPolicy on a prior's features; the noise is not used."""

    policy: BcqPolicy

    def decide(self, features: Tensor, noise: Tensor) -> Tensor:
        return self.policy.act(features)


def load_policy(data: Mapping[str, Any]) -> ModulePolicy:
    """See policy_file."""
    prior = rebuild_prior(data)
    config = BcqConfig(**data["sizes"]["bcq"])
    size = (prior.encoder.feature_dim, prior.action_dim)
    critics = CriticEnsemble(*size, config.hidden_dims, Bcq.critic_count, layer_norm=False)
    return load_module(Choosing(prior=prior, policy=BcqPolicy(*size, critics, config)), data)


def build(run: RunConfig, config: BcqConfig, env: Any) -> Method:
    """Build BCQ on the prior's frozen features of a recorded data set.

    Args:
        run: The run.
        config: Settings.
        env: The run's environment.

    Returns:
        The method, its policy untrained.
    """
    data = OfflineData(run, env)
    features = data.features
    learner = Bcq(features.dim, features.action_dim, config, run.seed)
    return data.method(learner, Choosing, bcq=vars(config).copy())
