"""`conure demos`: successful episodes of the scripted experts, collected in parallel processes."""

import json
import shutil
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
from conure_core.runtime.claim import claimed
from conure_sim.randomization.factors import factors_at_rest, find_randomization
from conure_sim.tasks import find_task
from conure_training.data.demonstrations import ARRAYS, Demonstrations, save_demonstrations
from conure_training.data.environments import make_environment
from conure_training.runtime.arrays import save_arrays, saved_arrays
from conure_training.runtime.parallel import ENGINES, engine_of, run_blocks

BLOCK_EPISODES = 50
MAX_EPISODES = 1_000_000  # of one task: the seeds of the next task begin there
NOISE_SHAPE = np.array([1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.2])
MAX_FAILURES = 20
LOWEST_START_M, LARGEST_TURN_RAD = 0.04, 0.9


@dataclass(frozen=True)
class DemosConfig:
    """What to collect.

    `noise`: range of an episode's Gaussian action noise; `away_from_home`: share of episodes that
    start with the tool anywhere, so that corrections near an object are seen; `shut`: share of
    those with an empty, closed gripper, as after a grasp that missed; `nearest`: share of episodes
    whose target is the object nearest to the tool, where it can be any, so that the prior commits
    to what it is near, the others' is any; `workers` 0: one a core.
    """

    out: str
    arm: str
    image_size: int
    objects: str
    containers: str
    distractors: int = field(metadata=COUNT_OR_NONE)
    episodes: dict[str, int] = field(metadata=bounds(0, MAX_EPISODES))
    noise: tuple[float, float] = field(metadata=bounds(0.0, 10.0))
    away_from_home: float = field(metadata=SHARE)
    shut: float = field(metadata=SHARE)
    nearest: float = field(metadata=SHARE)
    seed: int = field(metadata=SEED)
    workers: int = field(metadata=WORKERS)
    engine: str = ENGINES[0]
    ray_address: str = ""
    randomization: dict[str, Any] = field(default_factory=factors_at_rest)

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        engine_of(self)
        find_randomization(self.randomization)
        for name in self.episodes:
            find_task(name)
        if self.noise[0] > self.noise[1]:
            raise ConfigError(f"noise must be [lowest, highest], got {list(self.noise)}")
        if sum(self.episodes.values()) == 0:
            raise ConfigError("no episodes asked for; give for instance episodes.Lift=100")
        layouts = {
            name: find_task(name).fixture_state_size
            for name, count in self.episodes.items()
            if count
        }
        if len(set(layouts.values())) > 1:
            raise ConfigError(
                f"tasks of one data set need states of one size, but their fixtures add {layouts}"
                " numbers; collect them into data sets of their own"
            )


@dataclass(frozen=True)
class Block:
    """Consecutive episodes of one task, each with a seed of its own: the same whoever collects
    them.
    """

    task: str
    first_seed: int
    count: int


def run(overrides: list[str]) -> None:
    """Collect scripted demonstrations."""
    collect(load_config("conure_training.conf", "demos", DemosConfig, overrides))


def collect(config: DemosConfig) -> Path:
    """Collect the demonstrations; finished blocks of an interrupted run with the same settings are
    kept.
    """
    with claimed(config.out, "conure demos"):
        return _collect(config)


def _collect(config: DemosConfig) -> Path:
    out = Path(config.out)
    kept = out.with_name(f"{out.name}.blocks")
    blocks, settings = _blocks(config), _settings_of_an_episode(config)
    missing = [
        block for block in blocks if saved_arrays(_block_path(kept, block), settings) is None
    ]
    work = partial(_collect_block, config)
    for block, arrays in run_blocks(
        work, missing, engine_of(config), "demonstrations", lambda block: block.count
    ):
        save_arrays(_block_path(kept, block), settings, arrays)
    save_demonstrations(out, _joined(config, kept, blocks), {"config": asdict(config)})
    shutil.rmtree(kept)
    return out


def _settings_of_an_episode(config: DemosConfig) -> str:
    """All that decides what an episode of given task and seed is; not where, by whom and how many
    are collected.
    """
    elsewhere = ("out", "episodes", "workers", "engine", "ray_address")
    return json.dumps(
        {name: value for name, value in asdict(config).items() if name not in elsewhere},
        sort_keys=True,
    )


