"""Atari games as environments whose state can be saved and restored: tasks `atari/GAME`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from conure_core.errors import ConfigError

PREFIX = "atari/"
"""Begins the names of Atari tasks, such as atari/MontezumaRevenge."""
RAM_SIZE = 128


def is_atari(task: str) -> bool:
    """Tell whether a task's name is that of an Atari game."""
    return task.startswith(PREFIX)


@dataclass(frozen=True)
class AtariState:
    """One moment of one game; picklable."""

    emulator: Any
    score: float
    steps: int
    lives: int


class AtariRam(gymnasium.Env[Any, Any]):
    """A game without sticky actions, seen by its memory: 128 bytes, scaled to [0, 1].

    An episode ends with the first life. Action: one of the 18 of the console, held for
    `frame_skip` frames. Reward: points. `info`: is_success, whether the score reached
    `success_score`; score.

    >>> env = AtariRam("atari/MontezumaRevenge")
    """

    def __init__(
        self, task: str, frame_skip: int = 4, max_steps: int = 4500, success_score: float = 1.0
    ) -> None:
        """Load the game.

        Args:
            task: `atari/` and the game's name, such as atari/MontezumaRevenge.
            frame_skip: Frames that an action lasts, of which a second has 60.
            max_steps: Actions of an episode.
            success_score: Points that count as success.

        Raises:
            ConfigError: The game is unknown, or ale-py is not installed.
        """
        ale_py = _import_ale()
        self.frame_skip = frame_skip
        self.max_steps = max_steps
        self.success_score = success_score
        self._ale = ale_py.ALEInterface()
        self._ale.setFloat("repeat_action_probability", 0.0)
        self._ale.setInt("random_seed", 0)
        self._ale.loadROM(_find_rom(ale_py, task))
        self._actions = self._ale.getLegalActionSet()
        self.action_space = gymnasium.spaces.Discrete(len(self._actions))
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (RAM_SIZE,), np.float32)
        self._start()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start the game anew, always the same.

        Args:
            seed: Not used: the console draws nothing.
            options: Not used.

        Returns:
            The first observation, and the info.
        """
        super().reset(seed=seed)
        self._start()
        return self.observe(), self._info()

    def step(
        self, action: int | Sequence[int]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Hold an action for `frame_skip` frames, or play one action a frame, as a demonstration
        may have them.
        """
        frames = [action] * self.frame_skip if isinstance(action, int) else action
        reward = 0.0
        for frame in frames:
            reward += float(self._ale.act(self._actions[int(frame)]))
        self._score += reward
        self._steps += 1
        terminated = bool(self._ale.game_over()) or self._ale.lives() < self._lives
        truncated = not terminated and self._steps >= self.max_steps
        return self.observe(), reward, terminated, truncated, self._info()

    def save_state(self) -> AtariState:
        """The present moment, picklable; restore it any number of times."""
        emulator = self._ale.cloneState(include_rng=True)
        return AtariState(emulator, self._score, self._steps, self._lives)

    def restore_state(self, state: AtariState) -> None:
        """Resume from a saved moment of this or another environment of the same game."""
        self._ale.restoreState(state.emulator)
        self._score, self._steps, self._lives = state.score, state.steps, state.lives

    def observe(self) -> NDArray[np.float32]:
        """The present observation, (128,)."""
        return self._ale.getRAM().astype(np.float32) / 255.0

    def _start(self) -> None:
        self._ale.reset_game()
        self._score = 0.0
        self._steps = 0
        self._lives = self._ale.lives()

    def _info(self) -> dict[str, Any]:
        return {"is_success": self._score >= self.success_score, "score": self._score}


def _import_ale() -> Any:
    try:
        import ale_py
    except ModuleNotFoundError as error:
        raise ConfigError(
            "tasks atari/GAME need ale-py; pip install 'conure[atari]' brings it"
        ) from error
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    return ale_py


def _find_rom(ale_py: Any, task: str) -> Any:
    game = task.removeprefix(PREFIX)
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", game).lower()
    known = ale_py.roms.get_all_rom_ids()
    if name not in known:
        games = ", ".join("".join(part.title() for part in rom.split("_")) for rom in known)
        raise ConfigError(f"there is no game '{game}'; expected one of {games}")
    return ale_py.roms.get_rom_path(name)
