"""`method=demo_resets`: PPO whose episodes begin in the states of one demonstration.

tau*, the point where they begin, moves from the demonstration's end to its start as fast as the
policy succeeds from there. Source: Salimans and Chen, Learning Montezuma's Revenge from a Single
Demonstration, arXiv 1812.03381.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from conure_core.config.values import COUNT, COUNT_OR_NONE, SHARE
from conure_core.errors import ConfigError, unknown_name
from conure_core.runtime.resume import CHANGES_NO_RESULT
from conure_training.data.atari import AtariRam, is_atari
from conure_training.rl.adversarial.cloning import CloningConfig, clone
from conure_training.rl.config import RunConfig
from conure_training.rl.demo_resets.curriculum import (
    CURRICULA,
    RESTORING,
    FixedCurriculum,
    ReverseCurriculum,
)
from conure_training.rl.demo_resets.demonstration import Demonstration
from conure_training.rl.demo_resets.guide import DemonstrationGuide, Guide, PolicyGuide
from conure_training.rl.demo_resets.optimizer import ResetOptimizer, ResetSchedule
from conure_training.rl.demo_resets.sources import load_demonstration
from conure_training.rl.demo_resets.worker import TRUE_START, ResetRule, ResetWorker
from conure_training.rl.on_policy.config import OnPolicyConfig
from conure_training.rl.on_policy.environments import make_vector_environment
from conure_training.rl.on_policy.loop import (
    Curriculum,
    OnPolicyLoop,
    OnPolicyMethod,
    open_on_policy_loop,
)
from conure_training.rl.on_policy.networks import ActorCriticNetwork, size_for
from conure_training.rl.on_policy.trajectories import Trajectory
from conure_training.rl.policy_file import load_policy

SCALED_STARTS = 50
"""True starts that inputs are scaled by, beside a demonstration that is cloned."""


@dataclass(frozen=True)
class DemoResetsConfig(OnPolicyConfig):
    """Of demonstration resets."""

    name: str = "demo_resets"
    demonstration: str = field(default="", metadata=CHANGES_NO_RESULT)
    """A folder of conure demos, or an .npz file of actions; empty: the run's `demos`."""
    episode: int = field(default=0, metadata=COUNT_OR_NONE)
    """Which of the folder's."""
    rewards: int = field(default=0, metadata=COUNT_OR_NONE)
    """The demonstration is cut after so many rewards; 0: after its last."""
    curriculum: str = CURRICULA[0]
    """reverse: from the end to the start; reverse_forward: then other starts of the environment;
    guided: as reverse, but a guide acts from the true start until there, where states cannot be
    restored; uniform: from anywhere in the demonstration; none: from the true start."""
    guide: str = field(default="", metadata=CHANGES_NO_RESULT)
    """A policy that guides; empty: the actions of the demonstration."""
    window: int = field(default=12, metadata=COUNT_OR_NONE)
    """D: episodes begin up to so many steps before tau*."""
    burn_in: int = field(default=0, metadata=COUNT_OR_NONE)
    """K: demonstrated steps before that which warm the memory and are not trained on."""
    anywhere: float = field(default=0.0, metadata=SHARE)
    """Share of episodes that begin anywhere from tau* to the demonstration's end."""
    lag: int = field(default=12, metadata=COUNT)
    """An episode fails when its score is below the demonstration's of so many steps before."""
    forward_starts: int = field(default=1000, metadata=COUNT)
    """Seeds of the environment's own starts that reverse_forward draws from."""
    cloning: CloningConfig = field(default_factory=partial(CloningConfig, updates=0))
    """How the demonstration's actions are cloned before the first episode."""
    schedule: ResetSchedule = field(default_factory=ResetSchedule)
    """When tau* moves."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.curriculum not in CURRICULA:
            raise unknown_name("method.curriculum", self.curriculum, CURRICULA)
        if self.burn_in and not self.memory:
            raise ConfigError(
                f"method.burn_in={self.burn_in} warms a memory, but method.memory is 0; give both"
            )

    def files(self, run: RunConfig) -> dict[str, str]:
        guide = self.guide if self.curriculum == "guided" else ""
        return {"demonstration": self.demonstration or run.demos, "guide": guide}


def read_demonstration(run: RunConfig, config: DemoResetsConfig) -> Demonstration:
    """Replay the run's demonstration in an environment of its own.

    Args:
        run: The run.
        config: The method's settings.

    Returns:
        The demonstration.

    Raises:
        ConfigError, DataError: See `load_demonstration`.
    """
    path = Path(config.files(run)["demonstration"])
    restores = config.curriculum in RESTORING
    with closing(make_vector_environment(run)) as env:
        return load_demonstration(env, path, config.episode, restores, config.rewards)


def build(run: RunConfig, config: DemoResetsConfig) -> OnPolicyMethod:
    """Build the method.

    Args:
        run: The run.
        config: The method's settings.

    Returns:
        The method, its policy untrained, tau* at the demonstration's end.
    """
    demonstration = read_demonstration(run, config)
    evaluation = _make_environment(run, demonstration)
    return OnPolicyMethod(
        config=config,
        size=size_for(evaluation, config.hidden_dims, config.memory),
        make=partial(make_workers, run, config),
        evaluation=evaluation,
        curriculum=_make_curriculum(config, len(demonstration)),
        first_rows=_first_rows(config, demonstration, evaluation),
        pretrain=_make_pretraining(run, config, demonstration),
    )


def make_workers(run: RunConfig, config: DemoResetsConfig, count: int) -> list[ResetWorker]:
    """Make environments to learn in, with one demonstration for all.

    Args:
        run: The run.
        config: The method's settings.
        count: How many.

    Returns:
        The environments.
    """
    demonstration = read_demonstration(run, config)
    rule = ResetRule(
        window=len(demonstration) if config.curriculum == "uniform" else config.window,
        burn_in=config.burn_in,
        anywhere=config.anywhere,
        lag=config.lag,
        reward_scale=1.0 / demonstration.score(),
    )
    guide = _make_guide(config, demonstration)
    images = isinstance(guide, PolicyGuide)
    return [
        ResetWorker(_make_environment(run, demonstration, images), demonstration, rule, guide)
        for _ in range(count)
    ]


def _first_rows(config: DemoResetsConfig, demonstration: Demonstration, env: Any) -> Any:
    """What inputs are scaled by, (n, S): the demonstration, and true starts where the scales stay,
    as they do after cloning.
    """
    if not config.cloning.updates:
        return demonstration.observations
    starts = [env.reset(seed=seed)[0] for seed in range(SCALED_STARTS)]
    return np.concatenate([demonstration.observations, np.stack(starts)]).astype(np.float32)


def _make_pretraining(
    run: RunConfig, config: DemoResetsConfig, demonstration: Demonstration
) -> Callable[[ActorCriticNetwork], Any] | None:
    """What clones the demonstration; None where it is not asked for. Raises: ConfigError for a
    game, or a memory.
    """
    if not config.cloning.updates:
        return None
    if is_atari(run.task) or config.memory:
        raise ConfigError(
            "method.cloning clones continuous actions without a memory; give"
            " method.cloning.updates=0 for a game, or with method.memory"
        )
    shown = Trajectory(
        observation=demonstration.observations,
        action=np.stack(demonstration.actions).astype(np.float32),
        reward=demonstration.rewards,
        terminated=True,
    )
    return partial(clone, demonstrations=[shown], config=config.cloning, seed=run.seed)


def _make_guide(config: DemoResetsConfig, demonstration: Demonstration) -> Guide | None:
    if config.curriculum != "guided":
        return None
    if config.guide:
        return PolicyGuide(load_policy(Path(config.guide)))
    return DemonstrationGuide(demonstration)


def _make_curriculum(config: DemoResetsConfig, steps: int) -> Curriculum:
    if config.curriculum == "none":
        return FixedCurriculum(TRUE_START)
    if config.curriculum == "uniform":
        return FixedCurriculum(steps - 1)
    starts = config.forward_starts if config.curriculum == "reverse_forward" else 0
    return ReverseCurriculum(ResetOptimizer(steps - 1, config.schedule), starts)


def _make_environment(run: RunConfig, demonstration: Demonstration, images: bool = False) -> Any:
    """The run's environment; a game lasts twice the demonstration, and must reach its score."""
    if not is_atari(run.task):
        return make_vector_environment(run, images)
    return AtariRam(run.task, max_steps=2 * len(demonstration), success_score=demonstration.score())


def open_loop(run: RunConfig) -> AbstractContextManager[OnPolicyLoop]:
    """The run's loop, see rl.train."""
    return open_on_policy_loop(run, build)
