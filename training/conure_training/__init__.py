"""From demonstrations to a bundle: data sets, the behavioral prior, learners, evaluation, export."""

import os

# Torch's idle threads would spin on cores that simulation needs: on busy cores that costs a factor of ten and more.
# Read once, when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
