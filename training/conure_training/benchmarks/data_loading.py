"""`conure bench data`: a data set of two cameras: its size, the memory to train on it, the loader.

Images are rendered scenes with a sensor's noise, each one another: noise is what takes space.
"""

import resource
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from conure_core.cli.bench_report import Row, measure_rows
from conure_core.config.loader import load_config
from conure_core.config.values import BATCH, COUNT, check_values
from conure_core.errors import unknown_name
from conure_core.robot.description import load_robot
from conure_sim.envs.static_scenes import StaticScenes
from conure_sim.physics.arm_simulation import load_arm_simulation
from conure_sim.vision.camera import Camera, looking_at
from conure_training.data.demonstrations import Demonstrations, load_demonstrations
from conure_training.data.episode_info import EpisodeInfo
from conure_training.data.writer import writing
from conure_training.prior.model import Prior, PriorSize

EPISODES = 1000
"""Of a set of full size, which the requirements are for."""
NOISE = 4.0
"""Standard deviation of the sensor's noise, of 255."""
NOISES = 16
SCENES = 32
SECOND = "wrist"


@dataclass(frozen=True)
class BenchDataConfig:
    """The settings of `conure bench data`."""

    out: str
    """JSON file for the report."""

    data: str
    """Folder of the data set, which is removed at the end."""

    rows: list[str]
    """Names of the measurements, in order."""

    arm: str
    """Name of an arm."""

    episodes: int = field(metadata=COUNT)
    """Episodes to write; sizes are told for 1,000."""

    steps: int = field(metadata=COUNT)
    """Steps of an episode."""

    height_px: int = field(metadata=BATCH)
    """Height of the images of both cameras, px."""

    width_px: int = field(metadata=BATCH)
    """Their width, px."""

    codec: str
    """How images are stored."""

    batch_size: int = field(metadata=BATCH)
    """Images of each camera in a training step."""

    cell_px: int = field(metadata=COUNT)
    """Width of the encoder's cells, px."""

    training_steps: int = field(metadata=COUNT)
    """Steps that are timed."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        for row in self.rows:
            if row not in MEASUREMENTS:
                raise unknown_name("row of conure bench data", row, MEASUREMENTS)

    @property
    def camera(self) -> Camera:
        """The camera opposite the arm, with these images."""
        simulation = load_arm_simulation(self.arm)
        eye, gaze = np.array(simulation.camera_eye_m), np.array(simulation.camera_gaze_m)
        angle = simulation.camera_field_of_view_rad
        return looking_at(eye, gaze, self.width_px, self.height_px, angle)


def run(overrides: list[str]) -> None:
    """Measure size, memory and loading of a data set."""
    config = load_config("conure_training.conf", "bench_data", BenchDataConfig, overrides)
    try:
        measure_rows(config, MEASUREMENTS)
    finally:
        shutil.rmtree(config.data, ignore_errors=True)


def _size(config: BenchDataConfig) -> Iterator[Row]:
    began_s = time.perf_counter()
    _write(config)
    taken_s = time.perf_counter() - began_s
    count = config.episodes * config.steps
    stored = sum(file.stat().st_size for file in Path(config.data).rglob("*") if file.is_file())
    whole = EPISODES / config.episodes
    raw = 2 * count * config.height_px * config.width_px * 3
    note = f"size of {EPISODES} episodes on disk, raw {raw * whole / 1e9:.0f} GB"
    yield Row(note, stored * whole / 1e9, "GB", at_most=10.0)
    yield Row("time to write a step, noise and all", 1000 * taken_s / count, "ms")


def _training(config: BenchDataConfig) -> Iterator[Row]:
    if not Path(config.data).exists():
        _write(config)
    data = load_demonstrations(Path(config.data))
    loading_s, step_s = _train(config, data)
    yield Row("peak memory of the process", _peak_gb(), "GB", at_most=2.0)
    yield Row("training step, loading and all", 1000 * float(np.median(step_s)), "ms")
    share = 100 * float(np.median(loading_s) / np.median(step_s))
    yield Row("loading, both cameras, of a training step", share, "%", at_most=10.0)


MEASUREMENTS: dict[str, Callable[[BenchDataConfig], Iterator[Row]]] = {
    "size": _size,
    "training": _training,
}


def _train(
    config: BenchDataConfig, data: Demonstrations
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Seconds of loading, and of whole steps, of encoder and flow under the likelihood."""
    contract = load_robot(config.arm).contract(config.height_px)
    prior = Prior(contract, PriorSize(cell_px=config.cell_px), config.camera)
    optimizer = torch.optim.AdamW(prior.parameters(), lr=1e-4, fused=True)
    rng = np.random.default_rng(0)
    loading, whole = [], []
    for step in range(config.training_steps + 1):
        began_s = time.perf_counter()
        drawn = rng.integers(len(data), size=config.batch_size)
        images = torch.from_numpy(data.image[drawn])
        torch.from_numpy(data.others[SECOND][0][drawn])
        proprio = torch.from_numpy(data.proprio[drawn])
        action = torch.from_numpy(data.action[drawn])
        loaded_s = time.perf_counter()
        features = prior.encoder(images, proprio)
        loss = -prior.flow.log_prob(action, features).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step:  # the first one allocates
            loading.append(loaded_s - began_s)
            whole.append(time.perf_counter() - began_s)
    return np.array(loading), np.array(whole)


