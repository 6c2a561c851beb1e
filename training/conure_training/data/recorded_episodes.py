"""Episodes that can be repeated: of a data set of `conure demos`, or a file of actions."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

import conure_sim  # noqa: F401  (registers the environments)
from conure_core.errors import ConfigError, DataError
from conure_core.runtime.atomic_files import damaged, replacing
from conure_core.runtime.json_text import json_text
from conure_core.runtime.provenance import git_commit
from conure_sim.randomization.factors import find_randomization
from conure_training.data.collect import DemosConfig, attempt_seeds, start_episode
from conure_training.data.demonstrations import load_config_of, load_demonstrations
from conure_training.runtime.arrays import UNREADABLE

SUFFIX = ".npz"
RECORDING = ".mcap"
OBSERVED = ("proprio", "state")
SCENE_SETTINGS = (
    "task",
    "arm",
    "objects",
    "containers",
    "distractors",
    "target",
    "randomization",
    "physics_substeps",
)
"""Settings of an environment that decide what happens in an episode of a given seed."""


@dataclass(frozen=True)
class RecordedEpisode:
    """n actions, and how their episode began."""

    name: str
    """What it is called in messages."""
    settings: dict[str, Any]
    """Settings of an environment that repeats it, of SCENE_SETTINGS."""
    begin: Callable[[Any], Iterator[int]]
    """Puts an environment to the start, and yields the seed; again for each start that it may have
    been."""
    actions: NDArray[np.float32]
    """Shape (n, 7)."""
    rewards: NDArray[np.float32] | None = None
    """Shape (n,); None: not recorded."""
    observed: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Of OBSERVED, what was recorded, shape (n + 1, ...)."""

    def make_environment(self, **others: Any) -> Any:
        """An environment that repeats it; `others`: settings beside SCENE_SETTINGS, such as
        images.
        """
        settings = {**self.settings, **others}
        return gymnasium.make(f"conure/{settings.pop('task')}-v0", **settings).unwrapped

    def require_settings(self, env: Any) -> None:
        """Refuse an environment that cannot repeat it. Raises: ConfigError naming the settings that
        differ.
        """
        differing: list[str] = []
        for name, recorded in self.settings.items():
            here = env.settings[name]
            if not _same_setting(name, recorded, here):
                differing.append(f"{name}={recorded!r}, not {here!r}")
        if differing:
            raise ConfigError(
                f"{self.name} was recorded with {'; '.join(differing)}; make the environment with"
                " its settings"
            )


def load_recorded_episode(path: Path, episode: int = 0) -> RecordedEpisode:
    """Read an episode.

    Args:
        path: Folder of a data set of `conure demos`; or an .npz that `save_actions` wrote, or with
            `actions` (n, 7), `seed` and `settings` (JSON, at least the task) alone.
        episode: Number of the episode in a data set, from 0.

    Returns:
        The episode.

    Raises:
        ConfigError: The file is a recording of a graph.
        DataError: There is no such episode, or it cannot be read.
    """
    if path.suffix == RECORDING:
        raise ConfigError(
            f"{path} records a live graph, whose physics follows the wall clock: its commands do"
            " not lie on the simulator's steps and cannot be repeated; give a folder of conure"
            " demos, or a file of actions"
        )
    return _of_file(path) if path.suffix == SUFFIX else _of_data_set(path, episode)


def save_actions(
    path: Path,
    settings: dict[str, Any],
    start: tuple[int, dict[str, Any], int],
    arrays: dict[str, NDArray[Any]],
) -> None:
    """Write the file of actions of one episode.

    Args:
        path: The file, .npz.
        settings: Of its environment.
        start: Seed and options of the reset, and which object was made the target after it.
        arrays: `actions`; perhaps `rewards`, `proprio` and `state`, see RecordedEpisode.
    """
    seed, options, target = start
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            allow_pickle=False,
            settings=np.array(json_text(settings, default=_as_json)),
            options=np.array(json_text(options, default=_as_json)),
            commit=np.array(git_commit()),
            seed=np.array(seed),
            target=np.array(target),
            **arrays,
        )


def _of_data_set(path: Path, episode: int) -> RecordedEpisode:
    data = load_demonstrations(path, images=False)
    count = len(data.ends)
    if not 0 <= episode < count:
        raise DataError(f"{path} holds the episodes 0 to {count - 1}, got {episode}")
    config = _collected_with(path)

    steps = slice(int(data.starts[episode]), int(data.ends[episode]))
    observed: dict[str, NDArray[Any]] = {}
    for name in OBSERVED:
        last = getattr(data, f"final_{name}")[episode][None]
        observed[name] = np.concatenate([getattr(data, name)[steps], last])

    def begin(env: Any) -> Iterator[int]:
        for seed in attempt_seeds(int(data.seed[episode])):
            start_episode(env, seed, np.random.default_rng(seed), config)
            yield seed

    task = data.tasks[int(data.task[episode])]
    settings: dict[str, Any] = {"task": task, "target": None, "physics_substeps": None}
    for name in SCENE_SETTINGS:
        if hasattr(config, name):
            settings[name] = getattr(config, name)
    return RecordedEpisode(
        name=f"episode {episode} of {path}",
        settings=settings,
        begin=begin,
        actions=data.action[steps],
        rewards=data.reward[steps],
        observed=observed,
    )


def _collected_with(path: Path) -> DemosConfig:
    config = load_config_of(path)
    try:
        return DemosConfig(**{**config, "noise": tuple(config["noise"])})
    except (TypeError, KeyError, ConfigError) as error:
        raise DataError(
            f"{path} does not say how it was collected, so its episodes cannot be repeated; run"
            " conure demos again"
        ) from error


def _of_file(path: Path) -> RecordedEpisode:
    if not path.is_file():
        raise DataError(f"no file of actions at {path}")
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        settings = json.loads(str(arrays["settings"]))
        options = json.loads(str(arrays.get("options", "{}")))
        seed = int(arrays["seed"])
        target = int(arrays.get("target", 0))
        actions = np.asarray(arrays["actions"], dtype=np.float32)
    except UNREADABLE as error:
        raise damaged(path, error, "record it again") from error

    def begin(env: Any) -> Iterator[int]:
        env.reset(seed=seed, options=options)
        if target:
            env.scene.aim_at(target)
        yield seed

    return RecordedEpisode(
        name=f"{path}, recorded by {arrays.get('commit', 'an unknown version')},",
        settings=settings,
        begin=begin,
        actions=actions,
        rewards=arrays.get("rewards"),
        observed={name: arrays[name] for name in OBSERVED if name in arrays},
    )


def _same_setting(name: str, first: Any, second: Any) -> bool:
    if name == "randomization":
        return find_randomization(first) == find_randomization(second)
    return bool(first == second)


def _as_json(value: Any) -> Any:
    """What JSON does not know: arrays as lists, dataclasses as mappings."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
