"""From demonstrations to a bundle: data sets, the behavioral prior, learners, evaluation, export."""

import os

# Torch's idle threads would spin on cores that simulation needs: on busy cores that costs a factor of ten and more. If
# none spins at all, a prior trains at half the speed on calm cores, where the next product follows within microseconds:
# so they spin for about ten of them. Read once, when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
