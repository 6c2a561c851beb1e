"""Automatic domain randomization: ranges grow as the policy succeeds, and shrink where it fails."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import gymnasium
import numpy as np

from conure_core.errors import ConfigError
from conure_sim.randomization.factors import Randomization, find_randomization

LOWER = 0
UPPER = 1


@dataclass(frozen=True)
class Boundary:
    """One end of a factor's range."""

    factor: str
    """A field of Randomization."""
    end: int
    """LOWER or UPPER; a factor that is a single number has an upper end only."""

    @property
    def name(self) -> str:
        """Key in `levels`: 'friction_scale.lower'."""
        return f"{self.factor}.{('lower', 'upper')[self.end]}"


class AdaptiveRandomization(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Draws each episode from ranges that lie between two presets; each boundary has a level of its
    own, 0 to 1.

    boundary = start + level * (widest - start). A share `boundary_chance` of the episodes pins one
    factor to one of its boundaries. After `episodes` of them there, that level rises by `step` if
    the success rate was at least `grow_at`, and falls by `step` if it was at most `shrink_at`.

    Source: OpenAI et al., Solving Rubik's Cube with a Robot Hand, arXiv:1910.07113, 2019, algorithm
    1.

    >>> env = AdaptiveRandomization(gymnasium.make("conure/Lift-v0"), widest="full")
    >>> env.levels["friction_scale.lower"]
    0.0
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        widest: str | Mapping[str, Any] | Randomization = "full",
        start: str | Mapping[str, Any] | Randomization = "none",
        boundary_chance: float = 0.5,
        episodes: int = 10,
        grow_at: float = 0.8,
        shrink_at: float = 0.4,
        step: float = 0.1,
    ) -> None:
        """Wrap an environment; see the class for the algorithm.

        Args:
            env: A TabletopEnv, perhaps wrapped.
            widest: Preset of the ranges at level 1.
            start: Preset of the ranges at level 0.
            boundary_chance: Probability, in (0, 1], that an episode is pinned to a boundary.
            episodes: How many episodes at a boundary lead to a decision about its level.
            grow_at: Success rate from which a level rises.
            shrink_at: Success rate up to which a level falls; below `grow_at`.
            step: Change of a level, in (0, 1].

        Raises:
            ConfigError: A preset is unknown, a number is out of range, or the presets are equal.
        """
        super().__init__(env)
        valid = 0 < boundary_chance <= 1 and episodes >= 1 and 0 < step <= 1
        if not valid or not 0 <= shrink_at < grow_at <= 1:
            raise ConfigError(
                "adaptive randomization needs 0 < boundary_chance <= 1, episodes >= 1, 0 <="
                f" shrink_at < grow_at <= 1 and 0 < step <= 1, got {boundary_chance}, {episodes},"
                f" {shrink_at}, {grow_at}, {step}"
            )
        self._start = find_randomization(start)
        self._widest = find_randomization(widest)
        self._chance = boundary_chance
        self._episodes = episodes
        self._step = step
        self._grow_at = grow_at
        self._shrink_at = shrink_at

        self._boundaries = _differing(self._start, self._widest)
        if not self._boundaries:
            raise ConfigError(
                "adaptive randomization needs a widest preset that differs from the one to start"
                " from"
            )
        self.levels = {boundary.name: 0.0 for boundary in self._boundaries}
        self._outcomes: dict[str, list[bool]] = {boundary.name: [] for boundary in self._boundaries}
        self._pinned: Boundary | None = None
        self._rng = np.random.default_rng()

    @property
    def expansion(self) -> float:
        """The mean level: 0 at the start, 1 at the widest ranges."""
        return float(np.mean(list(self.levels.values())))

    def ranges(self) -> Randomization:
        """The present ranges, between start and widest."""
        changes: dict[str, Any] = {}
        for boundary in self._boundaries:
            changes[boundary.factor] = self._with_end(changes, boundary, self._value(boundary))
        return replace(self._start, **changes)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode drawn from the present ranges.

        Args:
            seed: Of this wrapper's draws and of the environment's; None: go on with both streams.
            options: As for the environment.

        Returns:
            The first observation, and the info; its "adaptive" names the pinned boundary, or is
            empty.
        """
        if seed is not None:
            self._rng = np.random.default_rng([seed, 1910])
        self._pinned = None
        if self._rng.random() < self._chance:
            index = self._rng.integers(len(self._boundaries))
            self._pinned = self._boundaries[index]
        self._base.randomization = self._episode_ranges()
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, {**info, "adaptive": self._pinned_name()}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step; the end of an episode counts for its boundary."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            self._count(bool(info["is_success"]))
        info = {**info, "adaptive": self._pinned_name()}
        return observation, reward, terminated, truncated, info

    def get_state(self) -> dict[str, Any]:
        """The state for a checkpoint: levels, and the outcomes that no decision has used yet."""
        return {
            "levels": dict(self.levels),
            "outcomes": {name: list(done) for name, done in self._outcomes.items()},
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` gave. Raises: ConfigError if it belongs to other presets."""
        if state["levels"].keys() != self.levels.keys():
            raise ConfigError(
                "the saved levels belong to other presets; give the same start and widest"
            )
        self.levels = dict(state["levels"])
        self._outcomes = {name: list(done) for name, done in state["outcomes"].items()}

    @property
    def _base(self) -> Any:
        return self.env.unwrapped

    def _pinned_name(self) -> str:
        return self._pinned.name if self._pinned else ""

    def _value(self, boundary: Boundary) -> float:
        start = _end(self._start, boundary)
        widest = _end(self._widest, boundary)
        return start + self.levels[boundary.name] * (widest - start)

    def _with_end(
        self,
        changes: dict[str, Any],
        boundary: Boundary,
        value: float,
    ) -> Any:
        """The factor's range, or number, with one end at this value."""
        present = changes.get(boundary.factor, getattr(self._start, boundary.factor))
        if not isinstance(present, tuple):
            return value
        lower, upper = present
        return (value, upper) if boundary.end == LOWER else (lower, value)

    def _episode_ranges(self) -> Randomization:
        ranges = self.ranges()
        if self._pinned is None or not isinstance(getattr(ranges, self._pinned.factor), tuple):
            return ranges
        value = self._value(self._pinned)
        pinned: dict[str, Any] = {self._pinned.factor: (value, value)}
        return replace(ranges, **pinned)

    def _count(self, success: bool) -> None:
        if self._pinned is None:
            return
        name = self._pinned.name
        self._outcomes[name].append(success)
        if len(self._outcomes[name]) < self._episodes:
            return

        rate = float(np.mean(self._outcomes[name]))
        direction = float(rate >= self._grow_at) - float(rate <= self._shrink_at)
        level = self.levels[name] + self._step * direction
        self.levels[name] = float(np.clip(level, 0.0, 1.0))
        self._outcomes[name].clear()


def _differing(start: Randomization, widest: Randomization) -> list[Boundary]:
    """The boundaries at which two presets differ."""
    differing: list[Boundary] = []
    for field in fields(Randomization):
        ends = (LOWER, UPPER) if isinstance(field.default, tuple) else (UPPER,)
        for end in ends:
            boundary = Boundary(field.name, end)
            if _end(start, boundary) != _end(widest, boundary):
                differing.append(boundary)
    return differing


def _end(ranges: Randomization, boundary: Boundary) -> float:
    value = getattr(ranges, boundary.factor)
    return float(value[boundary.end] if isinstance(value, tuple) else value)
