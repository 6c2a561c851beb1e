"""From demonstrations to a bundle: data sets, the behavioral prior, learners, evaluation, export."""

import os

# Torch's waiting threads would spin without end, on cores that simulation needs. If they do not spin at all, training a
# prior on all cores takes up to twice as long, as the next product follows at once: so they spin for a millisecond.
# A thread on a core that another process uses is worse than none, see `threads`. Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "30000")
