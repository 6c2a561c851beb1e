"""Policy and value function of on-policy learners, with or without a memory."""

import math
from dataclasses import dataclass
from typing import Any

import gymnasium
import torch
from torch import Tensor, nn

from conure_core.errors import ConfigError
from conure_training.nn.mlp import mlp
from conure_training.nn.running_normalizer import RunningNormalizer
from conure_training.rl.on_policy.distributions import Categorical, Distribution, Gaussian
from conure_training.rl.on_policy.observations import Rows

FIRST_SCALE = 0.01
"""Of the actor's last layer: the first policy is nearly the same everywhere."""


@dataclass(frozen=True)
class NetworkSize:
    """What networks are made from, picklable."""

    observation: int
    """Values of an observation, F."""
    actions: int
    """Values of an action, or how many discrete ones there are, A."""
    discrete: bool
    """Whether an action is one of A."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers of policy and value function."""
    memory: int = 0
    """Width of the GRU before both; 0: none."""
    initial_std: float = 1.0
    """Standard deviation of the first policy's continuous actions."""

    def make(self) -> "ActorCriticNetwork":
        """Make the network, untrained."""
        return ActorCriticNetwork(self)


@dataclass(frozen=True)
class Features:
    """What the networks make of n observations before they decide."""

    actor: Tensor
    """What the policy sees, (n, X)."""
    critic: Tensor
    """What the value function sees, (n, C)."""
    encoded: Tensor
    """The observations before a memory, (n, E)."""

    def __getitem__(self, index: Any) -> "Features":
        return Features(self.actor[index], self.critic[index], self.encoded[index])


def size_for(
    env: gymnasium.Env, hidden: tuple[int, ...] = (256, 256), memory: int = 0
) -> NetworkSize:
    """Choose the networks' size for an environment.

    Args:
        env: Its observations are vectors, its actions a box in [-1, 1] or discrete.
        hidden: Widths of the hidden layers.
        memory: Width of the GRU; 0: none.

    Returns:
        The size.

    Raises:
        ConfigError: Observations or actions are of another kind.
    """
    observation, action = env.observation_space, env.action_space
    if not isinstance(observation, gymnasium.spaces.Box) or len(observation.shape) != 1:
        raise ConfigError(f"expected observations that are vectors, got {observation}")
    if isinstance(action, gymnasium.spaces.Discrete):
        return NetworkSize(observation.shape[0], int(action.n), True, hidden, memory)
    if isinstance(action, gymnasium.spaces.Box) and len(action.shape) == 1:
        return NetworkSize(observation.shape[0], action.shape[0], False, hidden, memory)
    raise ConfigError(f"expected actions that are vectors or discrete, got {action}")


