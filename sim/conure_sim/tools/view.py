"""View one episode: an MP4 and a contact sheet, or the PyBullet window.

A driver gives the policy, so that learned policies, which the simulation does not import, can be
viewed as well.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pybullet

from conure_core.config.values import COUNT_OR_NONE, SEED, bounds, check_values
from conure_core.errors import ConfigError
from conure_core.runtime.claim import claimed
from conure_sim.envs.rollout import Driver, Transition, expert, random_actions, rollout
from conure_sim.envs.tabletop import IMAGE_SIZE_RANGE_PX
from conure_sim.envs.viewpoints import overview, require_viewpoint
from conure_sim.randomization.factors import factors_at_rest, find_randomization
from conure_sim.tasks import find_task
from conure_sim.tools.pictures import caption_frames, contact_sheet, write_png, write_video
from conure_sim.tools.recording import Recording, record

SCRIPTED_IMAGE_PX = 48


@dataclass(frozen=True)
class ViewConfig:
    """Configuration of `conure view`; see conf/view.yaml of conure_training."""

    out: str
    """Folder of the files."""
    task: str
    """A name of `TASKS`."""
    arm: str
    """Name of a robot, or the path of its YAML file."""
    seed: int = field(metadata=SEED)
    """Seed of the episode."""
    policy: str
    """expert, random, or the path of a policy (.pt) or of a bundle's folder."""
    noise_scale: float = field(metadata=bounds(0.0, 3.0))
    """Scale of a policy's noise: 1 samples it, 0 takes its mean."""
    objects: str
    """train, test, or a folder of URDFs."""
    containers: str
    """train or test."""
    distractors: int = field(metadata=COUNT_OR_NONE)
    """Number of objects beside the one that the task is about."""
    target: str
    """Name of what the episode is about; empty: the task chooses."""
    camera: str
    """overview, table (the policy's) or wrist."""
    size: int
    """Width and height of a frame, px; even."""
    sheet_frames: int = field(metadata=bounds(2, 1000))
    """The largest number of frames on the contact sheet."""
    gui: bool
    """Whether to open the PyBullet window instead of writing files."""
    randomization: dict[str, Any] = field(default_factory=factors_at_rest)
    """A preset of the group, or factors."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        find_task(self.task)
        find_randomization(self.randomization)
        require_viewpoint(self.camera)
        if not IMAGE_SIZE_RANGE_PX[0] <= self.size <= IMAGE_SIZE_RANGE_PX[1] or self.size % 2:
            raise ConfigError(
                f"size must be even and lie in {IMAGE_SIZE_RANGE_PX} px, got {self.size}"
            )

    @property
    def name(self) -> str:
        """The name of the files: task, arm, preset, policy and seed."""
        parts = [
            self.task,
            Path(self.arm).stem,
            str(self.randomization["name"]),
            Path(self.policy).stem,
            str(self.seed),
        ]
        return "-".join(parts)


def scripted_driver(config: ViewConfig) -> Driver | None:
    """The driver of a policy without learning, expert or random; None for others."""
    return {"expert": expert, "random": random_actions(config.seed)}.get(config.policy)


def make_environment(config: ViewConfig, image_size: int = SCRIPTED_IMAGE_PX) -> Any:
    """The environment to view, without wrappers.

    Args:
        config: Task, arm and scene; whether to open a window.
        image_size: Width and height of the images in its observations, px.

    Returns:
        A TabletopEnv.

    Raises:
        ConfigError: A name is unknown, or there is no display for the window.
    """
    return gymnasium.make(
        f"conure/{config.task}-v0",
        arm=config.arm,
        image_size=image_size,
        objects=config.objects,
        containers=config.containers,
        distractors=config.distractors,
        randomization=config.randomization,
        target=config.target or None,
        window=config.gui,
    ).unwrapped


def view(
    config: ViewConfig,
    env: Any,
    driver: Driver,
) -> Recording:
    """Record one episode and write NAME.mp4 and NAME.png under `config.out`.

    Args:
        config: Seed, camera, image size and names.
        env: From `make_environment`.
        driver: Gives the policy of the episode.

    Returns:
        The episode.
    """
    with claimed(Path(config.out) / f"{config.name}.mp4", "conure view", "file"):
        return _view(config, env, driver)


def _view(
    config: ViewConfig,
    env: Any,
    driver: Driver,
) -> Recording:
    recording = record(env, driver, config.seed, [config.camera], config.size)
    title = (
        f"{config.task}, {env.robot.name}, {Path(config.policy).stem}, seed {config.seed},"
        f" {recording.target}"
    )
    path = Path(config.out) / config.name
    frames = caption_frames(recording, config.camera, title)
    sheet = contact_sheet(recording, config.camera, title, config.sheet_frames)
    write_video(path.with_name(path.name + ".mp4"), frames, 1 / env.robot.control_period_s)
    write_png(path.with_name(path.name + ".png"), sheet)
    return recording


def show(
    config: ViewConfig,
    env: Any,
    driver: Driver,
) -> bool:
    """Run one episode in the window, at the speed of the real arm.

    Args:
        config: The seed.
        env: From `make_environment`, with a window.
        driver: Gives the policy of the episode.

    Returns:
        Whether it succeeded.
    """
    period_s = env.robot.control_period_s
    due_s = 0.0

    def start() -> None:
        nonlocal due_s
        _set_window_camera(env)
        due_s = time.monotonic() + period_s

    def wait(_: Transition) -> None:
        nonlocal due_s
        time.sleep(max(0.0, due_s - time.monotonic()))
        due_s = time.monotonic() + period_s

    return rollout(env, driver, config.seed, on_step=wait, on_reset=start).success


def _set_window_camera(env: Any) -> None:
    """Put the window's camera where the overview is taken from."""
    pose = overview(env.world, SCRIPTED_IMAGE_PX).base_from_camera
    distance_m = float(np.linalg.norm(pose[:2, 3]))
    forward = pose[:3, 2]
    gaze = pose[:3, 3] + distance_m * forward
    yaw_deg = float(np.degrees(np.arctan2(-forward[0], forward[1])))
    pitch_deg = float(np.degrees(np.arcsin(forward[2])))
    env.world.client.configureDebugVisualizer(pybullet.COV_ENABLE_GUI, 0)
    env.world.client.resetDebugVisualizerCamera(distance_m, yaw_deg, pitch_deg, gaze.tolist())
