"""Three experiments: an agent that acts, and agents that learn from its data alone.

    final_buffer: DDPG acts with noise N(0, 0.5^2); afterwards another learns from all that it saw.
    concurrent:   DDPG acts with noise N(0, 0.1^2); another learns from the same data beside it.
    imitation:    a scripted expert acts without noise; DDPG, BCQ, TD3+BC and IQL learn from it.

All agents that learn off-policy take as many updates as the one that acts, on batches of their own.
Before it learns, the agent that acts takes `random_steps` uniform actions.

Source: Fujimoto, Meger and Precup, arXiv 1812.02900, section 3.1.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conure_core.config.values import COUNT, SEED, check_values
from conure_core.errors import unknown_name
from conure_experiments.off_policy.environments import (
    ENVIRONMENTS,
    LARGEST_RETURN,
    Act,
    Agent,
    Environment,
    make_environment,
    measure_sizes,
    run_episode,
    scripted,
    uniform_actions,
)
from conure_training.rl.offline.bcq import Bcq, BcqConfig
from conure_training.rl.offline.ddpg import Ddpg, DdpgConfig
from conure_training.rl.offline.iql import Iql, IqlConfig
from conure_training.rl.offline.learner import SEEN, OfflineLearner
from conure_training.rl.offline.td3_bc import Td3Bc, Td3BcConfig
from conure_training.rl.replay import Episode, Field, Replay, ReplayConfig
from conure_training.runtime.parallel import progress_bar

SETTINGS = {"final_buffer": 0.5, "concurrent": 0.1, "imitation": 0.0}
"""Standard deviation of the noise on the actions of the agent that acts, by experiment."""
GAMMA = 0.99
EVALUATION_SEEDS = 50_000
BEHAVIORAL = "behavioral"
"""Name of the agent that acts."""
DATA_ROWS = 500
"""Observations of the data at which values are predicted."""


@dataclass(frozen=True)
class OffPolicy:
    """The experiment's settings."""

    environment: str = "pendulum"
    """Name of the environment."""
    setting: str = "imitation"
    """Which of the three experiments."""
    steps: int = field(default=6000, metadata=COUNT)
    """Environment steps of the data after the random ones, and updates of each learner."""
    random_steps: int = field(default=1000, metadata=COUNT)
    """Uniform actions before the agent that acts begins to learn."""
    hidden_width: int = field(default=64, metadata=COUNT)
    """Width of the hidden layers of actors and critics."""
    vae_width: int = field(default=128, metadata=COUNT)
    """Of the hidden layers of BCQ's autoencoder."""
    evaluate_every: int = field(default=2000, metadata=COUNT)
    """Updates between evaluations."""
    episodes: int = field(default=10, metadata=COUNT)
    """Episodes of an evaluation, on seeds that are always the same."""
    seed: int = field(default=0, metadata=SEED)
    """Decides data, weights and batches."""

    def __post_init__(self) -> None:
        if self.environment not in ENVIRONMENTS:
            raise unknown_name("environment", self.environment, ENVIRONMENTS)
        if self.setting not in SETTINGS:
            raise unknown_name("setting", self.setting, SETTINGS)
        check_values(vars(self), type(self))


def run(config: OffPolicy) -> dict[str, Any]:
    """Run one of the three experiments.

    Returns "random_return" and "expert_return" of the evaluation's episodes, "largest_return" of
    any policy, and "agents": of each agent its evaluations, with "updates", "return" (a mean),
    "true" (the mean discounted return), "predicted" (the mean of Q_1 at the first observation),
    "predicted_on_data" (its mean over observations of the data) and "share_too_high" (how many of
    these predictions are beyond the largest return).
    """
    torch.set_num_threads(1)
    with closing(make_environment(config.environment)) as env:
        experiment = _Experiment(config, env)
        if config.setting == "imitation":
            experiment.imitate()
        else:
            experiment.act_and_learn()
        return experiment.results()


