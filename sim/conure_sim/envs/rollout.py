"""Run one episode: reset, then act until it ends."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conure_core.contract.action import ACTION_SIZE
from conure_core.types import Array

Observation = dict[str, NDArray[Any]]
Policy = Callable[[Observation], NDArray[Any]]
"""An action (7,) in [-1, 1] for an observation."""
Driver = Callable[[Any], Policy]
"""The policy for an environment's present episode; called after its reset."""


@dataclass(frozen=True)
class Transition:
    """One control period."""

    observation: Observation
    """Before the action."""
    action: Array
    """(7,), in [-1, 1]."""
    reward: float
    """1 at success, else 0."""
    following: Observation
    """After the action."""
    info: dict[str, Any]
    """After the action, see TabletopEnv."""


@dataclass(frozen=True)
class EpisodeResult:
    """The outcome of an episode."""

    steps: int
    """Control periods until its end."""
    success: bool
    """Whether the task was done; else the time limit ended it."""
    info: dict[str, Any]
    """After the last step, see TabletopEnv."""


def rollout(
    env: Any,
    driver: Driver,
    seed: int,
    on_step: Callable[[Transition], None] | None = None,
    on_reset: Callable[[], None] | None = None,
) -> EpisodeResult:
    """Run one episode until it succeeds or its time is over.

    Args:
        env: A TabletopEnv.
        driver: Gives the policy of the episode.
        seed: Of the episode.
        on_step: Called after each step.
        on_reset: Called after the reset, before the driver.

    Returns:
        Length and outcome.

    Raises:
        UnsafeCommand: The policy gave an action of another shape or with NaN.

    >>> rollout(TabletopEnv("Lift"), expert, seed=0).success
    True
    """
    observation, _ = env.reset(seed=seed)
    if on_reset is not None:
        on_reset()
    return act_until_done(env, driver(env), observation, on_step)


def act_until_done(
    env: Any,
    policy: Policy,
    observation: Observation,
    on_step: Callable[[Transition], None] | None = None,
) -> EpisodeResult:
    """Run the rest of an episode, for callers that reset the environment in their own way.

    Args:
        env: A TabletopEnv, after its reset.
        policy: Acts.
        observation: The present one.
        on_step: Called after each step.

    Returns:
        Length and outcome.

    Raises:
        UnsafeCommand: The policy gave an action of another shape or with NaN.
    """
    steps = 0
    done = False
    while not done:
        action = np.asarray(policy(observation), dtype=np.float64)
        following, reward, terminated, truncated, info = env.step(action)
        if on_step is not None:
            on_step(Transition(observation, action, reward, following, info))
        observation = following
        steps += 1
        done = terminated or truncated
    return EpisodeResult(steps, bool(info["is_success"]), info)


def expert(env: Any) -> Policy:
    """The task's scripted expert, as a driver."""
    scripted = env.task.expert(env.scene)
    return lambda observation: np.asarray(scripted.action())


def random_actions(seed: int) -> Driver:
    """A driver whose actions are uniform in [-1, 1], drawn from this seed."""
    rng = np.random.default_rng(seed)
    return lambda env: lambda observation: rng.uniform(-1.0, 1.0, ACTION_SIZE)
