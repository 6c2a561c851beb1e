"""From demonstrations to a bundle: data sets, the behavioral prior, learners, evaluation, export."""

import os

# Torch's idle threads would spin on cores that simulation needs: on busy cores that costs a factor of ten and more. If
# none spins at all, a step of the flow takes twice as long on calm cores, where the next product follows at once: so
# they spin a little, which on busy cores costs two thirds more than none. Read once, when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
