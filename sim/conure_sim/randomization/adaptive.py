"""Automatic domain randomization: ranges grow as the policy succeeds, and shrink where it fails."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import gymnasium
import numpy as np

from conure_core.errors import ConfigError
from conure_sim.randomization.factors import Randomization, find_randomization

LOWER, UPPER = 0, 1


@dataclass(frozen=True)
class Boundary:
    """One end of a factor's range, 0 lower or 1 upper; a factor that is a single number has an
    upper end only.
    """

    factor: str
    end: int

    @property
    def name(self) -> str:
        """As in `levels`: 'friction_scale.lower'."""
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
        """Raises: ConfigError for an unknown preset, for thresholds out of order, or if the presets
        are the same.
        """
        super().__init__(env)
        if (
            not 0 < boundary_chance <= 1
            or episodes < 1
            or not 0 <= shrink_at < grow_at <= 1
            or not 0 < step <= 1
        ):
            raise ConfigError(
                "adaptive randomization needs 0 < boundary_chance <= 1, episodes >= 1, 0 <="
                f" shrink_at < grow_at <= 1 and 0 < step <= 1, got {boundary_chance}, {episodes},"
                f" {shrink_at}, {grow_at}, {step}"
            )
        self._start, self._widest = find_randomization(start), find_randomization(widest)
        self._chance, self._episodes, self._step = boundary_chance, episodes, step
        self._grow_at, self._shrink_at = grow_at, shrink_at
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
        """How far the ranges have grown, on average: 0 as at the start, 1 the widest."""
        return float(np.mean(list(self.levels.values())))

    def ranges(self) -> Randomization:
        """The present ranges."""
        changes: dict[str, Any] = {}
        for boundary in self._boundaries:
            changes[boundary.factor] = self._with_end(changes, boundary, self._value(boundary))
        return replace(self._start, **changes)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """A new episode, drawn from the present ranges; `info["adaptive"]` names the pinned
        boundary, or is empty.
        """
        if seed is not None:
            self._rng = np.random.default_rng([seed, 1910])
        self._pinned = None
        if self._rng.random() < self._chance:
            self._pinned = self._boundaries[self._rng.integers(len(self._boundaries))]
        self._base.randomization = self._episode_ranges()
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, {**info, "adaptive": self._pinned.name if self._pinned else ""}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step; the end of an episode is counted at its boundary."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            self._count(bool(info["is_success"]))
        info = {**info, "adaptive": self._pinned.name if self._pinned else ""}
        return observation, reward, terminated, truncated, info

    def get_state(self) -> dict[str, Any]:
        """What a checkpoint has to keep: levels, and the outcomes that have not led to a change
        yet.
        """
        return {
            "levels": dict(self.levels),
            "outcomes": {name: list(done) for name, done in self._outcomes.items()},
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Back to what `get_state` gave. Raises: ConfigError if it belongs to other presets."""
        if state["levels"].keys() != self.levels.keys():
            raise ConfigError(
                "the saved levels belong to other presets; give the same start and widest as then"
            )
        self.levels = dict(state["levels"])
        self._outcomes = {name: list(done) for name, done in state["outcomes"].items()}

    @property
    def _base(self) -> Any:
        return self.env.unwrapped

    def _value(self, boundary: Boundary) -> float:
        start, widest = _end(self._start, boundary), _end(self._widest, boundary)
        return start + self.levels[boundary.name] * (widest - start)

    def _with_end(self, changes: dict[str, Any], boundary: Boundary, value: float) -> Any:
        present = changes.get(boundary.factor, getattr(self._start, boundary.factor))
        if not isinstance(present, tuple):
            return value
        return (value, present[UPPER]) if boundary.end == LOWER else (present[LOWER], value)

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
        change = self._step * (float(rate >= self._grow_at) - float(rate <= self._shrink_at))
        self.levels[name] = float(np.clip(self.levels[name] + change, 0.0, 1.0))
        self._outcomes[name].clear()


def _differing(start: Randomization, widest: Randomization) -> list[Boundary]:
    """The boundaries at which two presets differ."""
    ends = [
        Boundary(field.name, end)
        for field in fields(Randomization)
        for end in ((LOWER, UPPER) if isinstance(field.default, tuple) else (UPPER,))
    ]
    return [boundary for boundary in ends if _end(start, boundary) != _end(widest, boundary)]


def _end(ranges: Randomization, boundary: Boundary) -> float:
    value = getattr(ranges, boundary.factor)
    return float(value[boundary.end] if isinstance(value, tuple) else value)