class _Experiment:
    """One run: an environment, its data, and the agents' evaluations so far."""

    def __init__(self, config: OffPolicy, env: Environment) -> None:
        self.config = config
        self.env = env
        self.feature_dim, self.action_dim = measure_sizes(config.environment)
        self.agents: dict[str, list[dict[str, float]]] = {}
        self.generator = torch.Generator().manual_seed(config.seed)
        capacity = 2 * config.steps + 2000
        size = ReplayConfig(capacity=capacity, n_step=1, gamma=GAMMA)
        self.replay = Replay({SEEN: Field((self.feature_dim,))}, self.action_dim, size)

    def imitate(self) -> None:
        """Learn by every method from what the expert did."""
        while len(self.replay) < self.config.steps:
            self.replay.add(self._episode(scripted))
        self._record(BEHAVIORAL, 0, self._evaluate(scripted))
        for name, make in self._learners().items():
            learner = make()
            learner.fit_normalizers(self.replay)
            self._learn(name, learner)

    def act_and_learn(self) -> None:
        """Let DDPG act and learn; another learns beside it, or from all of it in the end."""
        config = self.config
        behavioral = self._make_ddpg(config.seed)
        other = self._make_ddpg(config.seed + 1)
        together = [behavioral, other] if config.setting == "concurrent" else [behavioral]
        uniform = uniform_actions(self.action_dim, config.seed)
        while len(self.replay) < config.random_steps:
            self.replay.add(self._episode(uniform))
        for learner in (behavioral, other):
            learner.fit_normalizers(self.replay)
        names = (BEHAVIORAL, "ddpg")
        with progress_bar() as bar:
            task = bar.add_task(f"off-policy: {config.setting}", total=config.steps, note="")
            while behavioral.updates < config.steps:
                episode = self._episode(self._noisy(behavioral))
                self.replay.add(episode)
                for _ in range(min(len(episode.action), config.steps - behavioral.updates)):
                    for name, learner in zip(names, together, strict=False):
                        self._update(name, learner)
                bar.update(task, completed=behavioral.updates)
        if other not in together:
            self._learn("ddpg", other)

    def results(self) -> dict[str, Any]:
        """See `run`."""
        uniform = uniform_actions(self.action_dim, self.config.seed)
        return {
            "random_return": self._evaluate(uniform)["return"],
            "expert_return": self._evaluate(scripted)["return"],
            "largest_return": LARGEST_RETURN,
            "agents": self.agents,
        }

    def _learners(self) -> dict[str, Callable[[], OfflineLearner]]:
        size = (self.feature_dim, self.action_dim)
        width, seed = self.config.hidden_width, self.config.seed
        bcq = BcqConfig(hidden_width=width, vae_width=self.config.vae_width)
        return {
            "ddpg": lambda: self._make_ddpg(seed),
            "bcq": lambda: Bcq(*size, bcq, seed),
            "td3_bc": lambda: Td3Bc(*size, Td3BcConfig(hidden_width=width), seed),
            "iql": lambda: Iql(*size, IqlConfig(hidden_width=width), seed),
        }

    def _make_ddpg(self, seed: int) -> Ddpg:
        config = DdpgConfig(hidden_width=self.config.hidden_width)
        return Ddpg(self.feature_dim, self.action_dim, config, seed)

    def _learn(self, name: str, learner: OfflineLearner) -> None:
        with progress_bar() as bar:
            task = bar.add_task(f"off-policy: {name}", total=self.config.steps, note="")
            for _ in range(self.config.steps):
                self._update(name, learner)
                bar.advance(task)

    def _update(self, name: str, learner: OfflineLearner) -> None:
        learner.update(self.replay.sample(learner.config.batch_size, learner.generator))
        if learner.updates % self.config.evaluate_every == 0:
            self._record(name, learner.updates, self._evaluate(_as_agent(learner), learner))

    def _record(self, name: str, updates: int, evaluation: dict[str, float]) -> None:
        self.agents.setdefault(name, []).append({"updates": updates, **evaluation})

    def _episode(self, agent: Agent) -> Episode:
        """The next episode of the data."""
        (seed,) = torch.randint(2**31 - 1, (1,), generator=self.generator).tolist()
        return run_episode(self.env, agent, seed)

    def _noisy(self, learner: OfflineLearner) -> Agent:
        """The learner's actions with the noise of the experiment, clipped to the box."""
        deviation = SETTINGS[self.config.setting]
        act = _as_agent(learner)(self.env)

        def noisy(features: Any) -> Any:
            noise = torch.randn(self.action_dim, generator=self.generator).numpy()
            return np.clip(act(features) + deviation * noise, -1.0, 1.0)

        return lambda env: noisy

    def _evaluate(self, agent: Agent, critic: OfflineLearner | None = None) -> dict[str, float]:
        returns = []
        discounted = []
        first = []
        for index in range(self.config.episodes):
            episode = run_episode(self.env, agent, EVALUATION_SEEDS + index)
            weights = GAMMA ** torch.arange(len(episode.reward))
            returns.append(episode.reward.sum().item())
            discounted.append((weights * episode.reward).sum().item())
            first.append(episode.observations[SEEN][0])
        measured = {"return": float(np.mean(returns)), "true": float(np.mean(discounted))}
        if critic is not None:
            measured["predicted"] = critic.predict(torch.stack(first)).mean().item()
            on_data = critic.predict(self._some_data())
            measured["predicted_on_data"] = on_data.mean().item()
            measured["share_too_high"] = (on_data > LARGEST_RETURN).float().mean().item()
        return measured

    def _some_data(self) -> Tensor:
        """At most DATA_ROWS features of the data so far, evenly spread, (n, F)."""
        rows = self.replay.rows(SEEN)
        return rows[:: max(1, len(rows) // DATA_ROWS)]


def _as_agent(learner: OfflineLearner) -> Agent:
    """The learner's mean actions."""

    def act(features: Any) -> Any:
        row = {SEEN: torch.from_numpy(features)[None]}
        return learner.act(row, learner.generator, deterministic=True)[0].numpy()

    def agent(env: Environment) -> Act:
        return act

    return agent
