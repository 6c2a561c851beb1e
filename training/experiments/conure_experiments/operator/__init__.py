"""A scripted operator in a person's place: it sees the camera's images, moves the arm by twists,
and labels what it recorded.

python training/experiments/run.py experiment operator episodes=20 folder=out/recordings
"""

from conure_experiments.operator.experiment import Operator, run

__all__ = ["Operator", "run"]
