"""Stops at random moments under every kind of sender, in simulated time. Judges the motion of the
joints. No ROS.

`Controlled` is the interface to what decides: the same trials judge control's core and, in the
tests, wrong cores.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from conure_core.contract.action import ACTION_SIZE
from conure_core.robot.description import RobotConfig, load_robot
from conure_core.types import Array
from conure_ros.faults.arms.models import ArmModel, Order, Refused, SerialServos, arm_model
from conure_ros.faults.judge.rules import (
    Judge,
    Judgement,
    MeasuredMotion,
    StopMotion,
    motion_after_stop,
)

STEP_S, TICK_S, MEASURE_S = 0.005, 0.01, 0.01
RUN_S, STOPPED_S, BETWEEN_S = (0.3, 1.5), 1.0, 0.2
STOP_LATENCY_S = 0.02
"""When our driver has received a stop, s."""
FASTER = 4.0
"""Factor on the robot's limits: the arm itself would not keep them."""
DIRECTION_S = 0.6
"""How long a sender keeps one direction, s."""
BEGIN_S = 100.0
"""The clock is not at zero when control begins: zero stamps mean 'now' in ROS."""


class Controlled(Protocol):
    """Decides whether and how the arm moves. Times are those of the clock that it was given, s."""

    def measure(self, stamp_s: float, joint_rad: Array, gripper_m: float) -> None:
        """Take a measurement.

        Args:
            stamp_s: Time of the measurement, s.
            joint_rad: Angles, shape (n,), rad.
            gripper_m: Gripper position, m.
        """

    def command(self, source: str, action: Array, stamp_s: float) -> None:
        """Take a command.

        Args:
            source: "policy" or "teleop".
            action: Normalized action, shape (7,).
            stamp_s: Time of the observation that it answers, s.
        """

    def tick(self) -> None: ...
    def stop(self, why: str) -> None: ...
    def reset_stop(self) -> None: ...
    def set_mode(self, mode: str) -> None: ...


Sink = Callable[[Order], None]
Build = Callable[[RobotConfig, Callable[[], float], Sink], Controlled]
"""From the robot, a clock and where joint commands (n + 1,) go."""


@dataclass(frozen=True)
class Sender:
    """Sends an action `rate_hz` times a second from `offset_s` on, each time `burst` of them at
    once.
    """

    source: str
    rate_hz: float
    offset_s: float = 0.0
    burst: int = 1
    age_s: float = 0.02
    jitter_s: float = 0.0


SENDERS: dict[str, tuple[Sender, ...]] = {
    "policy at 10 Hz": (Sender("policy", 10.0),),
    "policy at 10 Hz, uneven": (Sender("policy", 10.0, jitter_s=0.04),),
    "teleop at 10 Hz": (Sender("teleop", 10.0),),
    "teleop at 20 Hz": (Sender("teleop", 20.0),),
    "teleop at 50 Hz": (Sender("teleop", 50.0),),
    "two teleops": (Sender("teleop", 10.0), Sender("teleop", 10.0, offset_s=0.05)),
    "policy and teleop": (Sender("policy", 10.0), Sender("teleop", 10.0, offset_s=0.03)),
    "bursts of teleop": (Sender("teleop", 4.0, burst=6),),
    "bursts of the policy": (Sender("policy", 4.0, burst=6),),
}
ARMS = ("trajectory", "stream", "serial")


@dataclass(frozen=True)
class StopTrials:
    """The results: the stops that did not end motion, by sender and arm, and the judgement of all
    motion.

    `moved`: stops of an arm that had moved; without motion a stop proves nothing.
    """

    stops: int = 0
    moved: int = 0
    failures: tuple[tuple[str, StopMotion], ...] = ()
    worst_late_rad: float = 0.0
    worst_stopped_rad: float = 0.0
    worst_ended_s: float = 0.0
    measured: Judgement = field(default_factory=Judgement)

    def merge(self, other: "StopTrials") -> "StopTrials":
        return StopTrials(
            self.stops + other.stops,
            self.moved + other.moved,
            (*self.failures, *other.failures),
            max(self.worst_late_rad, other.worst_late_rad),
            max(self.worst_stopped_rad, other.worst_stopped_rad),
            max(self.worst_ended_s, other.worst_ended_s),
            self.measured.merge(other.measured),
        )

    @property
    def kept(self) -> bool:
        fast = {"speed", "position_rad", "not_finite"} & set(self.measured.broken)
        return not self.failures and not fast and self.moved >= self.stops / 2

    def figures(self) -> dict[str, float]:
        return {
            "stops": float(self.stops),
            "stops of a moving arm": float(self.moved),
            "stops that did not end motion": float(len(self.failures)),
            "motion after the stop beyond braking, at most, rad": self.worst_late_rad,
            "motion while stopped, at most, rad": self.worst_stopped_rad,
            "last motion after the request, at most, ms": 1e3 * self.worst_ended_s,
            "measured speed beyond the limit and 5 %, rad/s": self.measured.speed,
        }


