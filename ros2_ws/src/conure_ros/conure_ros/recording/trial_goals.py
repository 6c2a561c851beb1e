"""Goals of the action run_trial: their valid values, and their results."""

from dataclasses import dataclass, field
from typing import Any

from builtin_interfaces.msg import Duration
from rclpy.task import Future

from conure_core.errors import RobotError
from conure_msgs.action import RunTrial
from conure_ros.comms.messages import to_seconds
from conure_ros.comms.service_names import SCENE_STATUS
from conure_ros.comms.sole_publisher import ClientWatch
from conure_ros.recording.trials import Trial

LONGEST_S = 3600.0
LIMIT_S = 60.0
"""Time limit of a trial where neither its settings nor the scene's node give one, s."""
SEEDS = 2**31


@dataclass
class Goal:
    """A client's goal, from its acceptance until its result. `why`: what interrupted it."""

    handle: Any
    client: ClientWatch
    answer: Future = field(default_factory=Future)
    why: str = ""


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
    timeout_s = to_seconds(goal.timeout)
    if not 0.0 <= timeout_s <= LONGEST_S:
        return f"timeout must be from 0 to {LONGEST_S:.0f} s, got {timeout_s:g}"
    if not is_seed(goal.seed):
        return seed_refusal(goal.seed)
    return "" if goal.task else "task must name a task, got ''"


def time_limit_s(given: Duration) -> float:
    """The task's own time limit, s: as scene/status gives it, or LIMIT_S where that is zero.

    Raises: RobotError if it is negative, or longer than LONGEST_S.
    """
    limit_s = to_seconds(given)
    if not 0.0 <= limit_s <= LONGEST_S:
        raise RobotError(
            f"{SCENE_STATUS}: time_limit must be from 0 to {LONGEST_S:.0f} s, got {limit_s:g};"
            " correct the node that offers the service, or give timeout_s"
        )
    return limit_s or LIMIT_S
