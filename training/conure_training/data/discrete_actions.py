"""The arm's continuous actions as a table to choose from, for methods with discrete actions."""

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from conure_core.contract.action import ACTION_SIZE, GRIPPER, ROTATION, TRANSLATION
from conure_core.errors import ConfigError
from conure_sim.experts.motion import CLOSED, OPEN

Table = NDArray[np.float32]
"""One action a row, (n, 7), in [-1, 1]."""
LLOYD_STEPS = 50


def axis_actions(sizes: Sequence[float] = (1.0, 0.3)) -> Table:
    """List steps along one axis: x, y, z and the turn about the vertical, in both directions.

    Each is there with open and with closed gripper, and so is standing still.

    Args:
        sizes: Fractions of the largest step, in (0, 1].

    Returns:
        The table, 2 * (8 * len(sizes) + 1) rows.
    """
    axes = [*range(TRANSLATION.start, TRANSLATION.stop), ROTATION.stop - 1]
    rows = []
    for gripper in (CLOSED, OPEN):
        rows.append(_row(gripper))
        for axis in axes:
            for size in sizes:
                rows += [_row(gripper, axis, size), _row(gripper, axis, -size)]
    return np.array(rows, dtype=np.float32)


def cluster_actions(actions: NDArray[Any], count: int, seed: int) -> Table:
    """Find the centres of demonstrated actions by k-means, begun by k-means++.

    Args:
        actions: Shape (n, 7).
        count: Clusters; fewer where there are fewer different actions.
        seed: Of the first centres.

    Returns:
        The table, (count, 7).

    Source: Arthur and Vassilvitskii, k-means++, SODA 2007.
    """
    rows = np.asarray(actions, dtype=np.float64)
    rng = np.random.default_rng(seed)
    centres = rows[rng.integers(len(rows))][None]
    while len(centres) < count:
        distances = _square_distances(rows, centres).min(axis=1)
        if not distances.any():
            break
        chosen = rng.choice(len(rows), p=distances / distances.sum())
        centres = np.concatenate([centres, rows[chosen][None]])
    for _ in range(LLOYD_STEPS):
        labels = _square_distances(rows, centres).argmin(axis=1)
        for label in np.unique(labels):
            centres[label] = rows[labels == label].mean(axis=0)
    return centres.astype(np.float32)


def nearest(table: Table, actions: NDArray[Any]) -> NDArray[np.int64]:
    """Find the rows of a table that are nearest to actions.

    Args:
        table: Shape (k, 7).
        actions: Shape (n, 7).

    Returns:
        Their numbers, (n,).
    """
    rows = np.asarray(actions, dtype=np.float64)
    numbers: NDArray[np.int64] = _square_distances(rows, table.astype(np.float64)).argmin(axis=1)
    return numbers


class DiscreteActions(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment with the arm's actions, whose action is the number of a table's row.

    >>> env = DiscreteActions(gymnasium.make("conure/Lift-v0"), axis_actions())
    """

    def __init__(self, env: gymnasium.Env, table: Table) -> None:
        """Wrap an environment.

        Args:
            env: Its actions are the arm's, (7,).
            table: What can be chosen.

        Raises:
            ConfigError: The environment has other actions, or the table other columns.
        """
        super().__init__(env)
        if env.action_space.shape != (ACTION_SIZE,) or table.shape[1:] != (ACTION_SIZE,):
            raise ConfigError(
                f"expected actions of {ACTION_SIZE} numbers, got {env.action_space} and a table of"
                f" the shape {table.shape}"
            )
        self.table = table
        self.action_space = gymnasium.spaces.Discrete(len(table))

    def step(self, action: Any) -> Any:
        """Do the table's action of this number."""
        return self.env.step(self.table[int(action)].astype(np.float64))


def require_discrete(env: Any, who: str) -> int:
    """Count an environment's actions.

    Args:
        env: The environment.
        who: Names what chooses among them, for the message.

    Returns:
        How many there are.

    Raises:
        ConfigError: Its actions are continuous.
    """
    if not isinstance(env.action_space, gymnasium.spaces.Discrete):
        raise ConfigError(
            f"{who} chooses among discrete actions, this environment has {env.action_space}; wrap"
            " it in DiscreteActions"
        )
    return int(env.action_space.n)


def _row(gripper: float, axis: int = 0, size: float = 0.0) -> Iterable[float]:
    row = [0.0] * ACTION_SIZE
    row[axis] = size
    row[GRIPPER] = gripper
    return row


def _square_distances(rows: NDArray[Any], centres: NDArray[Any]) -> NDArray[Any]:
    """From each row to each centre, (n, k)."""
    distances: NDArray[Any] = np.square(rows[:, None] - centres[None]).sum(axis=2)
    return distances
