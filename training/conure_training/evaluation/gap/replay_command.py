"""`conure gap replay`: recorded actions, repeated in simulation."""

from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from conure_core.config.loader import load_config
from conure_core.config.values import COUNT_OR_NONE, check_values
from conure_core.errors import ConfigError
from conure_core.runtime.atomic_files import write_json
from conure_core.runtime.claim import claimed
from conure_core.runtime.resume import CHANGES_NO_RESULT
from conure_core.types import Array
from conure_sim.envs.tabletop import TabletopEnv
from conure_sim.physics.engines import PYBULLET, require_engine
from conure_sim.randomization.factors import factors_at_rest, find_randomization
from conure_sim.tasks import find_task
from conure_training.data.demonstrations import Demonstrations, load_demonstrations
from conure_training.evaluation.gap.replay import ReplayError, replay


@dataclass(frozen=True)
class GapReplayConfig:
    """The settings of `conure gap replay`."""

    data: str = field(metadata=CHANGES_NO_RESULT)
    """Folder of a data set: of `conure data import`, or of `conure demos`."""

    episodes: int = field(metadata=COUNT_OR_NONE)
    """How many, from the first one; 0: all."""

    task: str
    """Name of the task whose table the arm moves over."""

    arm: str
    """Name of an arm, or path of its YAML file."""

    out: str = field(metadata=CHANGES_NO_RESULT)
    """JSON file for the errors; empty: not written."""

    physics: str = PYBULLET
    """Engine: pybullet or mujoco."""

    randomization: dict[str, Any] = field(default_factory=factors_at_rest)
    """Delays and gains to try: the name of a preset and its factors."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        require_engine(self.physics)
        find_task(self.task)
        find_randomization(self.randomization)


def run(overrides: list[str]) -> None:
    """Repeat recorded actions in simulation, and compare the arm's motion."""
    config = load_config("conure_training.conf", "gap_replay", GapReplayConfig, overrides)
    result = replay_episodes(config)
    print(f"{len(result['episodes'])} episodes in {config.physics}")
    print(f"tool: {1e3 * result['tool_rms_m']:.1f} mm rms, {1e3 * result['tool_p95_m']:.1f} mm p95")
    joints = ", ".join(f"{1e3 * value:.1f}" for value in result["joint_rms_rad"])
    print(f"joints: {joints} mrad rms")
    seconds = ", ".join(f"{1e3 * value:.1f}" for value in result["tool_by_quarter_m"])
    print(f"tool by quarter of an episode: {seconds} mm rms")


def replay_episodes(config: GapReplayConfig) -> dict[str, Any]:
    """Replay the first episodes of a data set.

    Args:
        config: Which, and where.

    Returns:
        `config`; `episodes`: the tool's distance, m, at each step of each; `tool_rms_m`,
        `tool_p95_m`, `joint_rms_rad` and `tool_by_quarter_m` over all of them.

    Raises:
        ConfigError: The data set has no episode.
        DataError: It cannot be read, or is of another arm.
    """
    with claimed(config.out, "conure gap replay", "file") if config.out else nullcontext():
        data = load_demonstrations(Path(config.data), images=False)
        if not len(data.ends):
            raise ConfigError(f"{config.data} has no episode to replay; record one first")
        errors = _errors(config, data)
        result = {"config": asdict(config), **_summary(errors)}
        if config.out:
            write_json(Path(config.out), result)
    return result


def _errors(config: GapReplayConfig, data: Demonstrations) -> list[ReplayError]:
    env = TabletopEnv(
        config.task,
        arm=config.arm,
        physics=config.physics,
        randomization=config.randomization,
        images=False,
    )
    count = min(config.episodes or len(data.ends), len(data.ends))
    steps = [data.steps_of(episode) for episode in range(count)]
    errors = [replay(env, data.proprio[part], data.action[part]) for part in steps]
    env.close()
    return errors


def _summary(errors: list[ReplayError]) -> dict[str, Any]:
    tool_m = np.concatenate([error.tool_m for error in errors])
    joint_rad = np.concatenate([error.joint_rad for error in errors])
    quarters = [np.array_split(error.tool_m, 4) for error in errors]
    by_quarter = [np.concatenate(parts) for parts in zip(*quarters, strict=True)]
    return {
        "episodes": [error.tool_m.tolist() for error in errors],
        "tool_rms_m": _rms(tool_m),
        "tool_p95_m": float(np.quantile(tool_m, 0.95)),
        "joint_rms_rad": [_rms(column) for column in joint_rad.T],
        "tool_by_quarter_m": [_rms(part) for part in by_quarter],
    }


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if len(values) else 0.0
