"""Who is imitated, and an environment that says what the teacher would do."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from conure_core.contract.action import ACTION_SIZE
from conure_core.contract.spec import Contract, require_match
from conure_core.errors import ConfigError
from conure_sim.envs.rollout import Driver, expert
from conure_training.policies.chunked import ChunkedPolicy
from conure_training.policies.policy import Policy, PrivilegedPolicy, as_driver
from conure_training.rl.policy_file import load_policy

EXPERT = "expert"
"""In place of a policy's path: the task's scripted expert."""
LABEL = "teacher"
"""Name of the observation that holds the teacher's action."""

Observation = dict[str, NDArray[Any]]


class Teacher:
    """A policy, or the task's scripted expert, as a function of the present moment."""

    def __init__(self, policy: Policy | None, noise_scale: float = 0.0) -> None:
        """Choose who it is.

        Args:
            policy: Acts; None: the scripted expert.
            noise_scale: Of the policy's noise: 1 samples it, 0 takes its mean.
        """
        self.policy = policy
        self.noise_scale = noise_scale

    def driver(self, seed: int | None) -> Driver:
        """Who acts in the next episode; `seed` draws the policy's noise."""
        if self.policy is None:
            return expert
        return as_driver(self.policy, self.noise_scale, np.random.default_rng(seed))


def load_teacher(source: str, noise_scale: float, task: str, contract: Contract) -> Teacher:
    """Load a teacher.

    Args:
        source: EXPERT, or the path of a policy, see `load_policy`.
        noise_scale: See Teacher.
        task: What the student learns.
        contract: Of the student's environment. A teacher that sees no images may have been trained
            with others.

    Returns:
        The teacher.

    Raises:
        ConfigError: The teacher has learned another task, or decides several actions at once.
        SpecMismatch: It is for another arm, image size or rate; names every field.
        DataError: The file cannot be read, or there is none.
    """
    if source == EXPERT:
        return Teacher(None)
    policy = load_policy(Path(source))
    expected = contract
    if isinstance(policy, ChunkedPolicy):
        raise ConfigError(
            f"{source} decides {policy.prior.size.chunk} actions at once, but a teacher is asked at"
            " every step; give one with size.chunk=1"
        )
    if isinstance(policy, PrivilegedPolicy):
        if policy.task != task:
            raise ConfigError(
                f"{source} has learned task={policy.task}, the student is to learn {task}; give"
                f" task={policy.task}, or a teacher of {task}"
            )
        seen = replace(contract.observation, image=policy.contract.observation.image)
        expected = replace(contract, observation=seen)
    require_match(expected, policy.contract, source)
    return Teacher(policy, noise_scale)


class LabelledEnvironment(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A tabletop environment whose observations hold the teacher's action at that moment, as
    LABEL.
    """

    def __init__(self, env: Any, teacher: Teacher) -> None:
        """Wrap an environment.

        Args:
            env: A TabletopEnv.
            teacher: Whose actions are given.
        """
        super().__init__(env)
        self.teacher = teacher
        label = gymnasium.spaces.Box(-1.0, 1.0, (ACTION_SIZE,), np.float32)
        self.observation_space = gymnasium.spaces.Dict({**env.observation_space, LABEL: label})

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode, of the teacher as well."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._choose = self.teacher.driver(seed)(self.env.unwrapped)
        return self._labelled(observation), info

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Act; the observation after it holds what the teacher would do there."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._labelled(observation), float(reward), terminated, truncated, info

    def _labelled(self, observation: Observation) -> Observation:
        label = np.asarray(self._choose(observation), np.float32)
        return {**observation, LABEL: label.clip(-1.0, 1.0)}
