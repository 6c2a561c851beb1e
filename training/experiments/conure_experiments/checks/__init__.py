"""What each experiment must show, computed from the records.

A requirement is met, missed, or incomplete while entries are missing.
"""

from collections.abc import Callable

from conure_core.runtime.requirement import Requirement
from conure_experiments.checks import demonstrations, priors
from conure_experiments.checks.runs import Runs

CHECKS: dict[str, Callable[[Runs], list[Requirement]]] = {
    "headline": priors.headline,
    "first_rollouts": priors.first_rollouts,
    "data_size": priors.data_size,
    "mismatch": priors.mismatch,
    "precise": priors.precise,
    "off_policy": demonstrations.off_policy,
    "operator": demonstrations.operator,
    "asymmetric": priors.asymmetric,
    "transfer": priors.transfer,
    "auxiliary": priors.auxiliary,
    "fresh_start": priors.fresh_start,
    "montezuma": demonstrations.montezuma,
    "drawer": demonstrations.drawer,
    "gail": demonstrations.gail,
    "gail_task_reward": demonstrations.gail_task_reward,
    "dqfd": demonstrations.dqfd,
    "visuomotor": demonstrations.visuomotor,
}
