"""Demonstrated episodes as trajectories of the privileged state, and what a discriminator sees."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.errors import DataError
from conure_training.data.demonstrations import load_demonstrations, require_state
from conure_training.rl.config import RunConfig
from conure_training.rl.on_policy.trajectories import Trajectory

OBJECT_PARTS = ("objects", "fixtures", "container")
"""Parts of the privileged state, see `state_layout`. Objects have their place relative to the tool
among their values; joints, fingers and actions are not seen.
"""


@dataclass(frozen=True)
class StateView:
    """Rows of each step: the objects after it, and by how much they changed; perhaps the arm too.

    Without the change, staying in any demonstrated place looks demonstrated.

    Source of rows without actions: Torabi et al., Generative Adversarial Imitation from
    Observation, arXiv 1807.06158.
    """

    layout: Mapping[str, slice]
    """Where each part of the state lies."""
    arm: bool = False
    """Whether rows hold proprioception and action too."""

    def __call__(self, trajectory: Trajectory) -> NDArray[np.float32]:
        """Shape (T, F)."""
        names = ["proprio", *OBJECT_PARTS] if self.arm else OBJECT_PARTS
        seen = np.concatenate(
            [trajectory.observation[:, self.layout[name]] for name in names], axis=1
        )
        parts = [seen[1:], np.diff(seen, axis=0)]
        if self.arm:
            parts.append(np.clip(trajectory.action, -1.0, 1.0))
        return np.concatenate(parts, axis=1, dtype=np.float32)


def load_trajectories(run: RunConfig, env: Any, count: int) -> list[Trajectory]:
    """Read the first successful episodes of the run's task.

    Args:
        run: Its task, and the folder of demonstrations.
        env: Its environment, whose observation is the privileged state.
        count: How many.

    Returns:
        The episodes, in the order of the folder.

    Raises:
        DataError: There are fewer, or they hold no state, or a state of another environment.
    """
    folder, task = Path(run.demos), run.task
    data = load_demonstrations(folder, images=False)
    needs = f"{folder}: method={run.method.name} with the arm {run.arm} imitates"
    require_state(data, task, env.observation_space.shape[0], needs)
    found = []
    for index in np.flatnonzero([data.tasks[number] == task for number in data.task]):
        steps = data.steps_of(index)
        if data.reward[steps][-1] > 0:
            found.append(
                Trajectory(
                    observation=data.states_of(index),
                    action=data.action[steps],
                    reward=data.reward[steps],
                    terminated=True,
                )
            )
    if len(found) < count:
        raise DataError(
            f"{folder} holds {len(found)} successful episodes of {task}, method.trajectories asks"
            f" for {count}; give fewer, or collect more by conure demos episodes.{task}={count}"
        )
    return found[:count]
