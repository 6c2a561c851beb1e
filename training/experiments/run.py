#!/usr/bin/env python3
"""Show the experiments, run what is missing of them, or write their pages: see docs/ledger.md.

    python training/experiments/run.py [NAME|all|plan|page|readme] [key=value ...]
    python training/experiments/run.py experiment NAME [key=value ...]

The second form runs one experiment that is not a verb, as the first does in a process of its own.
"""

import sys

from conure_experiments.command import run
from conure_experiments.standalone import run_words

from conure_core.cli import call

if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["experiment"]:
        sys.exit(call("experiment", run_words, words[1:]))
    sys.exit(call("experiments", run, words))
