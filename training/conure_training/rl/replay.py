"""One replay buffer for every learner: whole episodes in, n-step transitions out.

Every observation is stored once. What a step bootstraps from is a later row of its own episode,
found when the episode is added, so that sampling is a handful of gathers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from conure_core.errors import ConfigError, DataError


@dataclass(frozen=True)
class Field:
    """Shape of one row and type of one named observation, e.g. Field((48, 48, 3), torch.uint8) for
    an image.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class ReplayConfig:
    """Observations kept, and the discounted return that a sampled transition carries."""

    capacity: int = 50_000
    """Observations; the oldest give way."""
    n_step: int = 5
    """Steps whose rewards are summed before the critics' value is taken."""
    gamma: float = 0.97
    """Discount of a step."""

    def __post_init__(self) -> None:
        if self.capacity < 2 or self.n_step < 1 or not 0.0 <= self.gamma <= 1.0:
            raise ConfigError(
                f"a replay needs capacity >= 2, n_step >= 1 and gamma in [0, 1], not {self}"
            )


@dataclass(frozen=True)
class Episode:
    """T steps of one episode, in order.

    observations: by name, (T + 1, ...): the one before every action and the one after the last.
    action: (T, A). reward: (T,). terminated: True if the last state has no future (success), False
    if the episode was only cut off, so that its last observation is still bootstrapped from.
    """

    observations: Mapping[str, Tensor]
    action: Tensor
    reward: Tensor
    terminated: bool


@dataclass(frozen=True)
class Batch:
    """B sampled transitions over k <= n steps, k = n except near the end of an episode.

    observation, next_observation: by name, (B, ...), k steps apart. action: (B, A), the first of
    the k. reward: (B,), sum of gamma^i r_i, i < k. discount: (B,), gamma^k, or 0 where the episode
    terminated within k. The last `online` rows are the learner's own, the ones before them
    demonstrated; None: nothing was mixed.
    """

    observation: dict[str, Tensor]
    action: Tensor
    reward: Tensor
    next_observation: dict[str, Tensor]
    discount: Tensor
    online: int | None = None

    def own_observation(self) -> dict[str, Tensor]:
        """The observations of the learner's own rows alone."""
        own = len(self.reward) if self.online is None else self.online
        return {name: value[len(value) - own :] for name, value in self.observation.items()}

    def named_tensors(self) -> dict[str, Tensor]:
        """Everything in the batch under the name that an error message uses."""
        following = {f"next {name}": value for name, value in self.next_observation.items()}
        own = {"action": self.action, "reward": self.reward, "discount": self.discount}
        return {**self.observation, **following, **own}


class Source(Protocol):
    """What batches are drawn from, all randomness from the given generator (on the CPU)."""

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draw a batch.

        Args:
            batch_size: Transitions, B.
            generator: All randomness, on the CPU.

        Returns:
            The transitions.
        """

    def rows(self, name: str) -> Tensor:
        """Every stored observation of that name, (n, ...)."""


def n_step_returns(
    reward: Tensor, terminated: bool, n_step: int, gamma: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the n-step return of every step of an episode.

    Args:
        reward: Shape (T,).
        terminated: The episode ended by itself, and bootstraps from nothing at its end.
        n_step: Steps whose rewards are summed, fewer near the end.
        gamma: Discount of a step, in [0, 1].

    Returns:
        Return, discount of the bootstrapped value (both float32), and number of steps to the
        observation that it is taken from (int64), each (T,).

    Source: Sutton & Barto, Reinforcement Learning, 2nd ed., eq. 7.1.
    """
    length = reward.shape[0]
    steps = (length - torch.arange(length)).clamp(max=n_step)
    weights = gamma ** torch.arange(n_step, dtype=torch.float64)
    padding = torch.zeros(n_step - 1, dtype=torch.float64)
    padded = torch.cat([reward.double(), padding])
    returns = padded.unfold(0, n_step, 1) @ weights
    discount = gamma ** steps.double()
    if terminated:
        discount[-n_step:] = 0.0
    return returns.float(), discount.float(), steps


