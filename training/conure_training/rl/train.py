"""`conure rl`: reinforcement learning with a sparse reward on one task, by one of the methods in
rl/methods.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from conure_core.config.loader import load_config
from conure_core.errors import ConfigError
from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.claim import claimed
from conure_training.data.atari import is_atari
from conure_training.data.environments import make_environment
from conure_training.rl.config import RunConfig
from conure_training.rl.loop import PROGRESS, RECENT_EPISODES, Loop
from conure_training.rl.method import Method
from conure_training.rl.registry import builder, environment_maker, loop_maker

__all__ = ["RECENT_EPISODES", "RunConfig", "run", "train_rl"]


def run(overrides: list[str]) -> None:
    """Train a policy by reinforcement learning, in z or from scratch."""
    train_rl(load_config("conure_training.conf", "rl", RunConfig, overrides))


def build_method(config: RunConfig, env: Any) -> Method:
    """Build the run's method on this environment.

    Args:
        config: The run.
        env: The run's environment.

    Returns:
        The method, ready for the loop.

    Raises:
        ConfigError: The method needs images, and the environment has none.
    """
    if config.method.uses_images and not getattr(env, "images", True):
        raise ConfigError(
            f"method {config.method.name} learns from images, but the environment has images=False;"
            " make it with images=True"
        )
    method: Method = builder(config.method.name)(config, config.method, env)
    return method


def train_rl(config: RunConfig, on_episode: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """Train; writes `policy.pt` and `curve.json` (see Loop.record) under `config.out`.

    Args:
        config: The run.
        on_episode: Called after every episode with its entry of the curve; None: nobody is.

    Returns:
        The path of `policy.pt`.

    Raises:
        ConfigError: The folder holds a checkpoint of another run.
        DataError: Demonstrations or prior cannot be read, or learning diverges.
    """
    with claimed(config.out, "conure rl"):
        return _train_rl(config, on_episode)


def _train_rl(config: RunConfig, on_episode: Callable[[dict[str, Any]], None] | None) -> Path:
    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    out = Path(config.out)
    with _open_loop(config) as loop:
        loop.run(on_episode)
        trained_for = {name: getattr(config, name) for name in ("task", "target", "objects")}
        loop.save(out / "policy.pt", {**trained_for, "config": str(asdict(config))})
    write_json(out / "curve.json", loop.record())
    for name in ("checkpoint.pt", "pretrained.pt", PROGRESS):
        (out / name).unlink(missing_ok=True)
    return out / "policy.pt"


@contextmanager
def _open_loop(config: RunConfig) -> Iterator[Any]:
    """The loop of the run's method: its own, or the one with a replay."""
    open_own = loop_maker(config.method.name)
    if open_own is not None:
        with open_own(config) as loop:
            yield loop
        return
    make = environment_maker(config.method.name)
    if make is None and is_atari(config.task):
        raise ConfigError(
            f"method={config.method.name} takes the continuous actions of an arm, {config.task} has"
            " discrete ones; give a method that plays, such as method=demo_resets"
        )
    make = make or _make_environment
    with ExitStack() as stack:
        env = make(config)
        stack.enter_context(closing(env))
        evaluation_env = None
        if config.evaluate_every:
            evaluation_env = make(config)
            stack.enter_context(closing(evaluation_env))
        yield Loop(config, build_method(config, env), env, evaluation_env)


def _make_environment(config: RunConfig) -> Any:
    return make_environment(config.task, config, config.target, config.method.uses_images)
