"""Goals of the action run_trial: their valid values, and their results."""

import math
from dataclasses import dataclass, field
from typing import Any

from rclpy.task import Future

from conure_msgs.action import RunTrial
from conure_ros.recording.trials import Trial

LONGEST_S = 3600.0
SEEDS = 2**31


@dataclass
class Goal:
    """A client's goal, from its acceptance until its result. `why`: what interrupted it."""

    handle: Any
    answer: Future = field(default_factory=Future)
    why: str = ""
    has_listener: bool = False
    """Whether a client ever subscribed to its feedback."""


@dataclass(frozen=True)
class Outcome:
    """The result of a goal: a trial, or why there is none. `recording`: the file of an aborted
    trial.
    """

    trial: Trial | None = None
    message: str = ""
    recording: str = ""


def is_seed(seed: int) -> bool:
    """Whether a scene can have this seed."""
    return 0 <= seed < SEEDS


def seed_refusal(seed: int) -> str:
    """What is wrong with the seed of a scene."""
    return f"seed must be from 0 to {SEEDS - 1}, got {seed}"


def refusal(goal: RunTrial.Goal) -> str:
    """What is wrong with the values of a goal; '' if nothing."""
    if not math.isfinite(goal.timeout_s) or not 0.0 <= goal.timeout_s <= LONGEST_S:
        return f"timeout_s must be from 0 to {LONGEST_S:.0f} s, got {goal.timeout_s}"
    if not is_seed(goal.seed):
        return seed_refusal(goal.seed)
    return "" if goal.task else "task must name a task, got ''"
