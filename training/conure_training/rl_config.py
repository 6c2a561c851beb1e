"""What `conure rl` takes: one run of one method on one task."""

from dataclasses import dataclass, field
from typing import Any

from conure_core.errors import ConfigError, unknown_name
from conure_sim.randomization import factors_at_rest, find_randomization
from conure_sim.tasks import find_task
from conure_training.latent_sac import LatentSacConfig
from conure_training.methods import METHODS
from conure_training.replay import ReplayConfig
from conure_training.sac import SacConfig


@dataclass(frozen=True)
class RlConfig:
    """One run. `method`: see `methods`; `steps`: environment steps; `target`: the object meant, empty: any.

    `timeout_fails`: the end of an episode without success counts as a return of 0 instead of being bootstrapped beyond;
    critics that see successful demonstrations alone are otherwise slow to believe that anything fails. `relabel`: every
    demonstration also counts as a failure to lift another of its objects. `evaluate_every`: environment steps between
    evaluations of `evaluate_episodes` on seeds that are always the same, 0: none; `evaluate_noise_scale`: of the
    averaged policy's noise there, 1 samples it, 0 takes its middle. `tensorboard`: log to `out`/tensorboard.
    """

    method: str
    task: str
    target: str
    objects: str
    containers: str
    distractors: int
    arm: str
    image_size: int
    prior: str
    demos: str
    out: str
    steps: int
    demonstration_share: float
    timeout_fails: bool
    relabel: bool
    attention: bool
    checkpoint_every: int
    seed: int
    evaluate_every: int = 0
    evaluate_episodes: int = 20
    evaluate_noise_scale: float = 0.5
    tensorboard: bool = False
    randomization: dict[str, Any] = field(default_factory=factors_at_rest)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    latent: LatentSacConfig = field(default_factory=LatentSacConfig)
    scratch: SacConfig = field(default_factory=SacConfig)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise unknown_name("method", self.method, METHODS)
        if self.steps < 1 or self.checkpoint_every < 1:
            raise ConfigError("steps and checkpoint_every must be at least 1")
        if self.evaluate_every < 0 or self.evaluate_episodes < 1:
            raise ConfigError("evaluate_every must be 0 (never) or more, evaluate_episodes at least 1")
        if not 0.0 <= self.evaluate_noise_scale <= 3.0:
            raise ConfigError(f"evaluate_noise_scale must lie in [0, 3], got {self.evaluate_noise_scale}")
        find_task(self.task)
        find_randomization(self.randomization)
