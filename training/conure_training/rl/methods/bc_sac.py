"""`method=bc_sac`: behavior cloning on the prior's frozen features, then soft actor-critic from
there.

Cloned are the demonstrations of every task in the data set, as the prior is trained on them; the
replay holds those of the run's task, as latent SAC's does.
"""

from dataclasses import dataclass, field
from typing import Any

from conure_training.rl.config import RunConfig
from conure_training.rl.learners.feature_sac import FeatureSacConfig
from conure_training.rl.learners.pretraining import PretrainingConfig
from conure_training.rl.method import Method
from conure_training.rl.methods.bc import build_cloned_sac
from conure_training.rl.prior_features import Features


@dataclass(frozen=True)
class BcSacConfig(FeatureSacConfig):
    """Of behavior cloning, then soft actor-critic."""

    name: str = "bc_sac"
    cloning: PretrainingConfig = field(default_factory=PretrainingConfig)
    """How the policy is cloned."""


def build(run: RunConfig, config: BcSacConfig, env: Any) -> Method:
    """Build behavior cloning, then SAC that starts from its policy.

    Args:
        run: The run.
        config: Settings of soft actor-critic, and how the policy is cloned.
        env: The run's environment.

    Returns:
        The method, its policy cloned.
    """
    return build_cloned_sac(Features(run, env, config.critic), config, config.cloning)
