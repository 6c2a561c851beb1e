"""Policy and value function of on-policy learners, on vectors, with or without a memory."""

import math
from dataclasses import dataclass

import gymnasium
import torch
from torch import Tensor, nn

from conure_core.errors import ConfigError, DataError
from conure_training.nn.mlp import mlp
from conure_training.nn.running_normalizer import RunningNormalizer
from conure_training.rl.on_policy.distributions import Categorical, Distribution, Gaussian

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
    begins every episode at 0.
    """

    def __init__(self, size: NetworkSize) -> None:
        super().__init__()
        self.size = size
        self.normalize = RunningNormalizer(size.observation)
        self.memory = nn.GRU(size.observation, size.memory) if size.memory else None
        width = size.memory or size.observation
        self.actor = mlp([width, *size.hidden, size.actions])
        self.critic = mlp([width, *size.hidden, 1])
        if not size.discrete:
            self.log_std = nn.Parameter(torch.zeros(size.actions))
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

    def features(self, observation: Tensor, lengths: tuple[int, ...]) -> Tensor:
        """Make the inputs of actor and critic.

        Args:
            observation: Shape (n, F), whole episodes end to end where there is a memory.
            lengths: Rows of each episode.

        Returns:
            x, shape (n, F), or (n, memory).
        """
        normalized: Tensor = self.normalize(observation)
        if self.memory is None:
            return normalized
        sequences = nn.utils.rnn.pack_sequence(
            list(normalized.split(lengths)), enforce_sorted=False
        )
        states, _ = self.memory(sequences)
        padded, _ = nn.utils.rnn.pad_packed_sequence(states, batch_first=True)
        return torch.cat([padded[index, :length] for index, length in enumerate(lengths)])

    def distribution(self, features: Tensor) -> Distribution:
        """pi(. | x) for features (n, ...)."""
        output = self.actor(features)
        if self.size.discrete:
            return Categorical(output)
        return Gaussian(output, self.log_std.exp().expand_as(output))

    def value(self, features: Tensor) -> Tensor:
        """V(x), shape (n,), for features (n, ...)."""
        value: Tensor = self.critic(features)[:, 0]
        return value

    def begin(self, count: int) -> Tensor:
        """The memory's state at the start of `count` episodes, (count, memory)."""
        return torch.zeros(count, self.size.memory)

    def act(
        self,
        observation: Tensor,
        memory: Tensor,
        generator: torch.Generator,
        noise_scale: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Choose one action in each of n environments.

        Args:
            observation: Shape (n, F).
            memory: What `begin` or the last step gave, (n, memory).
            generator: Draws the actions.
            noise_scale: 1 samples the policy, 0 takes the most likely action.

        Returns:
            Actions, (n, A), or (n,) if discrete; and the memory after this step.
        """
        distribution, memory = self.decide(observation, memory)
        return distribution.sample(generator, noise_scale), memory

    def decide(self, observation: Tensor, memory: Tensor) -> tuple[Distribution, Tensor]:
        """Give the distributions of the next actions in n environments.

        Args:
            observation: Shape (n, F).
            memory: See `act`.

        Returns:
            n distributions; and the memory after this step.
        """
        features = self.normalize(observation)
        if self.memory is not None:
            features, state = self.memory(features[None], memory[None])
            features, memory = features[0], state[0]
        return self.distribution(features), memory


def check_finite(values: Tensor, what: str) -> None:
    """Refuse to learn on from NaN or infinity.

    Args:
        values: Any tensor.
        what: Its name, for the message.

    Raises:
        DataError: Something in it is not finite.
    """
    if not math.isfinite(float(values.detach().abs().sum())):
        raise DataError(f"learning diverged: {what} is not finite; give a lower learning_rate")
