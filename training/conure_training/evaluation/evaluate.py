"""`conure evaluate`: success of a prior, a policy or a bundle in simulation, over fresh seeds."""

from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from conure_core.cli.registry import load_verb
from conure_core.config.loader import load_config
from conure_core.config.values import COUNT, COUNT_OR_NONE, SEED, WORKERS, bounds, check_values
from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.claim import claimed
from conure_core.runtime.resume import CHANGES_NO_RESULT
from conure_sim.envs.rollout import rollout
from conure_sim.physics.engines import PYBULLET, require_engine
from conure_sim.randomization.factors import factors_at_rest, find_randomization
from conure_sim.tasks import find_task
from conure_training.data.environments import make_environment
from conure_training.evaluation.intervals import estimate_rate
from conure_training.policies.chunked import with_execution_horizon
from conure_training.policies.policy import Policy, as_driver
from conure_training.rl.policy_file import load_policy
from conure_training.runtime.parallel import ENGINES, make_engine, run_blocks

BLOCK_EPISODES = 10


@dataclass(frozen=True)
class EvaluateConfig:
    """The settings of `conure evaluate`."""

    agent: str = field(metadata=CHANGES_NO_RESULT)
    """File of a prior or a policy, or folder of a bundle."""

    out: str = field(metadata=CHANGES_NO_RESULT)
    """JSON file for the results; empty: not written."""

    task: str
    """Name of the task."""

    arm: str
    """Name of an arm, or path of its YAML file."""

    image_size: int
    """Height and width of the images, px."""

    objects: str
    """Name of an object set, or path of a folder."""

    containers: str
    """Name of a set of containers."""

    target: str
    """Object to act on; empty: any of the set."""

    distractors: int = field(metadata=COUNT_OR_NONE)
    """Objects beside the task's own."""

    episodes: int = field(metadata=COUNT)
    """Number of episodes."""

    noise_scale: float = field(metadata=bounds(0.0, 3.0))
    """Scale of the policy's noise: 1 samples it, 0 takes its mean."""

    seed: int = field(metadata=SEED)
    """Seed of the first episode; the next ones count up."""

    workers: int = field(metadata=WORKERS)
    """Processes; 0: one a core."""

    engine: str = field(default=ENGINES[0], metadata=CHANGES_NO_RESULT)
    """See `Engine`."""

    ray_address: str = field(default="", metadata=CHANGES_NO_RESULT)
    """See `Engine`."""

    execute: int = field(default=0, metadata=COUNT_OR_NONE)
    """Actions of a chunk before the next chunk is decided; 0: all."""

    physics: str = PYBULLET
    """Engine: pybullet, or mujoco, which stands in for reality."""

    randomization: dict[str, Any] = field(default_factory=factors_at_rest)
    """Domain randomization: the name of a preset and its factors."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        make_engine(self)
        require_engine(self.physics)
        find_task(self.task)
        find_randomization(self.randomization)


def run(overrides: list[str]) -> None:
    """Roll a prior, a policy or a bundle out in simulation; plan=FILE begins planned trials."""
    if any(word.startswith("plan=") for word in overrides):
        load_verb("trials run")([word for word in overrides if word != "graph=robot"])
        return
    config = load_config("conure_training.conf", "evaluate", EvaluateConfig, overrides)
    result = evaluate(config)
    for name in ("success", "any_lifted"):
        rate = result[name]
        interval = f"95 % interval {rate['low']:.1%} to {rate['high']:.1%}"
        print(f"{name}: {rate['rate']:.1%}, {interval}, n = {rate['trials']}")


def evaluate(config: EvaluateConfig, label: str = "evaluation") -> dict[str, Any]:
    """Measure success rates over episodes in parallel.

    Args:
        config: What to roll out where.
        label: Of the progress bar.

    Returns:
        `config`; `episodes`, with each one's outcome; `success` and `any_lifted`, see
        `estimate_rate`. Also in the file `config.out`.

    Raises:
        DataError: The policy's file cannot be read.
        SpecMismatch: The policy is for another arm or camera.
    """
    with claimed(config.out, "conure evaluate", "file") if config.out else nullcontext():
        return _evaluate(config, label)


def _evaluate(config: EvaluateConfig, label: str) -> dict[str, Any]:
    with make_environment(config.task, config, config.target, physics=config.physics) as env:
        policy = load_policy(Path(config.agent), env.contract)
        with_execution_horizon(policy, config.execute)  # refused here, before workers start

    last = config.seed + config.episodes
    blocks = []
    for first in range(config.seed, last, BLOCK_EPISODES):
        blocks.append(range(first, min(first + BLOCK_EPISODES, last)))
    work = partial(_run_block, config)
    done = dict(run_blocks(work, blocks, make_engine(config), label, len))

    episodes = [episode for block in blocks for episode in done[block]]
    result: dict[str, Any] = {"config": asdict(config), "episodes": episodes}
    for name in ("success", "any_lifted"):
        result[name] = estimate_rate([bool(episode[name]) for episode in episodes])
    if config.out:
        write_json(Path(config.out), result)
    return result


def _run_block(config: EvaluateConfig, seeds: range) -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    policy = with_execution_horizon(load_policy(Path(config.agent)), config.execute)
    env = make_environment(config.task, config, config.target, physics=config.physics)
    outcomes = [run_episode(env, policy, seed, config.noise_scale) for seed in seeds]
    env.close()
    return outcomes


def run_episode(
    env: gymnasium.Env, policy: Policy, seed: int, noise_scale: float
) -> dict[str, Any]:
    """Run one episode.

    Args:
        env: A tabletop environment.
        policy: Acts in it.
        seed: Of the scene, and of the policy's noise.
        noise_scale: Of that noise; 0 takes the policy's mean.

    Returns:
        `seed`, `steps`, `target`, `success` and `any_lifted`.
    """
    driver = as_driver(policy, noise_scale, np.random.default_rng(seed))
    result = rollout(env, driver, seed)
    return {
        "seed": seed,
        "steps": result.steps,
        "target": result.info["target"],
        "success": result.info["is_success"],
        "any_lifted": result.info["any_lifted"],
    }