def _peak_gb() -> float:
    """The most memory that this process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _write(config: BenchDataConfig) -> None:
    rng = np.random.default_rng(0)
    with writing(Path(config.data), {}, config.codec) as writer:
        for _ in range(config.episodes):
            writer.add(_episode(config, rng))


def _episode(config: BenchDataConfig, rng: np.random.Generator) -> Demonstrations:
    steps = config.steps
    robot = load_robot(config.arm)
    contract = robot.contract(config.height_px)
    seen = [_images(config, rng) for _ in range(2)]
    proprio = rng.normal(size=(steps + 1, *contract.observation.proprio.shape)).astype(np.float32)
    return Demonstrations(
        image=seen[0][:-1],
        final_image=seen[0][-1:],
        others={SECOND: (seen[1][:-1], seen[1][-1:])},
        proprio=proprio[:-1],
        final_proprio=proprio[-1:],
        state=np.zeros((steps, 0), np.float32),
        final_state=np.zeros((1, 0), np.float32),
        positions=np.zeros((steps, 0, 3), np.float32),
        action=rng.uniform(-1.0, 1.0, (steps, *contract.action.values.shape)).astype(np.float32),
        reward=np.zeros(steps, np.float32),
        ends=np.array([steps]),
        task=np.zeros(1, np.int64),
        seed=np.zeros(1, np.int64),
        tasks=("Lift",),
        time_s=np.arange(steps, dtype=np.float64) * robot.control_period_s,
        infos=(EpisodeInfo(source="teleoperation", robot=robot.name),),
    )


def _images(config: BenchDataConfig, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Images of one camera over an episode, (steps + 1, h, w, 3): scenes, and noise over each."""
    scenes = _scenes(config.arm, config.height_px, config.width_px)
    noises = _noises(config.height_px, config.width_px)
    count = config.steps + 1
    images = np.empty((count, *scenes.shape[1:]), np.uint8)
    for image in images:
        scene = scenes[rng.integers(len(scenes))]
        shift = rng.integers(config.width_px)
        noise = np.roll(noises[rng.integers(NOISES)], shift, axis=1)
        np.copyto(image, np.clip(scene + noise, 0, 255), casting="unsafe")
    return images


@cache
def _scenes(arm: str, height_px: int, width_px: int) -> NDArray[np.int16]:
    """Rendered scenes, (n, h, w, 3)."""
    side = max(height_px, width_px)
    drawn = StaticScenes(arm, side, randomization="light").draw(SCENES, seed=1).image
    top, left = (side - height_px) // 2, (side - width_px) // 2
    part = drawn[:, top : top + height_px, left : left + width_px]
    return part.astype(np.int16)


@cache
def _noises(height_px: int, width_px: int) -> NDArray[np.int16]:
    rng = np.random.default_rng(2)
    noise = NOISE * rng.standard_normal((NOISES, height_px, width_px, 3), dtype=np.float32)
    return noise.round().astype(np.int16)
