"""The rollout worker of demonstration resets: where its episodes begin, and when one succeeds.

Algorithm 1 of Salimans and Chen, Learning Montezuma's Revenge from a Single Demonstration, arXiv
1812.03381, for one environment.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from conure_training.rl.demo_resets.demonstration import Demonstration
from conure_training.rl.demo_resets.guide import Guide
from conure_training.rl.on_policy.observations import take

TRUE_START = -1
"""In place of a step: the environment's own start."""

Observation = Any
Step = tuple[Observation, float, bool, bool, dict[str, Any]]


@dataclass(frozen=True)
class ResetRule:
    """How a worker begins and judges its episodes."""

    window: int = 12
    """D: episodes begin in a step drawn from [tau* - D, tau*]."""
    burn_in: int = 0
    """K: demonstrated steps before it that a recurrent policy sees first."""
    anywhere: float = 0.0
    """Share of episodes that begin anywhere between tau* and the demonstration's end instead."""
    lag: int = 12
    """An episode fails once its score is below the demonstration's of so many steps before."""
    reward_scale: float = 1.0
    """What the learner's rewards are multiplied by."""


class ResetWorker(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose episodes begin near tau* of a demonstration.

    `reset(options={"reset_point": tau*})` draws the starting step. Steps before it are the
    demonstration's or the guide's, whatever the policy chose: `info["burn_in"]` is True for them.
    An episode succeeds, `info["is_success"]`, when its return from there reaches the
    demonstration's. `info["start"]`: the starting step.
    """

    def __init__(
        self,
        env: Any,
        demonstration: Demonstration,
        rule: ResetRule,
        guide: Guide | None = None,
    ) -> None:
        """Wrap an environment.

        Args:
            env: Its observations vectors; with `save_state` and `restore_state` unless there is a
                guide.
            demonstration: Of this environment.
            rule: Where episodes begin.
            guide: Leads to the starting step from the true start; None: the state is restored.
        """
        super().__init__(env)
        self.demonstration = demonstration
        self.rule = rule
        self.guide = guide

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: Draws the starting step.
            options: `reset_point`: tau*, or TRUE_START; then `weights`, if given, are the
                probabilities of the environment's seeds 0, 1, ...

        Returns:
            The first observation, of a burn-in's first step where there is one; and the info.
        """
        options = options or {}
        rng = np.random.default_rng(seed)
        self.start = self._draw_start(options.get("reset_point", TRUE_START), rng)
        self.score = 0.0
        self.about: dict[str, Any] = {"start": self.start}
        if self.start == TRUE_START:
            observation = self._begin_at_true_start(seed, options.get("weights"), rng)
        elif self.guide is not None:
            self.step_index = 0
            observation = self.guide.begin(self.env, seed)
        else:
            self.step_index = max(0, self.start - self.rule.burn_in)
            observation = take(self.demonstration.observations, self.step_index)
            self._restore_if_due()
        return observation, dict(self.about)

    def _begin_at_true_start(
        self, seed: int | None, weights: list[float] | None, rng: np.random.Generator
    ) -> Observation:
        self.step_index = 0
        if weights is not None:
            seed = int(rng.choice(len(weights), p=weights))
            self.about["forward_seed"] = seed
        observation, _ = self.env.reset(seed=seed)
        first: Observation = observation
        return first

    def step(self, action: Any) -> Step:
        """Act; before the starting step, the demonstration or the guide does instead."""
        before_start = self.step_index < self.start
        if before_start and self.guide is None:
            return self._replay_step()
        if before_start and self.guide is not None:
            action = self.guide.action(self.env, self.step_index)
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.step_index += 1
        self.score += 0.0 if before_start and not self._is_free() else float(reward)

        required = self.demonstration.score(max(0, self.start))
        succeeded = bool(self.score >= required)
        ended = terminated or (not before_start and (succeeded or self._is_behind()))
        info = {**info, **self.about, "is_success": succeeded, "burn_in": before_start}
        scaled = self.rule.reward_scale * float(reward)
        return observation, scaled, ended, truncated and not ended, info

    def _replay_step(self) -> Step:
        """Repeat the demonstration's step, of which only observation and reward are needed."""
        reward = self.rule.reward_scale * float(self.demonstration.rewards[self.step_index])
        self.step_index += 1
        self._restore_if_due()
        observation = take(self.demonstration.observations, self.step_index)
        return observation, reward, False, False, {**self.about, "burn_in": True}

    def _restore_if_due(self) -> None:
        if self.step_index == self.start:
            restorable: Any = self.env
            restorable.restore_state(self.demonstration.states[self.start])

    def _draw_start(self, point: int, rng: np.random.Generator) -> int:
        """A step in [tau* - D, tau*], or anywhere later."""
        if point == TRUE_START:
            return TRUE_START
        last = len(self.demonstration) - 1
        if rng.random() < self.rule.anywhere:
            return int(rng.integers(min(point, last), last, endpoint=True))
        return int(rng.integers(max(0, point - self.rule.window), point, endpoint=True))

    def _is_behind(self) -> bool:
        """Whether the demonstration had a higher score `lag` steps before this one. At the true
        start the environment's own time limit holds.
        """
        if self.start == TRUE_START or self._is_free():
            return False
        reached = max(self.start, self.step_index - self.rule.lag)
        return self.score < self.demonstration.score(self.start, reached)

    def _is_free(self) -> bool:
        """Whether the episode has another scene than the demonstration."""
        return self.guide is not None and not self.guide.follows_demonstration
