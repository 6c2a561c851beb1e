"""`conure prior`: train encoder and flow on demonstrations, see conure_training.prior.trainer."""

from dataclasses import asdict, dataclass, field, replace
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
from conure_core.contract.spec import Contract
from conure_core.errors import DataError
from conure_core.robot.description import load_robot
from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.claim import claimed
from conure_core.runtime.resume import CHANGES_NO_RESULT, identity, stamp
from conure_sim.envs.static_scenes import EDITION, LabelledImages, draw_block
from conure_sim.physics.arm_simulation import table_camera
from conure_sim.randomization.factors import factors_at_rest, find_randomization
from conure_sim.vision.camera import Camera
from conure_training.data.demonstrations import Demonstrations
from conure_training.data.joining import data_folders, load_data_sets
from conure_training.data.selection import (
    choose_episodes,
    fingerprint,
    held_out_steps,
    require_many_tasks,
    taught_steps,
)
from conure_training.prior.feature_cache import Encoded, batch_encoder, save_encoded
from conure_training.prior.model import Prior, PriorSize, load_prior
from conure_training.prior.trainer import CHECKPOINT, PriorTrainer
from conure_training.prior.training_images import Frames, frames_of_demonstrations, frames_of_scenes
from conure_training.runtime.arrays import load_arrays, save_arrays
from conure_training.runtime.parallel import ENGINES, make_engine, run_blocks

BLOCK_SCENES = 1000
SCENES = "static_scenes.npz"
MAY_BE_LOWERED = {"batch_size", "flow_batch_size"}
"""A run that ran out of memory may resume with smaller batches."""


