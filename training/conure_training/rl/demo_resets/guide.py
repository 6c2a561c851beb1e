"""Who leads an episode from the true start to where the policy takes over, where states cannot be
restored, as on a robot.

Source: Uchendu et al., Jump-Start Reinforcement Learning, arXiv 2204.02372.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from conure_training.policies.policy import Policy
from conure_training.rl.demo_resets.demonstration import Demonstration

Observation = NDArray[np.float32]


class Guide(Protocol):
    """Acts first."""

    follows_demonstration: bool
    """Whether its episodes are the demonstration's, step by step."""

    def begin(self, env: Any, seed: int | None) -> Observation:
        """Reset the environment; the first observation."""
        ...

    def action(self, env: Any, step: int) -> Any:
        """Choose the action of a step."""
        ...


class DemonstrationGuide:
    """Repeats the demonstration's actions in its own scene."""

    follows_demonstration = True

    def __init__(self, demonstration: Demonstration) -> None:
        self.demonstration = demonstration

    def begin(self, env: Any, seed: int | None) -> Observation:
        start = self.demonstration
        observation: Observation = env.reset(seed=start.seed, options=start.options)[0]
        if start.target:
            env.unwrapped.scene.aim_at(start.target)
            observation = env.observe()
        return observation

    def action(self, env: Any, step: int) -> Any:
        return self.demonstration.actions[step]


class PolicyGuide:
    """A policy of Conure, such as a prior, in any scene."""

    follows_demonstration = False

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.rng = np.random.default_rng()

    def begin(self, env: Any, seed: int | None) -> Observation:
        self.rng = np.random.default_rng(seed)
        self.policy.begin()
        observation: Observation = env.reset(seed=seed)[0]
        return observation

    def action(self, env: Any, step: int) -> Any:
        noise = self.rng.standard_normal(self.policy.noise_dim).astype(np.float32)
        return self.policy.act(env.unwrapped.observe(), noise)