class Replay:
    """Ring of observations in preallocated tensors; the oldest rows give way to new episodes.

    Example:
        replay = Replay({"features": Field((128,)), "state": Field((40,))}, action_dim=7)
        replay.add(episode)
        batch = replay.sample(256, torch.Generator().manual_seed(0))
    """

    def __init__(
        self,
        fields: Mapping[str, Field],
        action_dim: int,
        config: ReplayConfig | None = None,
        device: str = "cpu",
    ) -> None:
        self.config = config or ReplayConfig()
        self.device = device
        rows = self.config.capacity
        self._observations = {
            name: torch.zeros((rows, *field.shape), dtype=field.dtype, device=device)
            for name, field in fields.items()
        }
        self._columns = {
            "action": torch.zeros(rows, action_dim, device=device),
            "return": torch.zeros(rows, device=device),
            "discount": torch.zeros(rows, device=device),
            # 0: the last observation of an episode
            "steps": torch.zeros(rows, dtype=torch.int64, device=device),
        }
        self._next_row = 0
        self._filled = 0
        self._starts = torch.zeros(0, dtype=torch.int64, device=device)

    def __len__(self) -> int:
        """Transitions that can be sampled."""
        return self._starts.shape[0]

    def add(self, episode: Episode) -> None:
        """Store an episode. Raises: DataError if it is misshapen, not finite, or longer than the
        buffer.
        """
        self._check(episode)
        length = episode.action.shape[0]
        offsets = torch.arange(length + 1, device=self.device)
        rows = (self._next_row + offsets) % self.config.capacity
        for name, column in self._observations.items():
            column[rows] = episode.observations[name].to(self.device, column.dtype)
        reward = episode.reward.cpu()
        returns, discount, steps = n_step_returns(
            reward, episode.terminated, self.config.n_step, self.config.gamma
        )
        values = {"action": episode.action, "return": returns, "discount": discount, "steps": steps}
        for name, value in values.items():
            column = self._columns[name]
            column[rows[:-1]] = value.to(self.device, column.dtype)
        self._columns["steps"][rows[-1]] = 0
        self._next_row = (self._next_row + length + 1) % self.config.capacity
        self._filled = min(self._filled + length + 1, self.config.capacity)
        self._starts = self._columns["steps"].nonzero().squeeze(1)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draw transitions uniformly with replacement.

        Args:
            batch_size: Transitions, B.
            generator: All randomness, on the CPU.

        Returns:
            The transitions, on the replay's device.

        Raises:
            DataError: The replay is empty.
        """
        if not len(self):
            raise DataError("the replay is empty; add an episode before sampling")
        return self.transitions(torch.randint(len(self), (batch_size,), generator=generator))

    def transitions(self, chosen: Tensor) -> Batch:
        """Give these transitions, numbered in the order of the rows, shape (B,)."""
        rows = self._starts[chosen.to(self.device)]
        later = (rows + self._columns["steps"][rows]) % self.config.capacity
        return Batch(
            {name: column[rows] for name, column in self._observations.items()},
            self._columns["action"][rows],
            self._columns["return"][rows],
            {name: column[later] for name, column in self._observations.items()},
            self._columns["discount"][rows],
        )

    def rows(self, name: str) -> Tensor:
        """Every stored observation of that name, (n, ...)."""
        return self._observations[name][: self._filled]

    def state_dict(self) -> dict[str, Any]:
        """Everything that sampling depends on; only filled rows take space."""
        return {
            "observations": {name: self.rows(name).clone() for name in self._observations},
            "columns": {
                name: column[: self._filled].clone() for name, column in self._columns.items()
            },
            "next_row": self._next_row,
            "config": vars(self.config).copy(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become the buffer that wrote `state`. Raises: DataError if it held other fields or
        another config.
        """
        theirs = _layout_of(_columns_of(state))
        ours = _layout_of(self._observations | self._columns)
        if theirs != ours or state["config"] != vars(self.config):
            raise DataError(
                f"this replay holds {ours}, {self.config}; the saved one {theirs},"
                f" {state['config']}"
            )
        self._columns["steps"].zero_()
        for name, saved in _columns_of(state).items():
            (self._observations | self._columns)[name][: saved.shape[0]] = saved.to(self.device)
            self._filled = saved.shape[0]
        self._next_row = state["next_row"]
        self._starts = self._columns["steps"].nonzero().squeeze(1)

    def _check(self, episode: Episode) -> None:
        length = episode.action.shape[0]
        if not 1 <= length < self.config.capacity:
            raise DataError(
                f"an episode of {length} steps does not fit a replay of {self.config.capacity} rows"
            )
        if set(episode.observations) != set(self._observations):
            raise DataError(
                f"the episode has {sorted(episode.observations)}, the replay"
                f" {sorted(self._observations)}"
            )
        for name, column in self._observations.items():
            _check_tensor(name, episode.observations[name], (length + 1, *column.shape[1:]))
        _check_tensor("action", episode.action, (length, *self._columns["action"].shape[1:]))
        _check_tensor("reward", episode.reward, (length,))


