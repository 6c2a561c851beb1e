"""`method=distill`: a policy on a prior's features of images and proprioception, from a teacher
that sees the simulator's state.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from conure_core.config.values import bounds
from conure_core.runtime.resume import CHANGES_NO_RESULT
from conure_training.rl.config import RunConfig
from conure_training.rl.distill.learner import Dagger, DaggerConfig
from conure_training.rl.distill.teacher import EXPERT, LABEL, LabelledEnvironment, load_teacher
from conure_training.rl.learners.feature_sac import OnPriorFeatures
from conure_training.rl.method import Method
from conure_training.rl.prior_features import Features
from conure_training.rl.replay import Field, Replay


@dataclass(frozen=True)
class DistillConfig(DaggerConfig):
    """Of distilling a teacher."""

    name: str = "distill"
    reads = ("prior",)
    teacher: str = field(default=EXPERT, metadata=CHANGES_NO_RESULT)
    """A policy's file, or a bundle's folder; expert: the task's scripted expert."""
    teacher_noise_scale: float = field(default=0.0, metadata=bounds(0.0, 3.0))
    """Of the teacher's noise: 1 samples it, 0 takes its mean."""

    def files(self, run: RunConfig) -> dict[str, str]:
        teacher = "" if self.teacher == EXPERT else self.teacher
        return {**super().files(run), "teacher": teacher}


def build(run: RunConfig, config: DistillConfig, env: Any) -> Method:
    """Build dataset aggregation.

    Args:
        run: The run.
        config: The teacher, and how it is imitated.
        env: The run's environment.

    Returns:
        The method, its policy untrained.

    Raises:
        ConfigError, SpecMismatch, DataError: See `load_teacher`.
    """
    teacher = load_teacher(config.teacher, config.teacher_noise_scale, run.task, env.contract)
    features = Features(run, env)
    policy = features.policy(config.hidden_dims)
    learner = Dagger(policy, features.action_dim, config, run.seed)

    def module() -> OnPriorFeatures:
        return OnPriorFeatures(prior=features.prior, policy=learner.averaged_policy)

    def observe(observation: dict[str, NDArray]) -> dict[str, Tensor]:
        seen = features.observe(observation)["features"]
        return {"features": seen, LABEL: torch.from_numpy(observation[LABEL])}

    fields = {"features": Field((features.dim,)), LABEL: Field((features.action_dim,))}
    # Nothing is forgotten: an episode of n steps is n + 1 rows, the last one ends after the budget.
    rows = 2 * (run.steps + env.max_steps)
    return Method(
        learner=learner,
        replay=Replay(fields, features.action_dim, replace(run.replay, capacity=rows)),
        observe=observe,
        save=features.make_saver("features", module, config.hidden_dims),
        environment=lambda bare: LabelledEnvironment(bare, teacher),
    )
