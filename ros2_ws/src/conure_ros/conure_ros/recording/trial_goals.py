"""Goals of the action run_trial: their valid values, and their results."""

import json
import math
import time
from dataclasses import dataclass, field
from typing import Any

from rclpy.task import Future

from conure_core.errors import RobotError
from conure_msgs.action import RunTrial
from conure_ros.recording.trials import Trial

LONGEST_S = 3600.0
LIMIT_S = 60.0
"""Time limit of a trial where neither its settings nor the scene's node give one, s."""
SEEDS = 2**31
UNSEEN_S = 10.0
"""How long a client may take to be seen, s. One that was killed before never is."""


@dataclass
class Goal:
    """A client's goal, from its acceptance until its result. `why`: what interrupted it."""

    handle: Any
    answer: Future = field(default_factory=Future)
    why: str = ""
    has_listener: bool = False
    """Whether a client ever subscribed to its feedback."""
    accepted_s: float = field(default_factory=time.monotonic)

    @property
    def misses_client(self) -> bool:
        """Whether nobody's subscription to its feedback means that the client is gone."""
        return self.has_listener or time.monotonic() - self.accepted_s > UNSEEN_S


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


def time_limit_s(detail_json: str) -> float:
    """Read the task's own time limit from the detail of task_status.

    Args:
        detail_json: A JSON object; empty counts as one without values.

    Returns:
        Its `time_limit_s`, s; LIMIT_S if it has none.

    Raises:
        RobotError: It is not a JSON object, or the limit is not a number above 0, up to LONGEST_S.
    """
    detail = _json_object(detail_json)
    limit_s = detail.get("time_limit_s", LIMIT_S)
    known = isinstance(limit_s, (int, float)) and not isinstance(limit_s, bool)
    if not known or not 0.0 < limit_s <= LONGEST_S:
        raise RobotError(
            "task_status: time_limit_s in detail_json must be a number of seconds above 0, up to"
            f" {LONGEST_S:.0f}, got {limit_s!r}; correct the node that offers task_status, or give"
            " timeout_s"
        )
    return float(limit_s)


def _json_object(text: str) -> dict[str, Any]:
    try:
        detail = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise RobotError(f"task_status: detail_json is not JSON: {error}") from error
    if not isinstance(detail, dict):
        raise RobotError(
            f"task_status: detail_json must be a JSON object, got {type(detail).__name__}"
        )
    return detail
