"""One goal on its way: where the joints are to be next, and when it has ended. Pure."""

from dataclasses import dataclass, replace

import numpy as np

from conure_core.robot.description import RobotConfig
from conure_core.types import Array
from conure_ros.comms.messages import JointSample
from conure_ros.trajectory.goals import ArmGoal, Result, Tolerances
from conure_ros.trajectory.spline import Point, Spline

LATE_PERIODS = 1.5
"""Longest step of the trajectory's time, in control periods: a late command skips nothing."""
SETTLED_RAD_S = 0.1


@dataclass(frozen=True)
class Outcome:
    """How a goal ended: one of the codes of FollowJointTrajectory.Result, and a sentence.
    `stalled`: a gripper stands on an object.
    """

    code: int = Result.INVALID_GOAL
    why: str = ""
    cancelled: bool = False
    stalled: bool = False

    @property
    def success(self) -> bool:
        return self.code == Result.SUCCESSFUL and not self.cancelled


@dataclass(frozen=True)
class Followed:
    """Positions (n,), rad, at one moment: of the trajectory, and measured."""

    desired_rad: Array
    speed_rad_s: Array
    measured_rad: Array


class ArmFollowing:
    """Leads the arm along a trajectory. Its time passes only while control follows.

    >>> following = ArmFollowing(goal, robot, start_rad, start_speed_rad_s)
    >>> following.advance(seconds)
    >>> following.target_rad
    >>> outcome = following.judge(measured, age_s, stood_s)  # None: it goes on
    """

    def __init__(
        self, goal: ArmGoal, robot: RobotConfig, start_rad: Array, start_speed_rad_s: Array
    ) -> None:
        """Begin at the present set point.

        Args:
            goal: The trajectory, and its tolerances.
            robot: Names of the joints, period and duration of commands.
            start_rad: The present set point, shape (n,), rad.
            start_speed_rad_s: Its speed, shape (n,), rad/s.
        """
        self._robot, self._tolerances = robot, goal.tolerances
        start = Point(0.0, start_rad, start_speed_rad_s)
        later = goal.points
        if later[0].time_s <= 0.0:  # the arm is near it, and begins where it is
            start, later = replace(start, acceleration=later[0].acceleration), later[1:]
        self.spline = Spline([start, *later])
        self._time_s = -goal.wait_s
        self._last: tuple[int, Array] | None = None
        self._speed_rad_s = np.inf

    def advance(self, seconds: float) -> None:
        """Let time pass, s; a longer pause counts as LATE_PERIODS."""
        longest_s = LATE_PERIODS * self._robot.control_period_s
        self._time_s += min(seconds, longest_s)

    @property
    def present(self) -> tuple[Array, Array]:
        """Position (n,), rad, and speed, rad/s, of the trajectory now."""
        return self.spline.at(self._time_s)

    @property
    def target_rad(self) -> Array:
        """The next set point, (n,), rad: where the trajectory is at the end of a command."""
        position, _ = self.spline.at(self._time_s + self._robot.settle_s)
        return position

    def compare(self, measured: JointSample, age_s: float) -> Followed:
        """The trajectory at the time of a measurement.

        Args:
            measured: The measured pose.
            age_s: Its age, s.
        """
        desired_rad, speed_rad_s = self.spline.at(self._time_s - age_s)
        return Followed(desired_rad, speed_rad_s, measured.joint_rad)

    def judge(self, measured: JointSample, age_s: float) -> Outcome | None:
        """Compare the arm with its trajectory.

        Args:
            measured: The measured pose.
            age_s: Its age, s.

        Returns:
            How the goal ended; None while it goes on.
        """
        self._note_speed(measured)
        compared = self.compare(measured, age_s)
        error_rad = np.abs(compared.desired_rad - measured.joint_rad)
        past_s = self._time_s - age_s - self.spline.end_s
        if past_s < 0.0:
            return self._judge_path(error_rad)
        return self._judge_end(error_rad, past_s)

    def _note_speed(self, measured: JointSample) -> None:
        """Measure the speed of the fastest joint between two measurements."""
        if self._last is not None and measured.stamp_ns > self._last[0]:
            seconds = (measured.stamp_ns - self._last[0]) / 1e9
            moved_rad = np.abs(measured.joint_rad - self._last[1])
            self._speed_rad_s = float(moved_rad.max()) / seconds
        self._last = measured.stamp_ns, measured.joint_rad

    def _judge_path(self, error_rad: Array) -> Outcome | None:
        beyond = error_rad - self._tolerances.path_rad
        worst = int(beyond.argmax())
        if beyond[worst] <= 0.0:
            return None
        return Outcome(
            Result.PATH_TOLERANCE_VIOLATED,
            f"'{self._robot.joint_names[worst]}' is {error_rad[worst]:.3f} rad from the trajectory"
            f" (path_tolerance {self._tolerances.path_rad[worst]:g})",
        )

    def _judge_end(self, error_rad: Array, past_s: float) -> Outcome | None:
        beyond = error_rad - self._tolerances.goal_rad
        worst = int(beyond.argmax())
        if beyond[worst] <= 0.0 and self._speed_rad_s <= SETTLED_RAD_S:
            return Outcome(Result.SUCCESSFUL)
        if past_s <= self._tolerances.goal_time_s:
            return None
        name, limit_rad = self._robot.joint_names[worst], self._tolerances.goal_rad[worst]
        where = f"'{name}' is {error_rad[worst]:.3f} rad away (goal_tolerance {limit_rad:g})"
        if beyond[worst] <= 0.0:
            where = f"the arm still moves, {self._speed_rad_s:.2f} rad/s"
        return Outcome(
            Result.GOAL_TOLERANCE_VIOLATED, f"{where} {past_s:.2f} s after the trajectory's end"
        )


def default_tolerances(
    robot: RobotConfig, path_rad: float, goal_rad: float, goal_time_s: float
) -> Tolerances:
    """Tolerances where a goal gives none.

    Args:
        robot: Names of the joints; its max_following_error_rad is the default on the way.
        path_rad: Distance on the way, rad; 0: the robot's max_following_error_rad.
        goal_rad: Distance at the end, rad.
        goal_time_s: Time after the end until the arm must be there, s.
    """
    ones = np.ones(len(robot.joint_names))
    on_the_way = path_rad or robot.max_following_error_rad
    return Tolerances(on_the_way * ones, goal_rad * ones, goal_time_s)
