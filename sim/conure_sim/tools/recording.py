"""One episode as pictures: what cameras saw, what was done, whether it succeeded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.contract.action import ACTION_SIZE
from conure_core.types import Array, Image
from conure_sim.envs.viewpoints import viewpoint

Actor = Callable[[dict[str, NDArray[Any]]], NDArray[Any]]
"""An action (7,) for an observation."""
Driver = Callable[[Any], Actor]
"""The actor for an environment's present episode; called after its reset."""


@dataclass(frozen=True)
class Recording:
    """An episode of n steps. `frames`: by camera, n + 1 images (h, w, 3) uint8, sRGB, the first
    before any step.
    """

    frames: dict[str, list[Image]]
    actions: Array
    success: bool
    target: str

    @property
    def steps(self) -> int:
        """How many steps it took."""
        return len(self.actions)


def record(env: Any, driver: Driver, seed: int, cameras: Sequence[str], size_px: int) -> Recording:
    """Run one episode from this seed. Frames hold no sensor noise and no delay: they show what was
    there.

    Raises: ConfigError for an unknown camera.
    """
    observation, info = env.reset(seed=seed)
    actor, actions, done = driver(env), [], False
    views = {name: viewpoint(env, name, size_px) for name in cameras}
    frames: dict[str, list[Image]] = {
        name: [env.world.view(camera).image] for name, camera in views.items()
    }
    while not done:
        action = np.asarray(actor(observation), dtype=np.float64)
        observation, _, terminated, truncated, info = env.step(action)
        actions.append(action)
        for name, camera in views.items():
            frames[name].append(env.world.view(camera).image)
        done = terminated or truncated
    return Recording(
        frames, np.array(actions).reshape(-1, 7), bool(info["is_success"]), str(info["target"])
    )


def expert(env: Any) -> Actor:
    """The task's scripted expert."""
    acting = env.task.expert(env.scene)
    return lambda observation: np.asarray(acting.action())


def random_actions(seed: int) -> Driver:
    """Actions drawn evenly from all that there are."""
    rng = np.random.default_rng(seed)
    return lambda env: lambda observation: rng.uniform(-1.0, 1.0, ACTION_SIZE)
