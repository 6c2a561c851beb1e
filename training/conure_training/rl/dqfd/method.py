"""`method=dqfd`: deep Q-learning from demonstrations, on the privileged state of a table's task in
discrete actions, or on an Atari game.

Source: Hester et al., Deep Q-learning from Demonstrations, AAAI 2018, arXiv 1704.03732.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conure_core.errors import ConfigError
from conure_training.data.atari import is_atari, make_game
from conure_training.data.discrete_actions import DiscreteActions, Table, require_discrete
from conure_training.data.environments import make_environment as make_table
from conure_training.rl.config import RunConfig
from conure_training.rl.dqfd.config import DqfdConfig
from conure_training.rl.dqfd.demonstrations import find_demonstrations
from conure_training.rl.dqfd.games import LONGER, UntilScore, load_game_demonstration
from conure_training.rl.dqfd.learner import SEEN, Dqfd
from conure_training.rl.dqfd.network import QNetworkSize
from conure_training.rl.dqfd.policy import load_policy, save_policy
from conure_training.rl.dqfd.replay import PrioritizedReplay
from conure_training.rl.learners.learner import Observation
from conure_training.rl.method import Method
from conure_training.rl.replay import Episode, Field

__all__ = ["DqfdConfig", "build", "load_policy", "make_environment", "size_for"]


@dataclass(frozen=True)
class Setup:
    """An environment in discrete actions and what was shown in it."""

    wrap: Callable[[Any], Any]
    """Makes the actions of the run's environment discrete."""
    episodes: list[Episode]
    """Demonstrations."""
    table: Table | None = None
    """The arm's actions; None: a game's own."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Of the demonstrations."""


def make_environment(run: RunConfig) -> Any:
    """Make the run's environment, a table or a game, before its actions are discrete. Raises:
    ConfigError for screens of a table.
    """
    config = run.method
    if not isinstance(config, DqfdConfig):
        raise TypeError(f"expected a DqfdConfig, got {type(config).__name__}")
    if is_atari(run.task):
        return make_game(run.task, config.pixels)
    if config.pixels:
        raise ConfigError(
            f"method.pixels is for games, {run.task} is seen by its privileged state; leave it out"
        )
    return make_table(run.task, run, run.target, images=False)


def build(run: RunConfig, config: DqfdConfig, env: Any) -> Method:
    """Build the method: demonstrations are shown or read, nothing is learned yet.

    Args:
        run: The run.
        config: Settings.
        env: From `make_environment`.

    Returns:
        The method, for the loop.
    """
    setup = _set_up(run, config, env)
    size = size_for(setup.wrap(env), config)
    learner = Dqfd(config, size, run.seed)
    dtype = torch.uint8 if config.pixels else torch.float32
    fields = {SEEN: Field(size.observation, dtype)}
    replay = PrioritizedReplay(fields, setup.episodes, config, run.replay.capacity)

    def save(path: Path, note: dict[str, Any]) -> None:
        contract = getattr(env.unwrapped, "contract", None)
        save_policy(path, learner.policy, setup.table, run.task, contract, note)

    return Method(
        learner=learner,
        replay=replay,
        observe=_observe,
        save=save,
        command=_number,
        environment=setup.wrap,
        metrics=setup.metrics,
    )


def size_for(env: Any, config: DqfdConfig) -> QNetworkSize:
    """Choose the network's size.

    Args:
        env: Its actions are discrete.
        config: Widths.

    Returns:
        The size.

    Raises:
        ConfigError: The environment's actions are continuous.
    """
    actions = require_discrete(env, "dqfd")
    space = env.observation_space
    seen = space["state"] if "state" in getattr(space, "keys", list)() else space
    return QNetworkSize(tuple(seen.shape), actions, config.hidden_dims)


def _set_up(run: RunConfig, config: DqfdConfig, env: Any) -> Setup:
    if is_atari(run.task):
        return _set_up_game(config, env)
    found = find_demonstrations(run, config, env)
    lengths = [len(episode.actions) for episode in found.episodes]
    metrics = {"actions": len(found.table), "demonstrations": len(lengths)}
    return Setup(
        wrap=lambda table: DiscreteActions(table, found.table),
        episodes=found.replay_episodes(),
        table=found.table,
        metrics={**metrics, "demonstrated_steps": sum(lengths)},
    )


def _set_up_game(config: DqfdConfig, env: Any) -> Setup:
    if not config.demonstration:
        raise ConfigError(
            "a game has no expert of its own, and its score is the demonstration's; give"
            " method.demonstration=FILE, an .npz file of actions"
        )
    path = Path(config.demonstration)
    episode, points = load_game_demonstration(env, path, config.rewards)
    steps = len(episode.reward)
    used = config.demonstrations != "none"
    return Setup(
        wrap=lambda game: UntilScore(game, points, LONGER * steps),
        episodes=[episode] if used else [],
        metrics={"points": points, "demonstrations": int(used), "demonstrated_steps": steps},
    )


def _observe(observation: Any) -> dict[str, Tensor]:
    seen = observation["state"] if isinstance(observation, dict) else observation
    return {SEEN: torch.from_numpy(seen)}


def _number(observation: Observation, action: Tensor) -> Tensor:
    return action[:, 0].long()
