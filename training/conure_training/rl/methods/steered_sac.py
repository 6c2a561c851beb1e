"""DSRL: reinforcement learning over the noise of a generative policy that stays as it is."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from conure_training.nn.networks import CriticEnsemble, frozen, seeded
from conure_training.rl.actor_critic import Observation
from conure_training.rl.methods.latent_sac import LatentSac
from conure_training.rl.replay import Source


class SteeredSac(LatentSac):
    """The policy draws w ~ N(mean(features), std^2), the arm gets a = g(w; features) of a frozen generative policy g.

    Critics Q(s, a) learn on actions, so that demonstrations need no inversion. No gradient passes through g: critics of
    noise are distilled from them, Q_w(s, w) <- min_i Q_i(s, g(w; s)) at w ~ N(0, I), and the actor maximises those:

        alpha KL(pi || N(0, I)) - min_i Q_w,i(s, w)

    Source: Wagenmaker et al., DSRL, arXiv 2506.15799 (its noise-aliased form); the KL in place of a bound on |w| is
    ours, and makes the first rollouts those of g.
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
        self._optimizers["noise_critics"] = torch.optim.Adam(parameters, self.config.learning_rate, fused=True)

    def fit_normalizers(self, source: Source) -> None:
        super().fit_normalizers(source)
        self.noise_critics.normalize = deepcopy(self.critics.normalize)

    def _actor_loss(self, observation: Observation) -> tuple[Tensor, Tensor, Tensor]:
        seen = observation[self.critic_input]
        self._distil(observation)
        w, cost = self._propose_latent(observation)
        with frozen(self._weights("noise_critics")):
            q = self.noise_critics(seen, w).amin(dim=0)
        return (self.log_alpha.detach().exp() * cost - q).mean(), cost, q

    def _distil(self, observation: Observation) -> None:
        features, seen = observation["features"], observation[self.critic_input]
        w = self._noise(len(features), self.generator)
        with torch.no_grad():
            target = self._value(observation, self.prior.decode(w, features))
        loss = (self.noise_critics(seen, w) - target).square().mean(dim=1).sum()
        self._step("noise_critics", loss)
