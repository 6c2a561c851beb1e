"""Verbs of before that are programs of the repository now; the old names work for one release."""

import sys
from pathlib import Path

from conure_core.errors import ConureError

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"


def run_experiments(words: list[str]) -> None:
    """Renamed: python training/experiments/run.py.

    Raises: ConureError where the repository is not there.
    """
    program = EXPERIMENTS / "run.py"
    if not program.is_file():
        raise ConureError(
            "the runner of experiments is not installed with conure; clone the repository, and in"
            " it: python training/experiments/run.py"
        )
    print(f"conure results is now: python {program}", file=sys.stderr)
    sys.path.insert(0, str(EXPERIMENTS))
    from conure_experiments.command import run

    run(words)
