"""Goals that run: one of the arm, one of the gripper, each with the client that waits for it."""

from dataclasses import dataclass, field
from typing import Any

from rclpy.task import Future

from conure_ros.comms.messages import JointSample
from conure_ros.comms.sole_publisher import ClientWatch
from conure_ros.trajectory.following import ArmFollowing, Followed, Outcome
from conure_ros.trajectory.goals import Result
from conure_ros.trajectory.gripping import Gripping
from conure_ros.trajectory.preview import Preview

AHEAD_STEPS = 20
"""Set points judged in one period, ahead of the arm: a long trajectory is judged on the way."""


@dataclass(frozen=True)
class Moment:
    """What a goal is judged by: the measured pose, its age, s, the steady clock, s, and whether
    control follows.
    """

    measured: JointSample
    age_s: float
    now_s: float
    follows: bool


@dataclass
class Run:
    """A goal from its acceptance to its end. `handle`: the client's, and whether that is still
    there; None for one from a topic.
    """

    since_s: float
    handle: Any = None
    client: ClientWatch | None = None
    answer: Future = field(default_factory=Future)

    def passed_s(self, moment: Moment) -> float:
        """Time in which control followed since the last moment, s."""
        seconds, self.since_s = moment.now_s - self.since_s, moment.now_s
        return seconds if moment.follows else 0.0

    def step(self, moment: Moment) -> Outcome | None:
        """Go on to this moment. Returns how the goal ended, or None while it goes on."""
        raise NotImplementedError


@dataclass
class ArmRun(Run):
    """A trajectory of the arm. `followed`: where the arm should be, and is."""

    following: ArmFollowing = field(kw_only=True)
    preview: Preview = field(kw_only=True)
    followed: Followed | None = None

    def step(self, moment: Moment) -> Outcome | None:
        """See `Run.step`."""
        if why := self.preview.judge(AHEAD_STEPS):
            return Outcome(Result.INVALID_GOAL, why)
        self.following.advance(self.passed_s(moment))
        self.followed = self.following.compare(moment.measured, moment.age_s)
        return self.following.judge(moment.measured, moment.age_s)


@dataclass
class GripRun(Run):
    """A position of the gripper. `allow_stalling`: whether standing on an object is a success."""

    gripping: Gripping = field(kw_only=True)
    allow_stalling: bool = field(kw_only=True)

    def step(self, moment: Moment) -> Outcome | None:
        """See `Run.step`."""
        ended = self.gripping.judge(moment.measured.gripper_m, self.passed_s(moment))
        if ended is None:
            return None
        if not ended.stalled:
            return Outcome(Result.SUCCESSFUL)
        code = Result.SUCCESSFUL if self.allow_stalling else Result.GOAL_TOLERANCE_VIOLATED
        why = f"stands at {ended.position_m:.4f} m on the way to {self.gripping.target_m:.4f} m"
        return Outcome(code, why, stalled=True)
