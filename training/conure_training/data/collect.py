"""`conure demos`: successful episodes of the scripted experts, collected in parallel processes."""

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.config.loader import load_config
from conure_core.config.values import COUNT_OR_NONE, SEED, SHARE, WORKERS, bounds, check_values
from conure_core.contract.action import ACTION_SIZE
from conure_core.errors import ConfigError
from conure_core.robot.description import load_robot
from conure_core.runtime.claim import claimed
from conure_core.runtime.resume import CHANGES_NO_RESULT, digest, identity
from conure_sim.envs.rollout import Transition, act_until_done
from conure_sim.randomization.factors import factors_at_rest, find_randomization
from conure_sim.tasks import find_task
from conure_training.data.demonstrations import FINAL, IMAGES, STEPS, Demonstrations
from conure_training.data.environments import make_environment
from conure_training.data.episode_info import EpisodeInfo
from conure_training.data.writer import writing
from conure_training.runtime.arrays import load_arrays, save_arrays
from conure_training.runtime.parallel import ENGINES, make_engine, run_blocks

BLOCK_EPISODES = 50
MAX_EPISODES = 1_000_000
"""Limit for one task: the seeds of the next task begin there."""
NOISE_SHAPE = np.array([1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.2])
MAX_FAILURES = 20
ATTEMPT_STRIDE = 500_000_000
LOWEST_START_M = 0.04
LARGEST_TURN_RAD = 0.9


