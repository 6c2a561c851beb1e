"""`conure prior`: encoder and flow from demonstrations, in three steps.

1. The encoder alone, on static scenes and demonstration frames, by its auxiliary task (where the objects are).
2. Encoder and flow together, by likelihood and auxiliary task.
3. The flow alone, by likelihood, on the features of the frozen encoder, computed once.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conure_core.config import load_config
from conure_core.errors import ConfigError, DataError
from conure_core.robot import load_robot
from conure_sim.camera import Camera
from conure_sim.environment import table_camera
from conure_sim.randomization import factors_at_rest, find_randomization
from conure_sim.static_scenes import LabelledImages, StaticScenes
from conure_training.dataset import Demonstrations, load_demonstrations
from conure_training.encoder import detection_loss
from conure_training.files import replacing, write_json
from conure_training.prior import Prior, PriorSize
from conure_training.workers import ENGINES, engine_of, progress_bar, run_blocks, use_threads

BLOCK_SCENES = 1000
HELD_OUT = 0.05
FEATURE_BATCH = 1024
AUXILIARY_WEIGHT = 1.0


@dataclass(frozen=True)
class PriorConfig:
    """How to train a prior. Steps are optimizer steps; `static_scenes` 0 leaves the auxiliary scenes out.

    `feature_noise`: standard deviation of noise on the features in the flow's own step; it keeps the flow smooth.
    """

    demos: str
    out: str
    arm: str
    static_scenes: int
    encoder_steps: int
    joint_steps: int
    flow_steps: int
    batch_size: int
    flow_batch_size: int
    encoder_rate: float
    flow_rate: float
    feature_noise: float
    seed: int
    workers: int
    engine: str = ENGINES[0]
    ray_address: str = ""
    size: PriorSize = field(default_factory=PriorSize)
    randomization: dict[str, Any] = field(default_factory=factors_at_rest)

    def __post_init__(self) -> None:
        engine_of(self)
        find_randomization(self.randomization)
        if min(self.batch_size, self.flow_batch_size, self.flow_steps) < 1:
            raise ConfigError("batch_size, flow_batch_size and flow_steps must be at least 1")


@dataclass(frozen=True)
class Frames:
    """Images with everything that training asks of them; NaN labels where unknown. Tensors of equal first dimension."""

    image: Tensor
    proprio: Tensor
    positions: Tensor
    colours: Tensor
    container: Tensor
    pixels: Tensor
    action: Tensor


def run(overrides: list[str]) -> None:
    """The verb."""
    train_prior(load_config("conure_training.conf", "prior", PriorConfig, overrides))


def train_prior(config: PriorConfig) -> Path:
    """Train and save a prior; writes `prior.pt` and `metrics.json` under `config.out`."""
    torch.manual_seed(config.seed)
    out, data = Path(config.out), load_demonstrations(Path(config.demos))
    contract = load_robot(config.arm).contract(data.image.shape[1])
    if data.proprio.shape[1:] != contract.observation.proprio.shape:
        raise DataError(f"{config.demos} is not of the arm '{config.arm}': give the arm that it was collected with")
    camera = table_camera(data.image.shape[1], config.arm)
    prior = Prior(contract, config.size, camera)
    scenes = _static_frames(config, camera, out / "static_scenes.npz")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainer = _Trainer(config, prior.to(device), _demonstration_frames(data, camera), scenes, data)
    with use_threads():
        trainer.run()
    prior.cpu().save(out / "prior.pt", {"config": asdict(config), **trainer.metrics})
    write_json(out / "metrics.json", trainer.metrics)
    return out / "prior.pt"


def _static_frames(config: PriorConfig, camera: Camera, cache: Path) -> Frames | None:
    if config.static_scenes == 0:
        return None
    if not cache.is_file():
        total, first = config.static_scenes, config.seed * 1_000_000
        blocks = [(first + start, min(BLOCK_SCENES, total - start)) for start in range(0, total, BLOCK_SCENES)]
        work = partial(_draw_scenes, config.arm, camera.height_px, config.randomization)
        done = dict(run_blocks(work, blocks, engine_of(config), "static scenes", lambda block: block[1]))
        arrays = {name: np.concatenate([done[block][name] for block in blocks]) for name in done[blocks[0]]}
        with replacing(cache) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
    with np.load(cache) as arrays:
        labelled = LabelledImages(**{name: arrays[name] for name in arrays.files})
    return _frames(labelled, camera, np.full((len(labelled.image), 7), np.nan, dtype=np.float32))


def _draw_scenes(
    arm: str, image_size: int, randomization: Mapping[str, Any], block: tuple[int, int]
) -> dict[str, NDArray]:
    seed, count = block
    return StaticScenes(arm, image_size, randomization=randomization).draw(count, seed).__dict__


def _demonstration_frames(data: Demonstrations, camera: Camera) -> Frames:
    container = np.where(data.state[:, -1:] > 0.5, data.state[:, -4:-1], np.nan).astype(np.float32)
    unknown = np.full_like(data.positions, np.nan)
    labelled = LabelledImages(data.image, data.proprio, data.positions, unknown, container)
    return _frames(labelled, camera, data.action)


def _frames(labelled: LabelledImages, camera: Camera, action: NDArray[np.float32]) -> Frames:
    points = np.concatenate([labelled.positions, labelled.container[:, None]], axis=1)
    pixels = camera.project(points.reshape(-1, 3)).reshape(*points.shape[:2], 2).astype(np.float32)
    truth = (labelled.positions, labelled.colours, labelled.container, pixels)
    return Frames(*(torch.from_numpy(array) for array in (labelled.image, labelled.proprio, *truth, action)))


class _Trainer:
    """The three steps, on one prior; the last HELD_OUT of the episodes is never trained on."""

    def __init__(self, config: PriorConfig, prior: Prior, frames: Frames, scenes: Frames | None, data: Demonstrations):
        self.config, self.prior, self.frames, self.scenes = config, prior, frames, scenes
        held_out = max(1, round(HELD_OUT * len(data.ends)))
        # Episodes are ordered by task: every n-th one is held out.
        episode = np.repeat(np.arange(len(data.ends)), np.diff(data.ends, prepend=0))
        outside = episode % (len(data.ends) // held_out) == 0
        self.train_index, self.held_index = torch.from_numpy(np.flatnonzero(~outside)), np.flatnonzero(outside)
        self.metrics: dict[str, float] = {}
        self.device = next(prior.parameters()).device
        prior.encoder.set_normalization(frames.proprio[self.train_index].to(self.device))
        prior.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(self) -> None:
        """All three steps; fills `metrics`."""
        config, prior = self.config, self.prior
        encoder = list(prior.encoder.parameters())
        self._fit("encoder", config.encoder_steps, config.encoder_rate, encoder, self._auxiliary_step)
        everything = [*encoder, *prior.flow.parameters()]
        self._fit("encoder and flow", config.joint_steps, config.encoder_rate / 4, everything, self._joint_step)
        self._measure_positions()
        features, actions = self._features(self.train_index), self.frames.action[self.train_index].to(self.device)
        held_features = self._features(torch.from_numpy(self.held_index))
        held_actions = self.frames.action[self.held_index].to(self.device)

        def flow_step() -> Tensor:
            batch = torch.randint(len(features), (config.flow_batch_size,))
            noisy = features[batch] + config.feature_noise * torch.randn_like(features[batch])
            return -prior.flow.log_prob(actions[batch], noisy).mean()

        self._fit("flow", config.flow_steps, config.flow_rate, list(prior.flow.parameters()), flow_step)
        with torch.no_grad():
            held = prior.flow.log_prob(held_actions, held_features)
            train = prior.flow.log_prob(actions[:5000], features[:5000])
        self.metrics["held_out_log_likelihood"] = held.mean().item()
        self.metrics["train_log_likelihood"] = train.mean().item()
        for percent in (1, 5, 50):
            self.metrics[f"held_out_log_likelihood_p{percent:02d}"] = held.quantile(percent / 100).item()

    def _fit(
        self, label: str, steps: int, rate: float, parameters: list[nn.Parameter], step: Callable[[], Tensor]
    ) -> None:
        if steps == 0:
            return
        optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.15)
        with progress_bar() as bar:
            task = bar.add_task(label, total=steps, note="")
            for index in range(steps):
                loss = step()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, 10.0)
                optimizer.step()
                schedule.step()
                if index % 50 == 0:
                    bar.update(task, note=f"loss {loss.item():.2f}")
                bar.advance(task)
            self.metrics[f"{label} loss"] = loss.item()

    def _batch(self, frames: Frames, index: Tensor) -> Frames:
        return Frames(*(getattr(frames, name)[index].to(self.device) for name in Frames.__dataclass_fields__))

    def _demonstration_batch(self, size: int) -> Frames:
        return self._batch(self.frames, self.train_index[torch.randint(len(self.train_index), (size,))])

    def _auxiliary_loss(self, batch: Frames) -> Tensor:
        found = self.prior.encoder.detect(batch.image, batch.proprio)
        return detection_loss(self.prior.encoder, found, batch.positions, batch.colours, batch.container, batch.pixels)

    def _auxiliary_step(self) -> Tensor:
        size = self.config.batch_size
        if self.scenes is None:
            return self._auxiliary_loss(self._demonstration_batch(size))
        index = torch.randint(len(self.scenes.image), (size - size // 4,))
        batches = (self._batch(self.scenes, index), self._demonstration_batch(size // 4))
        names = Frames.__dataclass_fields__
        return self._auxiliary_loss(Frames(*(torch.cat([getattr(b, name) for b in batches]) for name in names)))

    def _joint_step(self) -> Tensor:
        batch = self._demonstration_batch(self.config.batch_size)
        likelihood = self.prior.flow.log_prob(batch.action, self.prior.encoder(batch.image, batch.proprio)).mean()
        return AUXILIARY_WEIGHT * self._auxiliary_step() - likelihood

    @torch.no_grad()
    def _features(self, index: Tensor) -> Tensor:
        parts = index.split(FEATURE_BATCH)
        batches = (self._batch(self.frames, part) for part in parts)
        return torch.cat([self.prior.encoder(batch.image, batch.proprio) for batch in batches])

    @torch.no_grad()
    def _measure_positions(self) -> None:
        """Where held-out demonstration frames' objects are found: share within 3 cm, median error of those, mm."""
        batch = self._batch(self.frames, torch.from_numpy(self.held_index[:2000]))
        found = self.prior.encoder.detect(batch.image, batch.proprio)
        presence, position, _ = self.prior.encoder._best_cells(found)
        error = (position[:, :, None] - batch.positions[:, None]).norm(dim=-1)
        error = torch.where(presence > 0.5, error, torch.inf).nan_to_num(torch.inf).min(1).values
        nearest = error[torch.isfinite(batch.positions[:, :, 0])]
        self.metrics["objects_found"] = (nearest < 0.03).float().mean().item()
        self.metrics["object_position_error_mm"] = 1000 * nearest[nearest < 0.03].median().item()