@dataclass(frozen=True)
class PriorConfig:
    """The settings of `conure prior`. Steps are optimizer steps.

    Without any labels the encoder learns by likelihood alone, in as many steps.
    """

    demos: Any = field(metadata=CHANGES_NO_RESULT)
    """Folder of the demonstrations, or a list of folders: simulated ones beside recordings."""

    out: str = field(metadata=CHANGES_NO_RESULT)
    """Folder for the prior, its metrics and caches."""

    arm: str
    """Name of the arm that the demonstrations are of, or path of its YAML file."""

    static_scenes: int = field(metadata=COUNT_OR_NONE)
    """Rendered scenes for the encoder's auxiliary task; 0: none."""

    encoder_steps: int = field(metadata=COUNT_OR_NONE)
    """First phase: the encoder, on the auxiliary task."""

    joint_steps: int = field(metadata=COUNT_OR_NONE)
    """Second phase: encoder and flow together."""

    flow_steps: int = field(metadata=COUNT)
    """Third phase: the flow, on features of the frozen encoder."""

    batch_size: int = field(metadata=BATCH)
    """Images in a batch of the first two phases."""

    flow_batch_size: int = field(metadata=BATCH)
    """Actions in a batch of the third phase."""

    encoder_rate: float = field(metadata=POSITIVE)
    """Highest learning rate of the first phase; the second has a quarter of it."""

    flow_rate: float = field(metadata=POSITIVE)
    """Highest learning rate of the third phase."""

    feature_noise: float = field(metadata=bounds(0.0))
    """Standard deviation of noise on the features in the third phase; it keeps the flow smooth."""

    seed: int = field(metadata=SEED)
    """Decides weights, batches, scenes, and the drawn trajectories."""

    workers: int = field(metadata=WORKERS)
    """Processes that render scenes; 0: one a core."""

    engine: str = field(default=ENGINES[0], metadata=CHANGES_NO_RESULT)
    """See `Engine`."""

    ray_address: str = field(default="", metadata=CHANGES_NO_RESULT)
    """See `Engine`."""

    tasks: tuple[str, ...] = ()
    """Tasks of the demonstrations to use; none: all. A single one makes a prior of that task."""

    trajectories: int = field(default=0, metadata=COUNT_OR_NONE)
    """Episodes to draw; 0: all. Smaller draws are parts of larger ones."""

    labelled_share: float = field(default=1.0, metadata=SHARE)
    """Share of the static scenes whose labels are used; the rest teaches nothing."""

    labelled_demonstrations: bool = True
    """Use the demonstrations' own labels too."""

    scenes: str = field(default="", metadata=CHANGES_NO_RESULT)
    """Folder of the rendered static scenes; empty: `out`. Priors of the same settings share it."""

    shift_px: int = field(default=0, metadata=COUNT_OR_NONE)
    """Images of the auxiliary task move by up to so many pixels, with their labels; 0: none."""

    checkpoint_every: int = field(default=250, metadata=COUNT | CHANGES_NO_RESULT)
    """Optimizer steps between checkpoints."""

    finetune: str = field(default="", metadata=CHANGES_NO_RESULT)
    """File of a prior to go on from: encoder and sizes stay, and the flow is trained for
    `flow_steps` at a quarter of `flow_rate`; empty: a new prior.
    """

    size: PriorSize = field(default_factory=PriorSize)
    """The sizes of the networks."""

    randomization: dict[str, Any] = field(default_factory=factors_at_rest)
    """Domain randomization of the static scenes."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        data_folders(self.demos)
        make_engine(self)
        find_randomization(self.randomization)

    @property
    def labelled_scenes(self) -> int:
        """Number of static scenes whose labels are used."""
        return round(self.labelled_share * self.static_scenes)


def run(overrides: list[str]) -> None:
    """Train the behavioral prior."""
    train_prior(load_config("conure_training.conf", "prior", PriorConfig, overrides))


def train_prior(config: PriorConfig) -> Path:
    """Train a prior; write `prior.pt` and `metrics.json` under `config.out`.

    Beside them it leaves the static scenes, for the next prior, and the demonstrations' features,
    for reinforcement learning on this one. Rerun the same command to resume an interrupted run from
    its last checkpoint; the result is that of an uninterrupted run.

    Args:
        config: How to train.

    Returns:
        The path of `prior.pt`.

    Raises:
        ConfigError: Settings do not fit together or to the checkpoint, or memory ran out.
        DataError: No prior can be made of the demonstrations.
    """
    with claimed(config.out, "conure prior"):
        return _train_prior(config)


def _train_prior(config: PriorConfig) -> Path:
    torch.manual_seed(config.seed)
    out = Path(config.out)
    everything = load_data_sets(config.demos)
    data = choose_episodes(everything, config.tasks, config.trajectories, config.seed)
    require_many_tasks(data, config.tasks)

    image_size = data.image.shape[1]
    contract = load_robot(config.arm).contract(image_size)
    if data.proprio.shape[1:] != contract.observation.proprio.shape:
        raise DataError(
            f"{config.demos} is not of the arm '{config.arm}': give the arm that it was collected"
            " with"
        )

    camera = table_camera(image_size, config.arm)
    if config.finetune:
        config, prior = _refined(config, contract)
    else:
        prior = Prior(contract, config.size, camera)
    cache = Path(config.scenes or out) / SCENES
    scenes = _load_or_render_scenes(config, camera, cache, prior.latent_dim)
    prior = prior.to("cuda" if torch.cuda.is_available() else "cpu")
    trainer = _trainer(config, prior, data, scenes, camera, fingerprint(everything))
    trainer.run()

    path = out / "prior.pt"
    note = {"config": asdict(config), "demonstrations": fingerprint(everything), **trainer.metrics}
    prior.cpu().save(path, note)
    folders = data_folders(config.demos)
    if data is everything and len(folders) == 1:
        final = batch_encoder(prior.encoder)(data.final_image, data.final_proprio)
        save_encoded(path, folders[0], Encoded(trainer.features.cpu(), final))
    write_json(out / "metrics.json", trainer.metrics)
    (out / CHECKPOINT).unlink(missing_ok=True)
    return path


def _refined(config: PriorConfig, contract: Contract) -> tuple[PriorConfig, Prior]:
    """The prior to go on from, and the settings by which its flow alone is trained.

    Raises: DataError if it cannot be read; SpecMismatch if it is for another arm or camera.
    """
    path = Path(config.finetune)
    prior = load_prior(path, contract, chunks=True).requires_grad_(True).train()
    flow_alone = replace(
        config,
        encoder_steps=0,
        joint_steps=0,
        static_scenes=0,
        flow_rate=config.flow_rate / 4,
        size=prior.size,
    )
    return flow_alone, prior


def _trainer(
    config: PriorConfig,
    prior: Prior,
    data: Demonstrations,
    scenes: Frames | None,
    camera: Camera,
    demonstrations: int,
) -> PriorTrainer:
    inputs: dict[str, Any] = {"demonstrations": demonstrations, "scenes_edition": EDITION}
    if config.finetune:
        inputs["finetune"] = stamp(Path(config.finetune))
    run = identity(config, without=MAY_BE_LOWERED, inputs=inputs)
    frames, whole = frames_of_demonstrations(data, camera, config.size.chunk)
    held_out = held_out_steps(data)
    return PriorTrainer(
        config,
        prior,
        frames,
        scenes,
        held_out,
        whole,
        data.labelled,
        camera,
        run,
        taught_steps(data),
    )


def _load_or_render_scenes(
    config: PriorConfig, camera: Camera, cache: Path, action_dim: int
) -> Frames | None:
    """The labelled scenes. They are rendered once, and kept for runs with the same settings."""
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
    made_of = identity(settings)
    arrays = load_arrays(cache, made_of)
    if arrays is None:
        arrays = _render_scenes(config, camera)
        save_arrays(cache, made_of, arrays)

    count = config.labelled_scenes
    labelled = {name: values[:count] for name, values in arrays.items()}
    return frames_of_scenes(LabelledImages(**labelled), action_dim)


def _render_scenes(config: PriorConfig, camera: Camera) -> dict[str, NDArray]:
    """All of the configuration's scenes, each field of LabelledImages by its name."""
    first_seed = config.seed * 1_000_000
    blocks = []
    for start in range(0, config.static_scenes, BLOCK_SCENES):
        count = min(BLOCK_SCENES, config.static_scenes - start)
        blocks.append((first_seed + start, count))

    work = partial(draw_block, config.arm, camera.height_px, config.randomization)
    engine = make_engine(config)
    done = dict(run_blocks(work, blocks, engine, "static scenes", lambda block: block[1]))

    arrays = {}
    for name in done[blocks[0]]:
        arrays[name] = np.concatenate([done[block][name] for block in blocks])
    return arrays
