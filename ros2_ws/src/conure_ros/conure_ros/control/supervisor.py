"""All decisions of control_node: who moves the arm, from where, how far, and when it must hold.
Pure: the clock is passed in.
"""

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from conure_core.contract.action import MOTION
from conure_core.control.loop import ControlLoop
from conure_core.control.safety import JointCommand, reachable
from conure_core.errors import RobotError, UnsafeCommand
from conure_core.robot.arm import Arm, within
from conure_core.types import Array
from conure_ros.comms.messages import NANOSECONDS, JointGoal, JointPart, JointSample
from conure_ros.comms.qos import STATE_PERIOD_S
from conure_ros.comms.sole_publisher import NO_NAME
from conure_ros.control.arbiter import Arbiter, Mode, Request, Status
from conure_ros.control.clock_watch import Clock, ClockWatch
from conure_ros.control.home_request import HomeRequest
from conure_ros.control.joint_watch import JointWatch
from conure_ros.control.parameters import ControlParameters
from conure_ros.control.policy_monitor import PolicyWatch, Verdict
from conure_ros.control.set_point import SetPoint
from conure_ros.control.torque import CONFIRM_S, Torque

NOWHERE_S = 1e-9


class Sink(Protocol):
    """Receives the decisions."""

    def send(self, command: JointCommand, now_ns: int) -> None:
        """Send a command to the arm.

        Args:
            command: Joint angles (n,), rad, and gripper position, m, to be reached in `duration_s`.
            now_ns: Stamp of the command, ns.
        """

    def begin(self, joint_rad: Array, gripper_m: float) -> None:
        """Set the pose from which the next command starts.

        Args:
            joint_rad: Measured angles, shape (n,), rad.
            gripper_m: Measured gripper position, m.
        """

    def report(self, status: Status) -> None:
        """Publish the state."""

    def torque(self, on: bool, request: int) -> None:
        """Ask the driver to switch the torque. Its answer goes to `Supervisor.take_torque_answer`.

        Args:
            on: Whether the arm is to have torque.
            request: Number of the request, to be passed on with the answer.
        """


