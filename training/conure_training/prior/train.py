"""`conure prior`: encoder and flow from demonstrations; the three steps are in
conure_training.prior.trainer.
"""

import json
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from conure_core.config.loader import load_config
from conure_core.config.values import (
    BATCH,
    COUNT,
    COUNT_OR_NONE,
    POSITIVE,
    SEED,
    SHARE,
    WORKERS,
    bounds,
    check_values,
)
from conure_core.errors import DataError
from conure_core.robot.description import load_robot
from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.claim import claimed
from conure_sim.envs.static_scenes import EDITION, LabelledImages, draw_block
from conure_sim.physics.arm_simulation import table_camera
from conure_sim.randomization.factors import factors_at_rest, find_randomization
from conure_sim.vision.camera import Camera
from conure_training.data.demonstrations import Demonstrations, load_demonstrations
from conure_training.data.selection import (
    choose_episodes,
    fingerprint,
    held_out_steps,
    require_many_tasks,
)
from conure_training.prior.feature_cache import Encoded, encoding_by, keep_encoded
from conure_training.prior.model import Prior, PriorSize
from conure_training.prior.trainer import CHECKPOINT, PriorTrainer
from conure_training.prior.training_images import Frames, frames_of_demonstrations, frames_of_scenes
from conure_training.runtime.arrays import save_arrays, saved_arrays
from conure_training.runtime.parallel import ENGINES, engine_of, run_blocks

BLOCK_SCENES = 1000
CHANGES_NO_RESULT = {
    "demos",
    "out",
    "scenes",
    "workers",
    "engine",
    "ray_address",
    "checkpoint_every",
}
MAY_BE_LOWERED = {"batch_size", "flow_batch_size"}
"""A run that ended for want of memory goes on with smaller batches."""


@dataclass(frozen=True)
class PriorConfig:
    """How to train a prior. Steps are optimizer steps; `static_scenes` 0 leaves the auxiliary
    scenes out.

    `tasks`: of the demonstrations, none named: all; one of them alone makes a prior of that task.
    `trajectories`: how many, drawn by the seed, 0: all; smaller draws are parts of larger ones.
    `labelled_share`: of the static scenes, the part whose labels are used;
    `labelled_demonstrations`: whether the demonstrations' own labels are. What has no label teaches
    the encoder nothing, and without both it learns by likelihood alone, in as many steps. `scenes`:
    the folder that keeps the rendered static scenes; empty: `out`. That of another prior with the
    same settings saves rendering them again. `shift_px`: images of the auxiliary task move by up to
    as many pixels, with their labels; 0: none. `feature_noise`: standard deviation of noise on the
    features in the flow's own step; it keeps the flow smooth.
    """

    demos: str
    out: str
    arm: str
    static_scenes: int = field(metadata=COUNT_OR_NONE)
    encoder_steps: int = field(metadata=COUNT_OR_NONE)
    joint_steps: int = field(metadata=COUNT_OR_NONE)
    flow_steps: int = field(metadata=COUNT)
    batch_size: int = field(metadata=BATCH)
    flow_batch_size: int = field(metadata=BATCH)
    encoder_rate: float = field(metadata=POSITIVE)
    flow_rate: float = field(metadata=POSITIVE)
    feature_noise: float = field(metadata=bounds(0.0))
    seed: int = field(metadata=SEED)
    workers: int = field(metadata=WORKERS)
    engine: str = ENGINES[0]
    ray_address: str = ""
    tasks: tuple[str, ...] = ()
    trajectories: int = field(default=0, metadata=COUNT_OR_NONE)
    labelled_share: float = field(default=1.0, metadata=SHARE)
    labelled_demonstrations: bool = True
    scenes: str = ""
    shift_px: int = field(default=0, metadata=COUNT_OR_NONE)
    checkpoint_every: int = field(default=250, metadata=COUNT)
    size: PriorSize = field(default_factory=PriorSize)
    randomization: dict[str, Any] = field(default_factory=factors_at_rest)

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        engine_of(self)
        find_randomization(self.randomization)

    @property
    def labelled_scenes(self) -> int:
        """Static scenes whose labels are used."""
        return round(self.labelled_share * self.static_scenes)


