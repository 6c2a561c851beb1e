"""Prioritized replay of one's own steps and of demonstrations, which are never given up.

    P(i) = p_i^alpha / sum_k p_k^alpha,    p_i = |error_i| + offset

Source: Schaul et al., Prioritized Experience Replay, arXiv 1511.05952; the demonstrations' larger
offset: Hester et al., Deep Q-learning from Demonstrations, arXiv 1704.03732.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conure_core.errors import DataError
from conure_training.rl.dqfd.config import DqfdConfig
from conure_training.rl.dqfd.sum_tree import SumTree
from conure_training.rl.replay import Batch, Episode, Field, MixedReplay, Replay, ReplayConfig

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class PrioritizedBatch(Batch):
    """B transitions with both returns. `reward`, `next_observation` and `discount` are those over
    up to n steps.
    """

    one_step_reward: Tensor
    """(B,)."""
    one_step_observation: dict[str, Tensor]
    """By name, (B, ...): one step later."""
    one_step_discount: Tensor
    """(B,): gamma, or 0 where the episode terminated with this step."""
    demonstrated: Tensor
    """(B,), bool."""
    density: Tensor
    """(B,): N times the probability of being drawn, N the transitions that could have been."""
    report: Callable[[Tensor], None]
    """Takes |error|, (B,), as the priorities of these transitions."""


class TransitionStore(Replay):
    """A replay whose rows also hold their single step."""

    def __init__(self, fields: Mapping[str, Field], config: ReplayConfig) -> None:
        super().__init__(fields, 1, config)
        self._columns["reward"] = torch.zeros(config.capacity)
        self._columns["one_step_discount"] = torch.zeros(config.capacity)

    def store(self, episode: Episode) -> Rows:
        """Store an episode; the rows (T + 1,) that it takes, the last without a transition. Raises:
        DataError, see Replay.add.
        """
        length = len(episode.reward)
        rows = (self._next_row + torch.arange(length + 1)) % self.config.capacity
        self.add(episode)
        discount = torch.full((length,), self.config.gamma)
        if episode.terminated:
            discount[-1] = 0.0
        self._columns["reward"][rows[:-1]] = episode.reward.float()
        self._columns["one_step_discount"][rows[:-1]] = discount
        return rows.numpy()

    def take(self, rows: Tensor) -> dict[str, Any]:
        """The transitions of these rows, as fields of a PrioritizedBatch."""
        following = (rows + 1) % self.config.capacity
        later = (rows + self._columns["steps"][rows]) % self.config.capacity
        return {
            "observation": self._observed(rows),
            "action": self._columns["action"][rows],
            "reward": self._columns["return"][rows],
            "next_observation": self._observed(later),
            "discount": self._columns["discount"][rows],
            "one_step_reward": self._columns["reward"][rows],
            "one_step_observation": self._observed(following),
            "one_step_discount": self._columns["one_step_discount"][rows],
        }

    def _observed(self, rows: Tensor) -> dict[str, Tensor]:
        return {name: column[rows] for name, column in self._observations.items()}


class PrioritizedReplay(MixedReplay):
    """Demonstrations and own steps behind one sum tree: the share of each in a batch follows from
    the priorities, unless half is asked for.

    Leaves of the tree: the demonstrations' rows, then the ring of own ones.
    """

    online: TransitionStore
    demonstrations: TransitionStore

    def __init__(
        self,
        fields: Mapping[str, Field],
        episodes: list[Episode],
        config: DqfdConfig,
        capacity: int,
    ) -> None:
        """Store the demonstrations.

        Args:
            fields: Of the observations.
            episodes: The demonstrations, their actions numbers, (T, 1).
            config: How they are used; exponents and offsets.
            capacity: Rows of own steps, of which the oldest give way.

        Raises:
            DataError: A demonstration does not fit.
        """
        kept = [] if config.demonstrations in ("prefilled", "none") else episodes
        rows = sum(len(episode.reward) + 1 for episode in kept)
        super().__init__(
            TransitionStore(fields, _store_config(config, capacity)),
            TransitionStore(fields, _store_config(config, max(2, rows + 1))),
        )
        self.settings = config
        self.first_own = self.demonstrations.config.capacity
        self.tree = SumTree(self.first_own + capacity)
        self.largest_error = 1.0
        for episode in kept:
            self._enter(self.demonstrations.store(episode), config.demonstration_offset)
        if config.demonstrations == "prefilled":
            for episode in episodes:
                self.add(episode)

    def add(self, episode: Episode) -> None:
        """Store an episode of the learner's own; it gets the largest priority there was."""
        rows = self.online.store(episode)
        self._enter(rows + self.first_own, self.settings.own_offset)

    def sample(self, batch_size: int, generator: torch.Generator) -> PrioritizedBatch:
        """Draw transitions by priority, one from each of B equal parts of the sum.

        Args:
            batch_size: Transitions, B.
            generator: All randomness, on the CPU.

        Returns:
            The transitions.

        Raises:
            DataError: The replay is empty.
        """
        if not self.tree.total:
            raise DataError("the replay is empty; add an episode before sampling")
        draws = torch.rand(batch_size, generator=generator, dtype=torch.float64).numpy()
        shown, own = len(self.demonstrations), len(self.online)
        if self.settings.demonstrations == "mixed" and shown and own:
            split = self.tree.prefix(self.first_own)
            half = batch_size // 2
            leaves = np.concatenate(
                [
                    self._draw(draws[:half], 0.0, split),
                    self._draw(draws[half:], split, self.tree.total),
                ]
            )
            # Of each half, N P is relative to its own sum.
            sums = np.where(np.arange(batch_size) < half, split, self.tree.total - split)
            counts = np.where(np.arange(batch_size) < half, shown, own)
            density = counts * self.tree.values[leaves] / sums
        else:
            leaves = self._draw(draws, 0.0, self.tree.total)
            density = (shown + own) * self.tree.values[leaves] / self.tree.total
        return self._take(leaves, density)

    def rows(self, name: str) -> Tensor:
        """Every demonstrated observation of that name, (n, ...); own ones where nothing is."""
        store = self.demonstrations if len(self.demonstrations) else self.online
        return store.rows(name)

    def priorities(self) -> NDArray[np.float64]:
        """p_i^alpha of every leaf; 0 where no transition is."""
        return self.tree.values.copy()

    def state_dict(self) -> dict[str, Any]:
        """Own steps and all priorities; the demonstrations are read again."""
        return {
            "online": self.online.state_dict(),
            "priorities": torch.from_numpy(self.priorities()),
            "largest_error": self.largest_error,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become the replay that wrote `state`. Raises: DataError if it is of another make."""
        values = state["priorities"].numpy()
        if len(values) != self.tree.size:
            raise DataError(
                f"this replay has {self.tree.size} priorities, the saved one {len(values)}; give"
                " the same demonstrations and capacity"
            )
        self.online.load_state_dict(state["online"])
        self.tree = SumTree(self.tree.size)
        self.tree.set(np.arange(len(values)), values)
        self.largest_error = state["largest_error"]

    def _enter(self, leaves: Rows, offset: float) -> None:
        values = np.full(len(leaves), (self.largest_error + offset) ** self._alpha)
        values[-1] = 0.0
        self.tree.set(leaves, values)

    def _draw(self, draws: NDArray[np.float64], low: float, high: float) -> Rows:
        parts = (np.arange(len(draws)) + draws) / len(draws)
        return self.tree.find(low + parts * (high - low))

    def _take(self, leaves: Rows, density: NDArray[np.float64]) -> PrioritizedBatch:
        chosen = torch.from_numpy(leaves)
        demonstrated = chosen < self.first_own
        shown = self.demonstrations.take(chosen[demonstrated])
        own = self.online.take(chosen[~demonstrated] - self.first_own)
        order = torch.cat([demonstrated.nonzero()[:, 0], (~demonstrated).nonzero()[:, 0]])
        return PrioritizedBatch(
            **_merge(shown, own, order.argsort()),
            demonstrated=demonstrated,
            density=torch.from_numpy(density).float(),
            report=lambda errors: self._report(leaves, errors),
        )

    def _report(self, leaves: Rows, errors: Tensor) -> None:
        found = errors.double().numpy()
        offsets = np.where(
            leaves < self.first_own, self.settings.demonstration_offset, self.settings.own_offset
        )
        self.tree.set(leaves, (found + offsets) ** self._alpha)
        self.largest_error = max(self.largest_error, float(found.max()))

    @property
    def _alpha(self) -> float:
        return self.settings.priority_exponent


def _store_config(config: DqfdConfig, capacity: int) -> ReplayConfig:
    return ReplayConfig(capacity, config.n_step, config.gamma)


def _merge(first: Mapping[str, Any], second: Mapping[str, Any], back: Tensor) -> dict[str, Any]:
    """Columns of both, one below the other, in the order `back`."""
    merged: dict[str, Any] = {}
    for name, value in first.items():
        if isinstance(value, Mapping):
            merged[name] = _merge(value, second[name], back)
        else:
            merged[name] = torch.cat([value, second[name]])[back]
    return merged
