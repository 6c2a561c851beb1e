"""From demonstrations to a bundle: data sets, the behavioral prior, learners, evaluation, export.

What other programs need is here, by name. It is imported at first use, because torch takes seconds
to load.

    >>> from conure_training import load_policy
    >>> policy = load_policy(Path("out/rl/policy.pt"))  # or a prior.pt, or a bundle's folder
    >>> policy.begin()  # at the start of every episode
    >>> noise = rng.standard_normal(policy.noise_dim).astype(np.float32)  # zeros: the policy's mean
    >>> action = policy.act(observation, noise)
"""

import os
from typing import TYPE_CHECKING

from conure_core.runtime.public_face import at_first_use

if TYPE_CHECKING:
    from conure_training.evaluation.evaluate import evaluate
    from conure_training.prior.model import load_prior
    from conure_training.prior.train import train_prior
    from conure_training.rl.policy_file import load_policy
    from conure_training.rl.train import train_rl

# Torch's waiting threads would spin without end, on cores that simulation needs. If they do not
# spin at all, training a prior on all cores takes up to twice as long, as the next product follows
# at once: so they spin for a millisecond. A thread on a core that another process uses is worse
# than none, see `runtime.cpu_threads`. Both are read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "30000")

__all__ = ["evaluate", "load_policy", "load_prior", "train_prior", "train_rl"]

_HOMES = {
    "evaluate": "evaluation.evaluate",
    "load_policy": "rl.policy_file",
    "load_prior": "prior.model",
    "train_prior": "prior.train",
    "train_rl": "rl.train",
}

__getattr__, __dir__ = at_first_use(__name__, _HOMES)