def run(overrides: list[str]) -> None:
    """Train the behavioral prior."""
    train_prior(load_config("conure_training.conf", "prior", PriorConfig, overrides))


def train_prior(config: PriorConfig) -> Path:
    """Train and save a prior; writes `prior.pt` and `metrics.json` under `config.out`. Returns the
    prior's path.

    Beside them: the static scenes, for the next prior, and the demonstrations' features, for RL on
    this one.

    An interrupted run is gone on with by the same command, from its last checkpoint, and ends as it
    would have. Raises: ConfigError, among others if memory runs out; DataError for demonstrations
    that no prior can be made of.
    """
    with claimed(config.out, "conure prior"):
        return _train_prior(config)


def _train_prior(config: PriorConfig) -> Path:
    torch.manual_seed(config.seed)
    out, everything = Path(config.out), load_demonstrations(Path(config.demos))
    data = choose_episodes(everything, config.tasks, config.trajectories, config.seed)
    require_many_tasks(data, config.tasks)
    contract = load_robot(config.arm).contract(data.image.shape[1])
    if data.proprio.shape[1:] != contract.observation.proprio.shape:
        raise DataError(
            f"{config.demos} is not of the arm '{config.arm}': give the arm that it was collected"
            " with"
        )
    camera = table_camera(data.image.shape[1], config.arm)
    prior = Prior(contract, config.size, camera)
    scenes = _static_frames(
        config, camera, Path(config.scenes or out) / "static_scenes.npz", prior.latent_dim
    )
    prior = prior.to("cuda" if torch.cuda.is_available() else "cpu")
    trainer = _trainer(config, prior, data, scenes, camera, fingerprint(everything))
    trainer.run()
    note = {"config": asdict(config), "demonstrations": fingerprint(everything), **trainer.metrics}
    prior.cpu().save(out / "prior.pt", note)
    if data is everything:
        final = encoding_by(prior.encoder)(data.final_image, data.final_proprio)
        keep_encoded(out / "prior.pt", Path(config.demos), Encoded(trainer.features.cpu(), final))
    write_json(out / "metrics.json", trainer.metrics)
    (out / CHECKPOINT).unlink(missing_ok=True)
    return out / "prior.pt"


def _trainer(
    config: PriorConfig,
    prior: Prior,
    data: Demonstrations,
    scenes: Frames | None,
    camera: Camera,
    demonstrations: int,
) -> PriorTrainer:
    frames, whole = frames_of_demonstrations(data, camera, config.size.chunk)
    decides = {
        name: value
        for name, value in asdict(config).items()
        if name not in CHANGES_NO_RESULT | MAY_BE_LOWERED
    }
    identity = json.dumps([decides, demonstrations, EDITION], sort_keys=True)
    return PriorTrainer(
        config, prior, frames, scenes, held_out_steps(data), whole, camera, identity
    )


def _static_frames(
    config: PriorConfig, camera: Camera, cache: Path, action_dim: int
) -> Frames | None:
    """The labelled ones. Rendered once: kept for the next run with the same settings."""
    if config.labelled_scenes == 0:
        return None
    settings = [
        config.arm,
        camera.height_px,
        config.static_scenes,
        config.seed,
        config.randomization,
        EDITION,
    ]
    drawn_by = json.dumps(settings, sort_keys=True)
    arrays = saved_arrays(cache, drawn_by)
    if arrays is None:
        arrays = _rendered(config, camera)
        save_arrays(cache, drawn_by, arrays)
    part = LabelledImages(
        **{name: values[: config.labelled_scenes] for name, values in arrays.items()}
    )
    return frames_of_scenes(part, action_dim)


def _rendered(config: PriorConfig, camera: Camera) -> dict[str, NDArray]:
    """All of the configuration's scenes, each field of LabelledImages by its name."""
    total, first = config.static_scenes, config.seed * 1_000_000
    blocks = [
        (first + start, min(BLOCK_SCENES, total - start)) for start in range(0, total, BLOCK_SCENES)
    ]
    work = partial(draw_block, config.arm, camera.height_px, config.randomization)
    done = dict(
        run_blocks(work, blocks, engine_of(config), "static scenes", lambda block: block[1])
    )
    return {
        name: np.concatenate([done[block][name] for block in blocks]) for name in done[blocks[0]]
    }