def run_stop_trials(
    build: Build,
    robot: str = "wx250s",
    stops: int = 500,
    seed: int = 0,
    senders: Sequence[str] = tuple(SENDERS),
    arms: Sequence[str] = ARMS,
) -> StopTrials:
    """Run stops, shared evenly among all pairs of senders and arms.

    Args:
        build: Makes the control from the robot, a clock (s) and the receiver of its joint commands.
        robot: Name of the robot, or path of its YAML file.
        stops: Number of stops.
        seed: Seed of the random numbers.
        senders: Names from SENDERS.
        arms: Names of arm models.
    """
    pairs = [(sender, arm) for sender in senders for arm in arms]
    judge, total = Judge(robot), StopTrials()
    for number, (sender, arm) in enumerate(pairs):
        share = (stops * (number + 1)) // len(pairs) - (stops * number) // len(pairs)
        if not share:
            continue
        trial = Trial(
            build, load_robot(robot), SENDERS[sender], arm, np.random.default_rng([seed, number])
        )
        for _ in range(share):
            total = total.merge(trial.run_stop(f"{sender}, {arm} arm"))
        total = total.merge(StopTrials(measured=trial.judge_motion(judge)))
    judge.close()
    return total


class Trial:
    """One arm, its control and its senders, over several stops."""

    def __init__(
        self,
        build: Build,
        robot: RobotConfig,
        senders: Sequence[Sender],
        arm: str,
        rng: np.random.Generator,
    ) -> None:
        self._robot, self._rng, self.now_s = robot, rng, BEGIN_S
        start = np.append(robot.home_rad, robot.gripper_open_m)
        limit = np.append(robot.max_speed_rad_s, robot.gripper_speed_m_s)
        self._lag_s = float(rng.uniform(0.01, 0.04))
        own = {"lag_s": self._lag_s}
        self.arm: ArmModel = arm_model(arm, start, FASTER * limit, own, STEP_S, limit)
        self.arm.now_s = BEGIN_S
        self.refused = 0
        self.control = build(robot, lambda: self.now_s, self._take)
        self._senders = [self._sends(sender) for sender in senders]
        self._mode = senders[0].source
        self._tick_s = self._measure_s = BEGIN_S
        self._direction, self._turn_s = np.zeros(ACTION_SIZE), 0.0
        self._run(BETWEEN_S)

    def _take(self, order: Order) -> None:
        try:
            self.arm.take(order, self.now_s)
        except Refused:
            self.refused += 1

    def _sends(self, sender: Sender) -> Iterator[None]:
        """Each step sends what is due."""
        due_s = BEGIN_S + sender.offset_s
        while True:
            while due_s <= self.now_s:
                for _ in range(sender.burst):
                    self.control.command(sender.source, self._action(), self.now_s - sender.age_s)
                due_s += 1.0 / sender.rate_hz + float(self._rng.uniform(-1, 1)) * sender.jitter_s
            yield

    def _action(self) -> Array:
        if self.now_s > self._turn_s:
            self._turn_s = self.now_s + DIRECTION_S
            self._direction = self._rng.choice([-1.0, -0.5, 0.5, 1.0], ACTION_SIZE)
        return self._direction.copy()

    def _run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.now_s += STEP_S
            self.arm.advance(self.now_s)
            if self.now_s >= self._measure_s:
                self._measure_s += MEASURE_S
                measured = self.arm.measured()
                self.control.measure(self.now_s, measured[:-1], float(measured[-1]))
            for sender in self._senders:
                next(sender)
            if self.now_s >= self._tick_s:
                self._tick_s += TICK_S
                self.control.tick()

    def run_stop(self, what: str) -> StopTrials:
        """Let the arm move, stop it, watch it, reset the stop and let it rest."""
        joints = len(self._robot.joint_names)
        self.control.set_mode(self._mode)
        began = len(self.arm.history)
        self._run(float(self._rng.uniform(*RUN_S)))
        before = np.array([positions[:joints] for _, positions in self.arm.history[began:]])
        asked_s = self.now_s
        self.control.stop("the trial")
        self._run(STOP_LATENCY_S)
        self._stop_driver(stopped=True)
        self._run(STOPPED_S - STOP_LATENCY_S)
        until_s = self.now_s
        self._stop_driver(stopped=False)
        self.control.reset_stop()
        self._run(BETWEEN_S)
        times, positions = zip(*self.arm.history[began:], strict=True)
        seen = MeasuredMotion(np.array(times), np.array(positions)[:, :joints])
        motion = motion_after_stop(
            seen,
            asked_s,
            until_s,
            np.array(self._robot.max_acceleration_rad_s2),
            lag_s=self._lag_s,
        )
        moved = int(np.ptp(before, axis=0).max() > 0.02)
        failures = () if motion.kept else ((what, motion),)
        late_rad = max(0.0, motion.late_rad - motion.braking_rad)
        return StopTrials(1, moved, failures, late_rad, motion.stopped_rad, motion.ended_s)

    def _stop_driver(self, stopped: bool) -> None:
        """Our drivers take part in a stop; other controllers do not know of it."""
        if isinstance(self.arm.controller, SerialServos):
            self.arm.controller.stop(stopped)

    def judge_motion(self, judge: Judge) -> Judgement:
        """Judge all of the motion."""
        return judge.judge_motion(
            MeasuredMotion(*self.arm.recorded_motion(len(self._robot.joint_names))),
            window_s=2 * STEP_S,
            every=20,
        )
