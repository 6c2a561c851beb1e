"""The two environments of the experiment, as vectors in and vectors out, each with its expert."""

import math
from collections.abc import Callable
from contextlib import closing
from typing import Any, Protocol

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import conure_sim  # noqa: F401  (registers the environments)
from conure_core.errors import unknown_name
from conure_sim.envs.rollout import expert
from conure_training.rl.offline.learner import SEEN
from conure_training.rl.replay import Episode

Act = Callable[[NDArray[np.float32]], NDArray[Any]]
"""An action, (A,) in [-1, 1], for features (F,)."""
Agent = Callable[[Any], Act]
"""What acts in an environment's present episode; called after its reset."""

LARGEST_RETURN = 0.0
"""Of any policy, in either environment: no reward is positive."""


class Environment(Protocol):
    """No reward is positive; an episode has a limit of steps."""

    def reset(self, seed: int) -> NDArray[np.float32]:
        """Start an episode; features (F,)."""

    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, bool]:
        """Features (F,), reward, terminated, truncated, after an action (A,) in [-1, 1]."""

    def expert(self) -> Act:
        """The scripted expert, for the present episode."""

    def close(self) -> None:
        """Free what the environment holds."""


class Pendulum:
    """Gymnasium's Pendulum-v1, its torque scaled to [-1, 1]. Features: cos, sin, rad/s."""

    UPRIGHT_COS = 0.95

    def __init__(self) -> None:
        self.env = gymnasium.make("Pendulum-v1")

    def reset(self, seed: int) -> NDArray[np.float32]:
        features, _ = self.env.reset(seed=seed)
        return np.asarray(features, np.float32)

    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, bool]:
        features, reward, terminated, truncated, _ = self.env.step(2.0 * action)
        return np.asarray(features, np.float32), float(reward), terminated, truncated

    def expert(self) -> Act:
        return self._balance

    def close(self) -> None:
        self.env.close()

    def _balance(self, features: NDArray[np.float32]) -> NDArray[Any]:
        """Pump energy until the rod is nearly upright, then hold it there."""
        cos, sin, speed = features.tolist()
        if cos > self.UPRIGHT_COS:
            torque = -10.0 * math.atan2(sin, cos) - 2.5 * speed
        else:
            energy = speed * speed / 6.0 + 5.0 * (cos - 1.0)
            torque = -5.0 * energy * math.copysign(1.0, speed)
        return np.clip([0.5 * torque], -1.0, 1.0)


class PushToGoal:
    """Our task PushToGoal from the privileged state, with a dense reward.

    Reward: minus ten times the distance from tool to puck and from puck to goal, m; success ends
    the episode. Images are made as small as the environment allows, and not used.
    """

    SCALE = 10.0

    def __init__(self) -> None:
        self.env: Any = gymnasium.make("conure/PushToGoal-v0", image_size=16).unwrapped

    def reset(self, seed: int) -> NDArray[np.float32]:
        observation, _ = self.env.reset(seed=seed)
        return np.asarray(observation["state"])

    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, bool]:
        observation, _, terminated, truncated, _ = self.env.step(action)
        scene = self.env.scene
        tool_m = observation["state"][:3]
        puck_m, _ = scene.world.pose(scene.target.body)
        distance_m = np.linalg.norm(puck_m - tool_m) + np.linalg.norm(scene.to_goal())
        reward = 0.0 if terminated else -self.SCALE * float(distance_m)
        return np.asarray(observation["state"]), reward, terminated, truncated

    def expert(self) -> Act:
        policy = expert(self.env)
        return lambda features: policy({"state": features})

    def close(self) -> None:
        self.env.close()


ENVIRONMENTS: dict[str, Callable[[], Environment]] = {
    "pendulum": Pendulum,
    "push_to_goal": PushToGoal,
}


def make_environment(name: str) -> Environment:
    """Make an environment. Raises: ConfigError with the valid names."""
    if name not in ENVIRONMENTS:
        raise unknown_name("environment", name, ENVIRONMENTS)
    return ENVIRONMENTS[name]()


def run_episode(env: Environment, agent: Agent, seed: int) -> Episode:
    """Run one episode.

    Args:
        env: The environment.
        agent: Gives what acts.
        seed: Of the episode.

    Returns:
        The episode, its only observation named "features".
    """
    rows = [env.reset(seed)]
    act = agent(env)
    actions = []
    rewards = []
    done = False
    while not done:
        action = np.asarray(act(rows[-1]), np.float32)
        features, reward, terminated, truncated = env.step(action)
        rows.append(features)
        actions.append(action)
        rewards.append(reward)
        done = terminated or truncated
    seen = {SEEN: torch.from_numpy(np.stack(rows))}
    return Episode(seen, torch.from_numpy(np.stack(actions)), torch.tensor(rewards), terminated)


def scripted(env: Environment) -> Act:
    """The scripted expert, as an agent."""
    return env.expert()


def uniform_actions(action_dim: int, seed: int) -> Agent:
    """Make an agent whose actions are uniform in [-1, 1].

    Args:
        action_dim: Values of an action.
        seed: Of the actions.

    Returns:
        The agent.
    """
    rng = np.random.default_rng(seed)
    return lambda env: lambda features: rng.uniform(-1.0, 1.0, action_dim)


def measure_sizes(name: str) -> tuple[int, int]:
    """Values of features and of an action in the environment of this name."""
    with closing(make_environment(name)) as env:
        features: Tensor = torch.from_numpy(env.reset(0))
        action = env.expert()(features.numpy())
    return len(features), len(action)