def _columns_of(state: Mapping[str, Any]) -> dict[str, Tensor]:
    return {**state["observations"], **state["columns"]}


def _layout_of(columns: Mapping[str, Tensor]) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shape of one row and type of every column."""
    return {name: (tuple(column.shape[1:]), column.dtype) for name, column in columns.items()}


def _check_tensor(name: str, value: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(value.shape) != shape:
        raise DataError(f"the episode's {name} has shape {tuple(value.shape)}; expected {shape}")
    if value.is_floating_point() and not bool(torch.isfinite(value).all()):
        raise DataError(f"the episode's {name} is not finite; drop the episode")


class MixedReplay:
    """Batches of which a fixed share comes from demonstrations, all of it until something online is
    there.

    Source: Ball et al., RLPD, ICML 2023 (half and half, "symmetric sampling").
    """

    def __init__(
        self, online: Replay, demonstrations: Source, demonstration_share: float = 0.5
    ) -> None:
        if not 0.0 <= demonstration_share <= 1.0:
            raise ConfigError(
                f"demonstration_share is {demonstration_share}; expected a number from 0 to 1"
            )
        self.online = online
        self.demonstrations = demonstrations
        self.demonstration_share = demonstration_share

    def add(self, episode: Episode) -> None:
        """Store an episode of the learner's own."""
        self.online.add(episode)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draw a batch, its demonstrated rows first.

        Args:
            batch_size: Transitions, B.
            generator: All randomness, on the CPU.

        Returns:
            The transitions; all are demonstrated while nothing online is stored.

        Raises:
            DataError: A replay that rows are due from is empty.
        """
        demonstrated = batch_size
        if len(self.online):
            demonstrated = round(batch_size * self.demonstration_share)
        online = batch_size - demonstrated
        batch = sample_both(self.demonstrations, demonstrated, self.online, online, generator)
        return replace(batch, online=online) if online and demonstrated else batch

    def rows(self, name: str) -> Tensor:
        """Every demonstrated observation of that name, (n, ...); online ones would move as training
        goes on.
        """
        return self.demonstrations.rows(name)

    def state_dict(self) -> dict[str, Any]:
        """The online buffer; the demonstrations are rebuilt from their data set."""
        return self.online.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises: DataError if the online buffer is of another make."""
        self.online.load_state_dict(state)


def sample_both(
    first: Source,
    first_count: int,
    second: Source,
    second_count: int,
    generator: torch.Generator,
) -> Batch:
    """Draw one batch from two sources; one that nothing is due from may be empty.

    Args:
        first: Its transitions come first.
        first_count: How many.
        second: Has the same observations.
        second_count: How many.
        generator: All randomness, on the CPU.
    """
    if not second_count:
        return first.sample(first_count, generator)
    if not first_count:
        return second.sample(second_count, generator)
    drawn = first.sample(first_count, generator)
    return _join_batches(drawn, second.sample(second_count, generator))


def _join_batches(first: Batch, second: Batch) -> Batch:
    return Batch(
        _join_columns(first.observation, second.observation),
        torch.cat([first.action, second.action]),
        torch.cat([first.reward, second.reward]),
        _join_columns(first.next_observation, second.next_observation),
        torch.cat([first.discount, second.discount]),
    )


def _join_columns(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.cat([first[name], second[name]]) for name in first}