class Supervisor:
    """The only way to move the arm: the methods of this class, each at the clock's present time.

    Every fault leads to `_hold`: the set point stays where it is now, not where it was heading.
    """

    def __init__(
        self, arm: Arm, settings: ControlParameters, clock: Clock, sink: Sink, stopped_by: str = ""
    ) -> None:
        """Start inactive.

        Args:
            arm: Kinematics and limits.
            settings: The node's parameters.
            clock: Steady clock, and clock of the stamps.
            sink: Receives commands and states.
            stopped_by: Why an earlier supervisor of this node was stopped; the stop lasts. '': it
                was not.

        Raises:
            BundleError, SpecMismatch: The bundle does not fit this robot.
        """
        self.robot, self.settings, self.clock, self.sink = arm.config, settings, clock, sink
        self.loop = ControlLoop(arm)
        self.arbiter = Arbiter(settings.stale_periods * self.robot.control_period_s)
        if stopped_by:
            self.arbiter.stop(stopped_by)
        self.policy = PolicyWatch(settings, self.robot)
        self.watch = JointWatch(arm, self.arbiter.stale_s)
        self.clock_watch = ClockWatch()
        self.active = False
        self._fastest_rad_s: Array = np.array(self.robot.max_speed_rad_s)
        self._anchor_ns, self._anchored = 0, False
        self._set_point: SetPoint | None = None
        self._resting = False
        self._stamps: dict[Mode, tuple[int, float]] = {}
        self._tick_s, self._heartbeat_s, self._reported_s = math.inf, math.inf, -math.inf
        self._caution, self._refused, self._refusal, self._reset_ns = "", 0, "", 0
        self._refused_since_selection = False
        self._duplicates = ""
        self._torque = Torque(on=not stopped_by)
        self._home_request: HomeRequest | None = None
        self._reported: tuple[Mode, str, str] | None = None

    # Lifecycle.

    def activate(self) -> None:
        """Hold. Nothing that was captured earlier moves the arm."""
        now_s = self.clock.steady_s()
        self.active, self._tick_s, self._heartbeat_s = True, now_s, now_s
        self._refused, self._refusal = 0, ""
        self._forget_pose()
        if not self.arbiter.stop_reason:
            self.arbiter.select(Mode.HOLD, now_s, "activated; choose a mode")
            if not self._torque.on:  # the stop was reset while control was not active
                self._ask_for_torque(on=True)
        self._report()

    def deactivate(self) -> None:
        self._hold("deactivated")
        self._end_homing("deactivated")
        self.active = False
        self._report()

    # Measurements.

    def take_sample(self, part: JointPart) -> None:
        """Take what one message of joint_states measured: some of the joints, or all."""
        self._hold_after_stall()
        faulty = self.watch.fault != ""
        try:
            self.watch.take(part, self.clock.steady_s(), self.clock.now_ns())
        except RobotError as error:
            self._hold(str(error))
            return
        self._anchor_if_needed()
        if faulty:
            self._report_changes()

    def reject_sample(self, why: str, index: NDArray[np.intp] | None = None) -> None:
        """Take a message on joint_states that holds no valid sample.

        Args:
            why: What is wrong with it.
            index: The joints that it names, as places in `command_names`, shape (k,); None: all.
        """
        self._hold_after_stall()
        self.watch.refuse(why, index)
        self._hold(why)

    def ignore_sample(self, names: Sequence[str]) -> None:
        """Note a message on joint_states that has none of the arm's joints: another machine's."""
        self.watch.ignore(names)

    def _forget_pose(self) -> None:
        """End motion and forget all measurements. The next samples must agree with each other
        first.
        """
        if self._unfinished:
            self._rest()
        self.watch.reset()
        self._anchored = False

    def _anchor_if_needed(self) -> None:
        if self.active and not self._anchored and not self._torque.unanswered:
            with contextlib.suppress(RobotError):
                self._anchor(self.watch.at_rest(self.clock.steady_s()))

    def _anchor(self, sample: JointSample) -> None:
        """Start from where the arm rests. Nothing captured before may move it."""
        self.loop.reset(sample.joint_rad, sample.gripper_m)
        self.sink.begin(sample.joint_rad, sample.gripper_m)
        self._set_point = SetPoint(
            np.append(sample.joint_rad, sample.gripper_m), self.clock.steady_s()
        )
        self._anchored = True
        self.watch.settle()
        self._anchor_ns = max(self._anchor_ns, min(sample.stamp_ns, self.clock.now_ns()))

    @property
    def set_point_rad(self) -> Array:
        """The present set point of the joints, (n,), rad. Raises: RobotError before the first
        anchor.
        """
        return self._followed.at(self.clock.steady_s())[:-1]

    @property
    def _followed(self) -> SetPoint:
        if self._set_point is None:
            raise RobotError(self.watch.fault or "waiting for joint_states")
        return self._set_point

    @property
    def _waiting_s(self) -> float:
        """Time that the last command still needs, s."""
        return 0.0 if self._set_point is None else self._set_point.waiting_s(self.clock.steady_s())

    def _present(self) -> JointSample:
        """The measured pose of an anchored arm. Raises: RobotError, StaleInput."""
        measured = self.watch.present(self.clock.steady_s())
        if not self._anchored:
            self.watch.at_rest(self.clock.steady_s())
            raise RobotError("waiting for joint_states")
        return measured

    def _require_following(self, measured: JointSample) -> None:
        """Raises: UnsafeCommand naming a joint that is too far from its set point: it is blocked,
        or slower than commanded.
        """
        behind_rad = np.abs(self.set_point_rad - measured.joint_rad)
        behind_rad -= self._fastest_rad_s * self.watch.arm_ages_s(self.clock.steady_s())
        worst = int(behind_rad.argmax())
        limit_rad = self.robot.max_following_error_rad
        if behind_rad[worst] > limit_rad:
            self._rest_at(measured)
            raise UnsafeCommand(
                f"'{self.robot.joint_names[worst]}' is {behind_rad[worst]:.2f} rad from where it"
                f" was commanded (max_following_error_rad {limit_rad}): blocked, or another"
                " controller moves it"
            )

    # Commands.

    def take_request(self, source: Mode, request: Request) -> None:
        """Take a command of a source.

        Args:
            source: One of `arbiter.SOURCES`.
            request: The action and what it answers. A refused one is counted, and its reason
                reported.
        """
        self._hold_after_stall()
        if not self.active or not self.arbiter.admits(source):
            return
        if request.captured_ns < self._anchor_ns:
            self._refuse(
                "it answers what was seen before the mode was chosen, or before the arm was"
                " measured"
            )
            return
        now_s = self.clock.steady_s()
        if self._waiting_s > self.robot.control_period_s:
            self._refuse("commands come faster than one a control period; more than one is waiting")
            return
        if source is Mode.TELEOP and self.arbiter.selected is not Mode.TELEOP:
            self._end_homing("a person took over")
            self.arbiter.select(Mode.TELEOP, now_s)
        self._try(source, request)

    def _try(self, source: Mode, request: Request) -> None:
        try:
            measured = self._moved_by_hand(self._present())
            self._require_following(measured)
            age_s = self._age_s(source, request)
            command = self._gated(source, request, measured, age_s)
        except RobotError as error:
            self._refuse(str(error))
            self._hold(str(error))
            return
        # The age decides, not the arrival: the observation is this old.
        self.arbiter.accept(self.clock.steady_s() - max(0.0, age_s))
        self._send(command, measured, request.captured_ns)

    def _gated(
        self, source: Mode, request: Request, measured: JointSample, age_s: float
    ) -> JointCommand:
        """The command that controller and gate make of a request. Raises: RobotError."""
        if isinstance(request.action, JointGoal):
            target = request.action.completed(self.loop.gate.last)
            return self.loop.step_joints(target, age_s, measured.gripper_m)
        action = self._trusted(request) if source is Mode.POLICY else np.array(request.action)
        return self.loop.step(action, measured.joint_rad, age_s, measured.gripper_m)

    def _age_s(self, source: Mode, request: Request) -> float:
        """The age of a request by its stamp, s. If the stamp is not new, also the time since it
        first came: a clock may stand still.

        A future stamp, which the gate refuses, is not remembered. Otherwise all later commands
        would look old beside it.
        """
        now_s, age_s = (
            self.clock.steady_s(),
            (self.clock.now_ns() - request.captured_ns) / NANOSECONDS,
        )
        if age_s < -self.robot.control_period_s:
            return age_s
        newest_ns, since_s = self._stamps.get(source, (-1, now_s))
        if request.captured_ns > newest_ns:
            self._stamps[source] = (request.captured_ns, now_s)
            return age_s
        return max(age_s, now_s - since_s)

    def pause(self, source: Mode, why: str) -> None:
        """Hold until the source's next command, if it is the one that moves the arm."""
        if self.active and self.arbiter.mode is source:
            self._hold(why)

    def _refuse(self, why: str) -> None:
        self._refused, self._refusal, self._refused_since_selection = self._refused + 1, why, True

    def _trusted(self, request: Request) -> Array:
        """The policy's action as far as the prior trusts it. Raises: UnsafeCommand if not at
        all.
        """
        action = np.array(request.action)
        verdict, self._caution = self.policy.judge(request.bundle_hash, request.log_likelihood)
        if verdict is Verdict.HAND_OVER:
            why = f"handed over to a person: {self._caution}; choose a mode to continue"
            self.arbiter.select(Mode.HOLD, self.clock.steady_s(), why)
            raise UnsafeCommand(why)
        if verdict is Verdict.HOLD:
            raise UnsafeCommand(self._caution)
        if verdict is Verdict.SLOW:
            action[MOTION] *= self.settings.slow_fraction
        return action

    def _moved_by_hand(self, measured: JointSample) -> JointSample:
        """Anchor again if the arm was moved by hand while it held. Raises: RobotError while it
        still moves.
        """
        away_rad = float(np.abs(measured.joint_rad - self.set_point_rad).max())
        if not self._in_motion and away_rad > self.robot.max_start_error_rad:
            self._anchor(self.watch.at_rest(self.clock.steady_s()))
        return measured

    @property
    def _in_motion(self) -> bool:
        """Whether a source moves the arm, or the last command is not finished."""
        return self.arbiter.moving or self._waiting_s > 0.0

    def _send(
        self, command: JointCommand, measured: JointSample, captured_ns: int | None = None
    ) -> None:
        """Send a command, but no further from the measured pose than the arm can be by then."""
        command = self._after_the_last(command)
        seconds = command.duration_s + self.watch.arm_ages_s(self.clock.steady_s())
        farthest_rad = self._fastest_rad_s * seconds + self.robot.max_following_error_rad
        sent = reachable(command, measured.joint_rad, farthest_rad)
        if sent is not command:
            self.loop.reset(sent.joint_rad, sent.gripper_m)
        self._resting = False
        self._emit(sent, captured_ns)

    def _emit(self, command: JointCommand, captured_ns: int | None = None) -> None:
        now_ns = self.clock.now_ns()
        goal = np.append(command.joint_rad, command.gripper_m)
        self._followed.follow(goal, command.duration_s, self.clock.steady_s())
        self.sink.send(command, now_ns)
        latency_s = math.nan if captured_ns is None else (now_ns - captured_ns) / NANOSECONDS
        self._report(command, latency_s, now_ns)
        self._caution = ""

    def _after_the_last(self, command: JointCommand) -> JointCommand:
        """Add the time that the last command still needs: an early command must not make the arm
        faster.
        """
        return replace(command, duration_s=command.duration_s + self._waiting_s)

    # Holding and stopping.

    def _hold(self, why: str) -> None:
        """Hold until the next good command. An arm at rest gets no command: it may have been moved
        by hand.
        """
        if self.arbiter.selected is not Mode.HOLD:
            self.arbiter.hold(why)
        self._rest()

    @property
    def _unfinished(self) -> bool:
        """Whether the last command still moves the arm. One that ends motion does not count: it may
        lead back to an arm that cannot follow.
        """
        return self.active and self._waiting_s > 0.0 and not self._resting

    def _rest(self) -> None:
        """End an unfinished command at the present set point. The gripper stays where it was
        commanded.
        """
        if self._unfinished:
            self._stand(self.set_point_rad, self.loop.hold().gripper_m)
        else:
            self._report_changes()

    def _rest_at(self, measured: JointSample) -> None:
        """Rest at the measured pose: an arm that cannot follow must not keep pressing.

        Never further beyond a joint's limit than the set point is: a measurement there may be
        wrong.
        """
        here = self.set_point_rad
        arm = self.loop.arm
        joint_rad = within(
            measured.joint_rad, np.minimum(arm.lower_rad, here), np.maximum(arm.upper_rad, here)
        )
        self._stand(joint_rad, self.loop.hold().gripper_m)

    def _stand(self, joint_rad: Array, gripper_m: float) -> None:
        """Go to a pose, no faster than the joints may. If the set point is there already, do not
        wait.

        A controller that queues motions starts from the last goal, and must not be faster either.
        """
        away_s, back_s = (
            float((np.abs(joint_rad - start_rad) / self._fastest_rad_s).max())
            for start_rad in (self.set_point_rad, self._followed.goal[:-1])
        )
        self.loop.reset(joint_rad, gripper_m)
        duration_s = max(self.robot.settle_s, away_s, back_s)
        self._emit(JointCommand(joint_rad, gripper_m, duration_s, ("hold",)))
        self._resting = True
        if away_s < NOWHERE_S:
            self._followed.finish()

    def stop(self, why: str) -> None:
        """Latch a stop. Only `reset_stop` ends it."""
        self.arbiter.stop(why)
        self._end_homing(f"stopped by {why}")
        self._ask_for_torque(on=False)
        self._rest()

    def reset_stop(self) -> None:
        """End the stop: hold, with torque again, until a mode is chosen."""
        self._hold_after_stall()
        self.arbiter.reset()
        self._reset_ns = self.clock.now_ns()
        self._forget_pose()
        self._heartbeat_s = self.clock.steady_s()
        self._ask_for_torque(on=True)
        self._report()

    def _ask_for_torque(self, on: bool) -> None:
        """Switch the torque of an arm that goes limp when stopped."""
        if self.settings.on_stop == "limp" and self.active:
            self.sink.torque(on, self._torque.ask(on, self.clock.steady_s()))

    def take_torque_answer(self, request: int, success: bool, message: str) -> None:
        """Take the driver's answer. An arm that did not get its torque back stays stopped.

        Args:
            request: Number of the request that it answers.
            success: Whether the driver switched the torque.
            message: The driver's explanation.
        """
        if not self._torque.take_answer(request, success, message):
            return
        if self._torque.on and not success:
            self.stop(f"torque: {message}")
        self._report_changes()

    # Time.

    def tick(self, publishers: Mapping[str, str]) -> None:
        """Run the checks that depend on time; call it often.

        Args:
            publishers: By topic that has several publishers though only one may: their names.
        """
        self._hold_after_stall()
        self._tick_s = now_s = self.clock.steady_s()
        if self.active:
            self._watch_graph(publishers, now_s)
            if self._home_request is not None:
                self._step_homing(self._home_request, now_s)
            if self.arbiter.hold_if_silent(now_s):
                self._rest()
            elif self.arbiter.moving:
                self._hold_unless_following()
        if now_s - self._reported_s >= STATE_PERIOD_S:
            self._report()

    def _hold_unless_following(self) -> None:
        try:
            self._require_following(self._present())
        except RobotError as error:
            self._hold(str(error))

    def _hold_after_stall(self) -> None:
        """Hold if control did not run for `stall_s`: it does not know what happened meanwhile."""
        away_s = self.clock.steady_s() - self._tick_s
        if self.active and away_s > self.settings.stall_s:
            self._tick_s = self.clock.steady_s()
            why = (
                f"control did not run for {away_s:.2f} s (stall_s {self.settings.stall_s}); choose"
                " a mode to go on"
            )
            self._hold_until_chosen(why)

    def _hold_until_chosen(self, why: str) -> None:
        self._end_homing(why)
        if not self.arbiter.stop_reason:
            self.arbiter.select(Mode.HOLD, self.clock.steady_s(), why)
        self._forget_pose()

    def heartbeat(self) -> None:
        """Note a heartbeat of the operator."""
        self._heartbeat_s = self.clock.steady_s()

    def _watch_graph(self, publishers: Mapping[str, str], now_s: float) -> None:
        """Check the operator's heartbeat, duplicate publishers, the torque answer and the clock."""
        silent_s, limit_s = now_s - self._heartbeat_s, self.settings.heartbeat_s
        if limit_s and silent_s > limit_s and not self.arbiter.stop_reason:
            self.stop(f"the operator's heartbeat, silent for {silent_s:.2f} s (limit {limit_s} s)")
        self._duplicates = "; ".join(
            f"nodes {names} all publish {topic}" for topic, names in publishers.items()
        )
        why = f"several publishers: {self._duplicates}"
        if self._duplicates and not self.arbiter.stop_reason:
            self.stop(why)
        elif self._duplicates and NO_NAME in self.arbiter.stop_reason:
            self.arbiter.stop_reason = why
            self._report_changes()
        if self._torque.overdue(now_s):
            self.take_torque_answer(self._torque.request, False, f"no answer within {CONFIRM_S} s")
        back_s = self.clock_watch.stepped_back_s(self.clock.now_ns())
        if back_s:
            self._anchor_ns = min(self._anchor_ns, self.clock.now_ns())
            self._stamps.clear()
            self._hold(f"the clock stepped back by {back_s:.2f} s")

    # Requests.

    def select(self, mode: Mode) -> None:
        """Let the policy, a person or nobody move the arm. Raises: RobotError while stopped."""
        self._hold_after_stall()
        self.arbiter.select(mode, self.clock.steady_s(), "hold was requested")
        self._end_homing(f"mode {mode.name.lower()} was requested")
        self.policy.reset()
        self._refused_since_selection = False
        if self.watch.fault:
            self._forget_pose()
        if mode is not Mode.HOLD:
            self._anchor_ns = max(self._anchor_ns, self.clock.now_ns())
        self._rest()

    def home(self, answer: Callable[[str], None]) -> None:
        """Go home. `answer` receives '' when the arm is there, or why it is not."""
        self._hold_after_stall()
        if not self.active:
            answer("control is not active")
            return
        now_s = self.clock.steady_s()
        try:
            self.arbiter.select(Mode.HOLD, now_s, "homing")
        except RobotError as error:
            answer(str(error))
            return
        self._end_homing("homing was requested again")
        self._rest()
        self._home_request = HomeRequest(
            self.loop, self.settings, answer, self.clock.now_ns(), now_s
        )

    def _end_homing(self, why: str) -> None:
        request, self._home_request = self._home_request, None
        if request is not None:
            request.answer(why)

    def _step_homing(self, request: HomeRequest, now_s: float) -> None:
        """Take the step of homing that is due now; at its end, repeat the target until it is
        reached.
        """
        try:
            if not request.started:
                self._start_homing(request, now_s)
            elif request.due(now_s):
                measured, age_s = self._present(), self.watch.age_s(now_s)
                self._require_following(measured)
                if not request.arrived:
                    self._send(request.step(age_s, now_s), measured)
                elif self._waiting_s > 0.0:
                    return
                elif request.settled(measured.joint_rad, now_s):
                    self._end_at_home(now_s)
                else:
                    self._send(request.repeat(measured.joint_rad, age_s), measured)
        except RobotError as error:
            self.arbiter.select(Mode.HOLD, now_s, f"not at home: {error}")
            self._end_homing(" ".join(str(error).split()))
            self._rest()

    def _start_homing(self, request: HomeRequest, now_s: float) -> None:
        """Start from an arm at rest, measured after the request: its driver may be setting up a new
        scene.
        """
        if self._anchored and self._anchor_ns <= request.asked_ns:
            self._forget_pose()
        if self._anchored:
            request.start(now_s)
        elif request.late(now_s):
            self._present()

    def _end_at_home(self, now_s: float) -> None:
        """Finish homing. Nothing that was captured before moves the arm from there."""
        self.loop.hold()
        self._anchor_ns = self.clock.now_ns()
        self.arbiter.select(Mode.HOLD, now_s, "at home")
        self._end_homing("")
        self._report()

    # Reports.

    @property
    def mode(self) -> Mode:
        return self.arbiter.mode if self.active else Mode.INACTIVE

    @property
    def reason(self) -> str:
        """Why this mode. While nothing moves, also why the last command was refused."""
        blind = self.watch.fault if self.active else ""
        reason = self.arbiter.stop_reason or blind or self.arbiter.reason
        waiting = self.arbiter.selected is not Mode.HOLD and not self.arbiter.moving
        if waiting and self.active and not self._anchored and not blind:
            reason += "; waiting for the arm to rest"
        if waiting and self._refused_since_selection and self._refusal not in reason:
            reason += f"; the last command was refused: {self._refusal}"
        return " ".join(reason.split())

    @property
    def alarm(self) -> str:
        """What control cannot promise now; '' if nothing."""
        duplicates = (
            f"{self._duplicates}: control cannot promise that the arm obeys it; end the others, or"
            " cut the arm's power"
        )
        return "; ".join(filter(None, [duplicates if self._duplicates else "", self._torque.alarm]))

    def _report_changes(self) -> None:
        if (self.mode, self.reason, self.alarm) != self._reported:
            self._report()

    def _report(
        self,
        command: JointCommand | None = None,
        latency_s: float = math.nan,
        now_ns: int | None = None,
    ) -> None:
        self._reported, self._reported_s = (
            (self.mode, self.reason, self.alarm),
            self.clock.steady_s(),
        )
        changes = () if command is None else (*command.changes, *filter(None, [self._caution]))
        self.sink.report(
            Status(
                mode=self.mode,
                selected=self.arbiter.selected if self.active else Mode.HOLD,
                stopped=bool(self.arbiter.stop_reason),
                reason=self.reason,
                alarm=self.alarm,
                refused=self._refused,
                refusal=self._refusal,
                reset_ns=self._reset_ns,
                now_ns=self.clock.now_ns() if now_ns is None else now_ns,
                command=command,
                changes=changes,
                latency_s=latency_s,
            )
        )
