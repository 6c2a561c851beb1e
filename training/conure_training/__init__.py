"""From demonstrations to a bundle: data sets, the behavioral prior, learners, evaluation, export."""

import os

# Torch's idle threads would spin on cores that simulation needs: on busy cores that costs a factor of ten and more. If
# they do not spin, training a prior takes 1.4 times as long or more, as the next product follows at once, and 1.6
# times beside other work on all cores: so they spin for about a millisecond. Read once, when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "30000")
