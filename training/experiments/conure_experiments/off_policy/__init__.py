"""Truly off-policy learning: where DDPG fails that never acts, and what repairs it.

python training/experiments/run.py experiment off_policy environment=pendulum setting=imitation
"""

from conure_experiments.off_policy.experiment import OffPolicy, run

__all__ = ["OffPolicy", "run"]