class ActorCriticNetwork(nn.Module):
    """pi(a | x) and V(x) of x = normalized observation, or of a GRU's state after it.

    Rows of several episodes lie end to end; `lengths` says how many belong to each. A memory
    begins every episode at 0. A child on other observations than vectors has its own `encode`.
    """

    def __init__(self, size: NetworkSize) -> None:
        super().__init__()
        self.size = size
        self.normalize = RunningNormalizer(size.observation)
        self._add_heads(size.observation)

    def _add_heads(self, encoded: int, critic: int = 0) -> None:
        """Make memory, actor and critic.

        Args:
            encoded: Values that `encode` gives.
            critic: Values that the critic sees; 0: what the actor sees.
        """
        size = self.size
        self.memory = nn.GRU(encoded, size.memory) if size.memory else None
        width = size.memory or encoded
        self.actor = mlp([width, *size.hidden, size.actions])
        self.critic = mlp([critic or width, *size.hidden, 1])
        if not size.discrete:
            log_std = math.log(size.initial_std)
            self.log_std = nn.Parameter(torch.full((size.actions,), log_std))
        last = self.actor[-1]
        with torch.no_grad():
            last.weight.mul_(FIRST_SCALE)  # type: ignore[operator]
            last.bias.zero_()  # type: ignore[operator]

    def policy_parameters(self) -> list[nn.Parameter]:
        """All weights that the policy depends on."""
        parts: list[nn.Module] = [self.actor]
        if self.memory is not None:
            parts.append(self.memory)
        weights = [weight for part in parts for weight in part.parameters()]
        return weights if self.size.discrete else [*weights, self.log_std]

    def update_normalizers(self, observation: Rows) -> None:
        """Scale inputs by these rows too."""
        self.normalize.update(observation)

    def perceive(self, observation: Rows) -> Rows:
        """Make of what environments give, n rows, what the networks see and episodes hold."""
        return observation

    def command(self, observation: Rows, action: Tensor) -> Tensor:
        """Make of the policy's actions what environments get.

        Args:
            observation: As perceived, n rows.
            action: Shape (n, A), or (n,) if discrete.

        Returns:
            Shape (n, A), in [-1, 1], or the discrete actions.
        """
        return action if self.size.discrete else action.clamp(-1.0, 1.0)

    def encode(self, observation: Rows) -> Tensor:
        """Turn n rows into what memory, or actor and critic, see, (n, E)."""
        encoded: Tensor = self.normalize(observation)
        return encoded

    def _critic_input(self, observation: Rows, actor: Tensor) -> Tensor:
        """What the value function sees, (n, C), of the observation or of the actor's input."""
        return actor

    def features(self, observation: Rows, lengths: tuple[int, ...]) -> Features:
        """Make the inputs of actor and critic.

        Args:
            observation: n rows, whole episodes end to end where there is a memory.
            lengths: Rows of each episode.

        Returns:
            The features of each row.
        """
        encoded = self.encode(observation)
        actor = self.remember(encoded, lengths)
        return Features(actor, self._critic_input(observation, actor), encoded)

    def remember(self, encoded: Tensor, lengths: tuple[int, ...]) -> Tensor:
        """Give the memory after each row; without one the rows themselves.

        Args:
            encoded: From `encode`, whole episodes end to end, (n, E).
            lengths: Rows of each episode.

        Returns:
            What the actor sees, (n, memory) or (n, E).
        """
        if self.memory is None:
            return encoded
        sequences = nn.utils.rnn.pack_sequence(list(encoded.split(lengths)), enforce_sorted=False)
        states, _ = self.memory(sequences)
        padded, _ = nn.utils.rnn.pad_packed_sequence(states, batch_first=True)
        return torch.cat([padded[index, :length] for index, length in enumerate(lengths)])

    def distribution(self, features: Features) -> Distribution:
        """pi(. | x), row by row."""
        return self.distribution_of(features.actor)

    def distribution_of(self, actor: Tensor) -> Distribution:
        """pi(. | x) for what the actor sees, (n, X)."""
        output = self.actor(actor)
        if self.size.discrete:
            return Categorical(output)
        return Gaussian(output, self.log_std.exp().expand_as(output))

    def value(self, features: Features) -> Tensor:
        """V(x), shape (n,)."""
        value: Tensor = self.critic(features.critic)[:, 0]
        return value

    def auxiliary_loss(self, observation: Rows, encoded: Tensor) -> Tensor | None:
        """What else these rows teach, weighted; None: nothing.

        Args:
            observation: n rows.
            encoded: What `encode` makes of them, (n, E).

        Returns:
            A scalar.
        """
        return None

    def begin(self, count: int) -> Tensor:
        """The memory's state at the start of `count` episodes, (count, memory)."""
        return torch.zeros(count, self.size.memory)

    def act(
        self,
        observation: Rows,
        memory: Tensor,
        generator: torch.Generator,
        noise_scale: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Choose one action in each of n environments.

        Args:
            observation: As perceived, n rows.
            memory: What `begin` or the last step gave, (n, memory).
            generator: Draws the actions.
            noise_scale: 1 samples the policy, 0 takes the most likely action.

        Returns:
            Actions, (n, A), or (n,) if discrete; and the memory after this step.
        """
        distribution, memory = self.decide(observation, memory)
        return distribution.sample(generator, noise_scale), memory

    def decide(self, observation: Rows, memory: Tensor) -> tuple[Distribution, Tensor]:
        """Give the distributions of the next actions in n environments.

        Args:
            observation: As perceived, n rows.
            memory: See `act`.

        Returns:
            n distributions; and the memory after this step.
        """
        encoded = self.encode(observation)
        if self.memory is None:
            return self.distribution_of(encoded), memory
        states, after = self.memory(encoded[None], memory[None])
        return self.distribution_of(states[0]), after[0]
