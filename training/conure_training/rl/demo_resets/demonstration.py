"""One demonstration as the states that it passed through."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import DataError
from conure_training.rl.on_policy.observations import Rows, take


@dataclass(frozen=True)
class Demonstration:
    """n steps of one episode; state i and observation i are those before action i."""

    observations: Rows
    """n + 1 rows of numpy's."""
    rewards: NDArray[np.float32]
    """Shape (n,)."""
    actions: tuple[Any, ...]
    """n of them, as the environment's `step` takes them."""
    seed: int
    """Of the reset before the first one."""
    states: tuple[Any, ...]
    """n + 1 of them, each what the environment's `restore_state` takes; none where it has none."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of that reset."""
    target: int = 0
    """Which of a scene's objects is the target, in the order of that reset."""

    def __len__(self) -> int:
        return len(self.rewards)

    def score(self, first: int = 0, last: int | None = None) -> float:
        """Sum the rewards of a stretch of steps.

        Args:
            first: Its first step.
            last: One past its last step; None: the demonstration's end.

        Returns:
            The undiscounted return.
        """
        return float(self.rewards[first:last].sum())

    def until_last_reward(self) -> "Demonstration":
        """Cut after the last reward. Raises: DataError where nothing is rewarded."""
        rewarded = np.flatnonzero(self.rewards)
        if not len(rewarded):
            raise DataError(
                f"the demonstration's {len(self)} steps earn no reward; give one that reaches one"
            )
        end = int(rewarded[-1]) + 1
        return replace(
            self,
            observations=take(self.observations, slice(end + 1)),
            rewards=self.rewards[:end],
            actions=self.actions[:end],
            states=self.states[: end + 1],
        )


def replay(
    env: Any,
    observation: NDArray[np.float32],
    actions: Iterable[Any],
    seed: int,
    keep_states: bool = True,
    rewards: int = 0,
) -> Demonstration:
    """Repeat a demonstration's actions, and keep every state.

    Args:
        env: At the demonstration's start.
        observation: Its observation there.
        actions: The demonstration's.
        seed: Of the reset that led there.
        keep_states: Whether the environment can save its states.
        rewards: Ends after so many rewards; 0: with the actions.

    Returns:
        The demonstration; it ends early where the episode does.
    """
    observations = [observation]
    states = [env.save_state()] if keep_states else []
    earned = []
    done = []
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        observations.append(observation)
        earned.append(reward)
        done.append(action)
        if keep_states:
            states.append(env.save_state())
        if terminated or truncated or np.count_nonzero(earned) == rewards > 0:
            break
    return Demonstration(
        observations=np.stack(observations).astype(np.float32),
        rewards=np.array(earned, np.float32),
        actions=tuple(done),
        seed=seed,
        states=tuple(states),
    )
