"""A corridor in seconds: walk from the left end to the right one; only arriving is rewarded."""

import os
import signal
from pathlib import Path

import gymnasium
import numpy as np

LENGTH = 8


class Corridor(gymnasium.Env):
    """Places 0 to LENGTH, seen as (place, noise) / LENGTH; +1 at LENGTH, which ends the episode.

    Discrete: 0 left, 1 right. Continuous: right if the value is positive. `limit` steps at most.
    """

    def __init__(self, discrete: bool = True, limit: int = 24) -> None:
        self.limit = limit
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = (
            gymnasium.spaces.Discrete(2)
            if discrete
            else gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
        )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.time = 0, 0
        return self.observe(), {}

    def step(self, action):
        right = action == 1 if isinstance(action, int) else action[0] > 0
        self.place = max(0, self.place + (1 if right else -1))
        self.time += 1
        arrived = self.place == LENGTH
        truncated = not arrived and self.time >= self.limit
        return self.observe(), float(arrived), arrived, truncated, {"is_success": arrived}

    def observe(self):
        return np.array([self.place, self.np_random.uniform()], np.float32) / LENGTH

    def save_state(self):
        return self.place, self.time

    def restore_state(self, state):
        self.place, self.time = state


def make_corridors(discrete: bool, count: int) -> list[Corridor]:
    return [Corridor(discrete) for _ in range(count)]


class DiesOnce:
    """Makes corridors; the first process that does dies."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __call__(self, count: int) -> list[Corridor]:
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return make_corridors(True, count)