def _blocks(config: DemosConfig) -> list[Block]:
    blocks = []
    for index, (task, total) in enumerate(config.episodes.items()):
        base = config.seed * 10_000_000 + index * 1_000_000
        starts = range(0, total, BLOCK_EPISODES)
        blocks += [
            Block(task, base + start, min(BLOCK_EPISODES, total - start)) for start in starts
        ]
    return blocks


def _block_path(folder: Path, block: Block) -> Path:
    return folder / f"{block.task}-{block.first_seed}-{block.count}.npz"


def _collect_block(config: DemosConfig, block: Block) -> dict[str, NDArray]:
    env = make_environment(block.task, config)
    episodes = [
        _collect_episode(env, seed, config)
        for seed in range(block.first_seed, block.first_seed + block.count)
    ]
    env.close()
    lengths = np.array([len(episode["action"]) for episode in episodes])
    joined = {name: np.concatenate([episode[name] for episode in episodes]) for name in episodes[0]}
    return {**joined, "ends": np.cumsum(lengths)}


def _collect_episode(env: Any, seed: int, config: DemosConfig) -> dict[str, NDArray]:
    """One successful episode; a failed one is tried again with another seed. Raises: ConfigError if
    none succeeds.
    """
    for attempt in range(MAX_FAILURES):
        episode = _try_episode(env, seed + attempt * 500_000_000, config)
        if episode["reward"][-1] > 0:
            return {**episode, "seed": np.array([seed])}
    raise ConfigError(
        f"the expert failed {MAX_FAILURES} times in a row; lower the noise, now {config.noise}"
    )


def _try_episode(env: Any, seed: int, config: DemosConfig) -> dict[str, NDArray]:
    rng = np.random.default_rng(seed)
    place = env.world.simulation
    lower = [*place.tool_lower_m[:2], LOWEST_START_M, -LARGEST_TURN_RAD]
    tool = tuple(rng.uniform(lower, [*place.tool_upper_m, LARGEST_TURN_RAD]))
    away, shut = rng.random() < config.away_from_home, rng.random() < config.shut
    observation, _ = env.reset(
        seed=seed, options={"tool": tool, "gripper": -1.0 if shut else 1.0} if away else {}
    )
    if rng.random() < config.nearest and env.task.any_object:
        distance = np.linalg.norm(
            env.scene.object_positions()[:, :2] - observation["proprio"][:2], axis=1
        )
        env.scene.aim_at(int(np.nanargmin(distance)))
        observation = env.observe()
    expert, scale = env.task.expert(env.scene), rng.uniform(*config.noise)
    rows: list[tuple] = []
    done = False
    while not done:
        action = np.clip(
            expert.action() + scale * NOISE_SHAPE * rng.normal(size=ACTION_SIZE), -1, 1
        ).astype(np.float32)
        positions = env.scene.object_positions().astype(np.float32)
        following, reward, terminated, truncated, _ = env.step(action)
        seen = (observation["image"], observation["proprio"], observation["state"])
        rows.append((*seen, action, np.float32(reward), positions))
        observation, done = following, terminated or truncated
    names = ("image", "proprio", "state", "action", "reward", "positions")
    episode = {
        name: np.stack(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }
    return {
        **episode,
        **{f"final_{name}": observation[name][None] for name in ("image", "proprio", "state")},
    }


def _joined(config: DemosConfig, folder: Path, blocks: list[Block]) -> Demonstrations:
    tasks = tuple(config.episodes)
    parts: dict[str, list[NDArray]] = {name: [] for name in ARRAYS}
    offset = 0
    for block in blocks:
        with np.load(_block_path(folder, block)) as kept:
            task, ends = np.full(block.count, tasks.index(block.task)), kept["ends"] + offset
            arrays = {**kept, "task": task, "ends": ends}
        for name in ARRAYS:
            parts[name].append(arrays[name])
        offset = int(ends[-1])
    return Demonstrations(
        **{name: np.concatenate(values) for name, values in parts.items()}, tasks=tasks
    )
