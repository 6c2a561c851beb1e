"""`method=ppo` and `method=trpo`: reinforcement learning from the task's reward alone, on the
privileged state or an Atari game's memory.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from conure_training.rl.config import RunConfig
from conure_training.rl.on_policy.config import OnPolicyConfig
from conure_training.rl.on_policy.environments import make_vector_environment
from conure_training.rl.on_policy.loop import OnPolicyLoop, OnPolicyMethod, open_on_policy_loop
from conure_training.rl.on_policy.networks import size_for


@dataclass(frozen=True)
class PpoMethodConfig(OnPolicyConfig):
    """Of plain PPO."""

    name: str = "ppo"


@dataclass(frozen=True)
class TrpoMethodConfig(OnPolicyConfig):
    """Of plain TRPO."""

    name: str = "trpo"
    algorithm: str = "trpo"
    rollout_steps: int = 512


def build(run: RunConfig, config: OnPolicyConfig) -> OnPolicyMethod:
    """Build the method: episodes begin at the true start.

    Args:
        run: The run.
        config: The method's settings.

    Returns:
        The method, its policy untrained.
    """
    env = make_vector_environment(run)
    size = size_for(env, config.hidden_dims, config.memory)
    return OnPolicyMethod(config, size, partial(make_environments, run), env)


def make_environments(run: RunConfig, count: int) -> list[Any]:
    """Make environments to learn in.

    Args:
        run: The run.
        count: How many.

    Returns:
        The environments.
    """
    return [make_vector_environment(run) for _ in range(count)]


def open_loop(run: RunConfig) -> AbstractContextManager[OnPolicyLoop]:
    """The run's loop, see rl.train."""
    return open_on_policy_loop(run, build)
