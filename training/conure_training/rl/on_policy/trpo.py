"""Trust region policy optimization.

    maximise E[r A]  subject to  E[KL(pi_old || pi)] <= delta

    step = sqrt(2 delta / g^T F^-1 g) F^-1 g,   g the gradient, F the KL's Hessian

F^-1 g comes from conjugate gradients on products F v, and the step is halved until the KL keeps its
limit and the objective improves. The value function is fitted by Adam.

Source: Schulman et al., Trust Region Policy Optimization, arXiv 1502.05477.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from conure_core.config.values import COUNT, COUNT_OR_NONE, POSITIVE, bounds
from conure_training.nn.divergence import lower, require_finite
from conure_training.rl.on_policy.distributions import Distribution
from conure_training.rl.on_policy.networks import ActorCriticNetwork
from conure_training.rl.on_policy.ppo import Metrics, Resumable, standardized
from conure_training.rl.on_policy.trajectories import Batch


@dataclass(frozen=True)
class TrpoConfig:
    """How TRPO updates."""

    max_kl: float = field(default=0.01, metadata=POSITIVE)
    """delta: mean KL from the old policy that a step may reach, nats."""
    damping: float = field(default=0.1, metadata=bounds(0.0))
    """Added to F's diagonal."""
    gradient_iterations: int = field(default=10, metadata=COUNT)
    """Iterations of conjugate gradients."""
    halvings: int = field(default=10, metadata=COUNT_OR_NONE)
    """Of the step, before the policy is left as it was."""
    value_rate: float = field(default=1e-3, metadata=POSITIVE)
    """Adam's learning rate for the value function."""
    value_epochs: int = field(default=5, metadata=COUNT)
    """Passes of the value function over an update's steps."""
    minibatch: int = field(default=512, metadata=COUNT)
    """Steps of a gradient of the value function."""


class Trpo(Resumable):
    """Updates a network by TRPO."""

    def __init__(self, network: ActorCriticNetwork, config: TrpoConfig, seed: int) -> None:
        """Make the optimizer of the value function.

        Args:
            network: Is updated in place.
            config: How.
            seed: Of the order of minibatches.
        """
        self.network = network
        self.config = config
        self.optimizer = torch.optim.Adam(network.critic.parameters(), config.value_rate)
        self.generator = torch.Generator().manual_seed(seed)

    def update(self, batch: Batch) -> Metrics:
        """Learn from the present policy's steps."""
        return {**self._improve_policy(batch), **self._fit_value(batch)}

    def _improve_policy(self, batch: Batch) -> Metrics:
        trained = batch.trained
        advantage = standardized(batch.advantage[trained])
        action = batch.action[trained]
        before = batch.log_prob[trained]
        weights = self.network.policy_parameters()

        def distribution() -> Distribution:
            features = self.network.features(batch.observation, batch.lengths)
            return self.network.distribution(features[trained])

        def objective(present: Distribution) -> Tensor:
            return ((present.log_prob(action) - before).exp() * advantage).mean()

        present = distribution()
        old = present.detached()
        gain = objective(present)
        require_finite(gain, "TRPO's objective", lower("method.trpo.max_kl", self.config.max_kl))
        gradient = _flat(torch.autograd.grad(gain, weights))
        kl_gradient = _flat(
            torch.autograd.grad(distribution().kl_from(old).mean(), weights, create_graph=True)
        )

        def fisher(vector: Tensor) -> Tensor:
            product = torch.autograd.grad(kl_gradient @ vector, weights, retain_graph=True)
            return _flat(product) + self.config.damping * vector

        direction = conjugate_gradient(fisher, gradient, self.config.gradient_iterations)
        curvature = float(direction @ fisher(direction))
        if curvature <= 0.0:
            return {"kl": 0.0, "surrogate": gain.item()}
        step = direction * (2.0 * self.config.max_kl / curvature) ** 0.5
        return self._search(weights, step, distribution, old, objective, gain.item())

    @torch.no_grad()
    def _search(
        self,
        weights: list[nn.Parameter],
        step: Tensor,
        distribution: Callable[[], Distribution],
        old: Distribution,
        objective: Callable[[Distribution], Tensor],
        gain: float,
    ) -> Metrics:
        """Take the longest of step, step / 2, ... that improves and keeps the KL's limit."""
        start = nn.utils.parameters_to_vector(weights)
        for halving in range(self.config.halvings + 1):
            nn.utils.vector_to_parameters(start + step * 0.5**halving, weights)
            present = distribution()
            kl = present.kl_from(old).mean().item()
            improved = objective(present).item()
            if kl <= self.config.max_kl and improved > gain:
                entropy = present.entropy().mean().item()
                return {"kl": kl, "surrogate": improved, "entropy": entropy}
        nn.utils.vector_to_parameters(start, weights)
        return {"kl": 0.0, "surrogate": gain, "entropy": old.entropy().mean().item()}

    def _fit_value(self, batch: Batch) -> Metrics:
        error = torch.zeros(())
        remedy = lower("method.trpo.value_rate", self.config.value_rate)
        whole_episodes = self.network.memory is not None
        for _ in range(self.config.value_epochs):
            parts = batch.minibatches(self.config.minibatch, self.generator, whole_episodes)
            for part in parts:
                if not part.trained.any():
                    continue
                with torch.no_grad():
                    features = self.network.features(part.observation, part.lengths)
                value = self.network.value(features[part.trained])
                error = (value - part.target[part.trained]).square().mean()
                require_finite(error, "the value function's error", remedy)
                self.optimizer.zero_grad(set_to_none=True)
                error.backward()
                self.optimizer.step()
        return {"value_error": error.item()}


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], target: Tensor, iterations: int
) -> Tensor:
    """Solve F x = b.

    Args:
        product: v -> F v, of a symmetric positive definite F.
        target: b, shape (n,).
        iterations: At most.

    Returns:
        x, shape (n,), nearly.
    """
    solution = torch.zeros_like(target)
    residual = target.clone()
    direction = residual.clone()
    error = residual @ residual
    for _ in range(iterations):
        if error < 1e-10:
            break
        moved = product(direction)
        length = error / (direction @ moved)
        solution += length * direction
        residual -= length * moved
        remaining = residual @ residual
        direction = residual + (remaining / error) * direction
        error = remaining
    return solution


def _flat(tensors: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])
