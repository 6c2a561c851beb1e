"""Record one episode: images of cameras, actions, success."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conure_core.contract.action import ACTION_SIZE
from conure_core.types import Array, Image
from conure_sim.envs.rollout import Driver, Transition, rollout
from conure_sim.envs.viewpoints import viewpoint
from conure_sim.vision.camera import AnyCamera


@dataclass(frozen=True)
class Recording:
    """An episode of n steps."""

    frames: dict[str, list[Image]]
    """For each camera, n + 1 images (h, w, 3) uint8, sRGB, the first before any step."""
    actions: Array
    """(n, 7), in [-1, 1]."""
    success: bool
    target: str
    """The name of what the reward was about."""

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.actions)


def record(
    env: Any,
    driver: Driver,
    seed: int,
    cameras: Sequence[str],
    size_px: int,
) -> Recording:
    """Record one episode. Frames hold no sensor noise and no delay: they show the true scene.

    Args:
        env: A TabletopEnv.
        driver: Gives the policy of the episode.
        seed: Of the episode.
        cameras: Names of viewpoints.
        size_px: Width and height of the images, px.

    Returns:
        Images, actions and outcome.

    Raises:
        ConfigError: A camera is unknown.
    """
    views: dict[str, AnyCamera] = {}
    frames: dict[str, list[Image]] = {name: [] for name in cameras}
    actions: list[Array] = []

    def capture() -> None:
        for name, camera in views.items():
            frames[name].append(env.world.view(camera).image)

    def start() -> None:
        for name in cameras:
            views[name] = viewpoint(env, name, size_px)
        capture()

    def append(step: Transition) -> None:
        actions.append(step.action)
        capture()

    result = rollout(env, driver, seed, on_step=append, on_reset=start)
    stacked = np.array(actions).reshape(-1, ACTION_SIZE)
    return Recording(frames, stacked, result.success, str(result.info["target"]))