@dataclass(frozen=True)
class DemosConfig:
    """The settings of `conure demos`."""

    out: str = field(metadata=CHANGES_NO_RESULT)
    """Folder of the data set."""

    arm: str
    """Name of an arm, or path of its YAML file."""

    image_size: int
    """Height and width of the images, px."""

    objects: str
    """Name of an object set, or path of a folder."""

    containers: str
    """Name of a set of containers."""

    distractors: int = field(metadata=COUNT_OR_NONE)
    """Objects beside the task's own."""

    episodes: dict[str, int] = field(metadata=bounds(0, MAX_EPISODES))
    """Number of successful episodes by task."""

    noise: tuple[float, float] = field(metadata=bounds(0.0, 10.0))
    """Range from which each episode draws the scale of the noise on its actions."""

    away_from_home: float = field(metadata=SHARE)
    """Share of episodes that start with the tool anywhere, so that corrections near an object are
    seen.
    """

    shut: float = field(metadata=SHARE)
    """Share of those that start with an empty, closed gripper, as after a grasp that missed."""

    nearest: float = field(metadata=SHARE)
    """Probability that the object nearest to the tool becomes the target, where any may be, so that
    the prior commits to near objects; the target of the other episodes is any object.
    """

    seed: int = field(metadata=SEED)
    """Decides every episode, with its task and number."""

    workers: int = field(metadata=WORKERS)
    """Processes; 0: one a core."""

    engine: str = field(default=ENGINES[0], metadata=CHANGES_NO_RESULT)
    """See `Engine`."""

    ray_address: str = field(default="", metadata=CHANGES_NO_RESULT)
    """See `Engine`."""

    randomization: dict[str, Any] = field(default_factory=factors_at_rest)
    """Domain randomization: the name of a preset and its factors."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        make_engine(self)
        find_randomization(self.randomization)
        for name in self.episodes:
            find_task(name)
        if self.noise[0] > self.noise[1]:
            raise ConfigError(f"noise must be [lowest, highest], got {list(self.noise)}")
        if sum(self.episodes.values()) == 0:
            raise ConfigError(
                "expected at least one episode, got none; give for instance episodes.Lift=100"
            )


@dataclass(frozen=True)
class Block:
    """Consecutive episodes of one task, each with its own seed, whichever process collects them."""

    task: str
    first_seed: int
    count: int


def run(overrides: list[str]) -> None:
    """Collect scripted demonstrations."""
    collect(load_config("conure_training.conf", "demos", DemosConfig, overrides))


def collect(config: DemosConfig) -> Path:
    """Collect the demonstrations and write the data set `config.out`.

    Rerun the same command to resume: finished blocks of a run with the same settings are kept.
    Raises: ConfigError if the expert keeps failing.
    """
    with claimed(config.out, "conure demos"):
        return _collect(config)


def _collect(config: DemosConfig) -> Path:
    out = Path(config.out)
    kept = out.with_name(f"{out.name}.blocks")
    blocks = _blocks(config)
    settings = identity(config, without=["episodes"])  # a seed's episode, however many there are

    missing = []
    for block in blocks:
        if load_arrays(_block_path(kept, block), settings) is None:
            missing.append(block)

    work = partial(_collect_block, config)
    engine = make_engine(config)
    results = run_blocks(work, missing, engine, "demonstrations", lambda block: block.count)
    for block, arrays in results:
        save_arrays(_block_path(kept, block), settings, arrays)

    robot = load_robot(config.arm)
    contract = digest(robot.contract(config.image_size).to_dict())
    about = EpisodeInfo("success", "expert", robot=robot.name, contract=contract)
    with writing(out, {"config": asdict(config)}) as writer:
        for block in blocks:
            writer.add(_load_block(_block_path(kept, block), block, robot.control_period_s, about))
    shutil.rmtree(kept)
    return out


def _blocks(config: DemosConfig) -> list[Block]:
    blocks = []
    for index, (task, total) in enumerate(config.episodes.items()):
        first_seed = config.seed * 10_000_000 + index * 1_000_000
        for start in range(0, total, BLOCK_EPISODES):
            count = min(BLOCK_EPISODES, total - start)
            blocks.append(Block(task, first_seed + start, count))
    return blocks


def _block_path(folder: Path, block: Block) -> Path:
    return folder / f"{block.task}-{block.first_seed}-{block.count}.npz"


def _collect_block(config: DemosConfig, block: Block) -> dict[str, NDArray]:
    env = make_environment(block.task, config)
    seeds = range(block.first_seed, block.first_seed + block.count)
    episodes = [_collect_episode(env, seed, config) for seed in seeds]
    env.close()

    lengths = [len(episode["action"]) for episode in episodes]
    arrays = {"ends": np.cumsum(np.array(lengths))}
    for name in episodes[0]:
        arrays[name] = np.concatenate([episode[name] for episode in episodes])
    return arrays


def _collect_episode(env: Any, seed: int, config: DemosConfig) -> dict[str, NDArray]:
    """Try seeds until an episode succeeds. Raises: ConfigError after MAX_FAILURES."""
    for attempt in attempt_seeds(seed):
        episode = _try_episode(env, attempt, config)
        if episode["reward"][-1] > 0:
            return {**episode, "seed": np.array([seed])}
    raise ConfigError(
        f"the expert failed {MAX_FAILURES} times in a row; lower the noise, now {config.noise}"
    )


def attempt_seeds(seed: int) -> Iterator[int]:
    """The seeds that are tried, in order, until an episode of this seed succeeds."""
    for attempt in range(MAX_FAILURES):
        yield seed + attempt * ATTEMPT_STRIDE


def _try_episode(env: Any, seed: int, config: DemosConfig) -> dict[str, NDArray]:
    rng = np.random.default_rng(seed)
    observation = start_episode(env, seed, rng, config)
    expert = env.task.expert(env.scene)
    scale = rng.uniform(*config.noise)

    positions = []
    steps: list[Transition] = []

    def act(observation: dict[str, NDArray]) -> NDArray[np.float32]:
        positions.append(env.scene.object_positions().astype(np.float32))
        noise = scale * NOISE_SHAPE * rng.normal(size=ACTION_SIZE)
        return np.clip(expert.action() + noise, -1, 1).astype(np.float32)

    act_until_done(env, act, observation, steps.append)

    episode = {
        "action": np.stack([step.action for step in steps]).astype(np.float32),
        "reward": np.array([step.reward for step in steps], dtype=np.float32),
        "positions": np.stack(positions),
    }
    for name in ("image", "proprio", "state"):
        episode[name] = np.stack([step.observation[name] for step in steps])
        episode[f"final_{name}"] = steps[-1].following[name][None]
    return episode


def start_episode(
    env: Any, seed: int, rng: np.random.Generator, config: DemosConfig
) -> dict[str, NDArray]:
    """Reset to a start and a target as the configuration has them.

    Args:
        env: A TabletopEnv.
        seed: Of the reset.
        rng: Where start and target are drawn from.
        config: How data are collected.

    Returns:
        The first observation.
    """
    region = env.world.simulation
    lower = [*region.tool_lower_m[:2], LOWEST_START_M, -LARGEST_TURN_RAD]
    upper = [*region.tool_upper_m, LARGEST_TURN_RAD]
    tool = tuple(rng.uniform(lower, upper))
    away = rng.random() < config.away_from_home
    shut = rng.random() < config.shut

    options = {}
    if away:
        options = {"tool": tool, "gripper": -1.0 if shut else 1.0}
    observation, _ = env.reset(seed=seed, options=options)

    if rng.random() < config.nearest and env.task.any_object:
        way = env.scene.object_positions()[:, :2] - observation["proprio"][:2]
        distance = np.linalg.norm(way, axis=1)
        env.scene.aim_at(int(np.nanargmin(distance)))
        observation = env.observe()
    return observation


def _load_block(path: Path, block: Block, period_s: float, about: EpisodeInfo) -> Demonstrations:
    """A finished block as a data set of one task."""
    with np.load(path) as kept:
        arrays = dict(kept)
    lengths = np.diff(arrays["ends"], prepend=0)
    times = [period_s * np.arange(length) for length in lengths]
    stored = {name: arrays[name] for name in (*IMAGES, *STEPS, *FINAL) if name in arrays}
    return Demonstrations(
        **stored,
        ends=arrays["ends"],
        task=np.zeros(block.count, np.int64),
        seed=arrays["seed"],
        tasks=(block.task,),
        time_s=np.concatenate(times),
        infos=(about,) * block.count,
    )
