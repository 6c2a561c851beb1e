"""`conure evaluate`: success of a prior, a policy or a bundle in simulation, over fresh seeds, in
parallel.
"""

from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from conure_core.config.loader import load_config
from conure_core.config.values import COUNT, COUNT_OR_NONE, SEED, WORKERS, bounds, check_values
from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.claim import claimed
from conure_sim.randomization.factors import factors_at_rest, find_randomization
from conure_sim.tasks import find_task
from conure_training.data.environments import make_environment
from conure_training.evaluation.intervals import wilson_interval
from conure_training.policies.chunked import with_execution_horizon
from conure_training.policies.policy import Agent
from conure_training.rl.policy_file import load_policy
from conure_training.runtime.parallel import ENGINES, engine_of, run_blocks

BLOCK_EPISODES = 10


@dataclass(frozen=True)
class EvaluateConfig:
    """What to roll out where. `target` empty: any object of the set; `noise_scale`: of the policy's
    noise, 1 samples it, 0 takes its middle (mean z); `execute`: actions of a chunk before the next
    is decided, 0: all.
    """

    agent: str
    out: str
    task: str
    arm: str
    image_size: int
    objects: str
    containers: str
    target: str
    distractors: int = field(metadata=COUNT_OR_NONE)
    episodes: int = field(metadata=COUNT)
    noise_scale: float = field(metadata=bounds(0.0, 3.0))
    seed: int = field(metadata=SEED)
    workers: int = field(metadata=WORKERS)
    engine: str = ENGINES[0]
    ray_address: str = ""
    execute: int = field(default=0, metadata=COUNT_OR_NONE)
    randomization: dict[str, Any] = field(default_factory=factors_at_rest)

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        engine_of(self)
        find_task(self.task)
        find_randomization(self.randomization)


def run(overrides: list[str]) -> None:
    """Roll a prior, a policy or a bundle out in simulation."""
    config = load_config("conure_training.conf", "evaluate", EvaluateConfig, overrides)
    result = evaluate(config)
    for name in ("success", "any_lifted"):
        rate = result[name]
        interval = f"95 % interval {rate['low']:.1%} to {rate['high']:.1%}"
        print(f"{name}: {rate['rate']:.1%}, {interval}, n = {rate['trials']}")


def evaluate(config: EvaluateConfig, label: str = "evaluation") -> dict[str, Any]:
    """Success rates with Wilson intervals and every episode's outcome; written to `config.out` if
    one is given.
    """
    with claimed(config.out, "conure evaluate", "file") if config.out else nullcontext():
        return _evaluate(config, label)


def _evaluate(config: EvaluateConfig, label: str) -> dict[str, Any]:
    with make_environment(config.task, config, config.target) as env:
        with_execution_horizon(load_policy(Path(config.agent), env.contract), config.execute)
    last = config.seed + config.episodes
    blocks = [
        range(first, min(first + BLOCK_EPISODES, last))
        for first in range(config.seed, last, BLOCK_EPISODES)
    ]
    done = dict(run_blocks(partial(_run_block, config), blocks, engine_of(config), label, len))
    episodes = [episode for block in blocks for episode in done[block]]
    result: dict[str, Any] = {"config": asdict(config), "episodes": episodes}
    for name in ("success", "any_lifted"):
        result[name] = rate_of([bool(episode[name]) for episode in episodes])
    if config.out:
        write_json(Path(config.out), result)
    return result


def rate_of(outcomes: list[bool]) -> dict[str, float]:
    """Rate, Wilson 95 % interval and counts."""
    low, high = wilson_interval(sum(outcomes), len(outcomes))
    rate = sum(outcomes) / max(1, len(outcomes))
    return {
        "rate": rate,
        "low": low,
        "high": high,
        "successes": sum(outcomes),
        "trials": len(outcomes),
    }


def _run_block(config: EvaluateConfig, seeds: range) -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    agent = with_execution_horizon(load_policy(Path(config.agent)), config.execute)
    env = make_environment(config.task, config, config.target)
    outcomes = [run_episode(env, agent, seed, config.noise_scale) for seed in seeds]
    env.close()
    return outcomes


def run_episode(env: gymnasium.Env, agent: Agent, seed: int, noise_scale: float) -> dict[str, Any]:
    """One episode; its noise comes from the seed too."""
    rng = np.random.default_rng(seed)
    agent.begin()
    observation, info = env.reset(seed=seed)
    steps, done = 0, False
    while not done:
        noise = noise_scale * rng.standard_normal(agent.noise_dim)
        observation, _, terminated, truncated, info = env.step(
            agent.act(observation, noise.astype(np.float32))
        )
        steps, done = steps + 1, terminated or truncated
    outcome = {"success": info["is_success"], "any_lifted": info["any_lifted"]}
    return {"seed": seed, "steps": steps, "target": info["target"], **outcome}
