"""Verbs that have another name now; the old ones work for one release, with a hint."""

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


def report_prior(words: list[str]) -> None:
    """Renamed: conure prior-report."""
    print("conure card is now: conure prior-report", file=sys.stderr)
    from conure_training.evaluation.prior_report import run

    run(words)
