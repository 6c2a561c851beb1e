"""`method=gail`: imitation of demonstrated episodes by a discriminator's reward, alone or mixed
with the task's; and `method=state_bc`: behavior cloning of the same episodes by the same network.

Sources: Ho and Ermon, Generative Adversarial Imitation Learning, arXiv 1606.03476; Zhu et al.,
Reinforcement and Imitation Learning for Diverse Visuomotor Skills, arXiv 1802.09564.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from conure_core.config.values import COUNT, SHARE
from conure_core.errors import ConfigError
from conure_training.data.atari import is_atari
from conure_training.rl.adversarial.cloning import CloningConfig, clone
from conure_training.rl.adversarial.demonstrations import StateView, load_trajectories
from conure_training.rl.adversarial.discriminator import DiscriminatorConfig, DiscriminatorLearner
from conure_training.rl.adversarial.reward import AdversarialReward, RewardRule
from conure_training.rl.config import RunConfig
from conure_training.rl.on_policy.config import OnPolicyConfig
from conure_training.rl.on_policy.environments import make_vector_environment
from conure_training.rl.on_policy.loop import OnPolicyLoop, OnPolicyMethod, open_on_policy_loop
from conure_training.rl.on_policy.method import make_environments
from conure_training.rl.on_policy.networks import size_for
from conure_training.rl.on_policy.trajectories import RewardModel, TaskReward, Trajectory


@dataclass(frozen=True)
class ImitationConfig(OnPolicyConfig):
    """Of methods that imitate episodes of the privileged state."""

    reads = ("demos",)
    hidden_width: int = 100
    trajectories: int = field(default=30, metadata=COUNT)
    """Successful episodes of the run's task that are imitated, the folder's first ones."""
    cloning: CloningConfig = field(default_factory=CloningConfig)
    """How the policy is cloned before the first episode."""


@dataclass(frozen=True)
class GailConfig(ImitationConfig):
    """Of generative adversarial imitation."""

    name: str = "gail"
    algorithm: str = "trpo"
    gamma: float = field(default=0.995, metadata=SHARE)
    lam: float = field(default=0.97, metadata=SHARE)
    rollout_steps: int = 256
    gail_share: float = field(default=1.0, metadata=SHARE)
    """lambda: weight of the discriminator's reward; the rest is the task's."""
    arm: bool = False
    """Whether the discriminator sees proprioception and actions beside the objects."""
    after_end: bool = True
    """Whether an episode that ended is paid for what would follow; without, a policy learns not to
    finish."""
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    """Its size, and how it learns."""


@dataclass(frozen=True)
class StateBcConfig(ImitationConfig):
    """Of behavior cloning; its steps are rollouts."""

    name: str = "state_bc"
    algorithm: str = "none"


def build(run: RunConfig, config: ImitationConfig) -> OnPolicyMethod:
    """Build the method.

    Args:
        run: The run.
        config: The method's settings.

    Returns:
        The method, its policy untrained.

    Raises:
        ConfigError: The task is a game.
        DataError: See `load_trajectories`.
    """
    if is_atari(run.task):
        raise ConfigError(
            f"method={config.name} imitates continuous actions of an arm, {run.task} has discrete"
            " ones; give a method that plays, such as method=demo_resets"
        )
    env = make_vector_environment(run)
    demonstrations = load_trajectories(run, env, config.trajectories)
    return OnPolicyMethod(
        config=config,
        size=size_for(env, config.hidden_dims, config.memory),
        make=partial(make_environments, run),
        evaluation=env,
        reward=_make_reward(run, config, env, demonstrations),
        first_rows=np.concatenate([item.observation for item in demonstrations]),
        pretrain=partial(
            clone, demonstrations=demonstrations, config=config.cloning, seed=run.seed
        ),
    )


def _make_reward(
    run: RunConfig, config: ImitationConfig, env: Any, demonstrations: list[Trajectory]
) -> RewardModel:
    if not isinstance(config, GailConfig):
        return TaskReward()
    view = StateView(env.unwrapped.state_layout, config.arm)
    features = view(demonstrations[0]).shape[1]
    learner = DiscriminatorLearner(features, config.discriminator, run.seed)
    rule = RewardRule(config.gail_share, config.gamma, config.after_end)
    return AdversarialReward(learner, demonstrations, view, rule)


def open_loop(run: RunConfig) -> AbstractContextManager[OnPolicyLoop]:
    """The run's loop, see rl.train."""
    return open_on_policy_loop(run, build)
