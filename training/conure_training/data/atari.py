"""Atari games as environments whose state can be saved and restored: tasks `atari/GAME`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import gymnasium
import numpy as np
from numpy.typing import NDArray

from conure_core.errors import ConfigError

PREFIX = "atari/"
"""Begins the names of Atari tasks, such as atari/MontezumaRevenge."""
RAM_SIZE = 128
STACKED_SCREENS = 4
SCREEN_PX = (84, 84)


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
    screens: Any = None
    """Stacked screens, where they are observed."""


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
    ) -> tuple[NDArray[Any], dict[str, Any]]:
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
    ) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """Hold an action for `frame_skip` frames, or play one action a frame, as a demonstration
        may have them.
        """
        frames = [action] * self.frame_skip if isinstance(action, int) else action
        reward = 0.0
        for frame in frames:
            reward += self._play_frame(int(frame))
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

    def observe(self) -> NDArray[Any]:
        """The present observation, (128,)."""
        ram: NDArray[np.float32] = self._ale.getRAM().astype(np.float32) / 255.0
        return ram

    def _play_frame(self, action: int) -> float:
        """The points of one frame."""
        return float(self._ale.act(self._actions[action]))

    def _start(self) -> None:
        self._ale.reset_game()
        self._score = 0.0
        self._steps = 0
        self._lives = self._ale.lives()

    def _info(self) -> dict[str, Any]:
        return {"is_success": self._score >= self.success_score, "score": self._score}


class AtariScreens(AtariRam):
    """The same game seen by its last four screens: (4, 84, 84) uint8, grey, the newest last.

    Each is the brighter of two frames, for sprites flicker.

    Source: Mnih et al., Human-level control through deep RL, Nature 518, 2015, methods.
    """

    _screens: NDArray[np.uint8]
    _frames: tuple[NDArray[np.uint8], NDArray[np.uint8]]

    def __init__(
        self, task: str, frame_skip: int = 4, max_steps: int = 4500, success_score: float = 1.0
    ) -> None:
        """Load the game; see AtariRam."""
        super().__init__(task, frame_skip, max_steps, success_score)
        shape = self._screens.shape
        self.observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)

    def step(
        self, action: int | Sequence[int]
    ) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """See AtariRam."""
        _, reward, terminated, truncated, info = super().step(action)
        self._screens = np.concatenate([self._screens[1:], self._screen()[None]])
        return self.observe(), reward, terminated, truncated, info

    def observe(self) -> NDArray[Any]:
        """The present observation, (4, 84, 84)."""
        return self._screens

    def save_state(self) -> AtariState:
        """See AtariRam."""
        return replace(super().save_state(), screens=self._screens)

    def restore_state(self, state: AtariState) -> None:
        """See AtariRam; the state must be of an AtariScreens."""
        super().restore_state(state)
        self._screens = state.screens

    def _play_frame(self, action: int) -> float:
        reward = super()._play_frame(action)
        self._frames = (self._frames[1], self._ale.getScreenGrayscale())
        return reward

    def _start(self) -> None:
        super()._start()
        screen = self._ale.getScreenGrayscale()
        self._frames = (screen, screen)
        self._screens = np.repeat(self._screen()[None], STACKED_SCREENS, axis=0)

    def _screen(self) -> NDArray[np.uint8]:
        brighter = np.maximum(*self._frames)
        screen = cv2.resize(brighter, SCREEN_PX, interpolation=cv2.INTER_AREA)
        return np.asarray(screen, dtype=np.uint8)


def make_game(task: str, screens: bool = False) -> AtariRam:
    """Load a game.

    Args:
        task: `atari/` and its name.
        screens: Whether it is seen by its screens instead of its memory.

    Returns:
        The game.

    Raises:
        ConfigError: See AtariRam.
    """
    return AtariScreens(task) if screens else AtariRam(task)


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
