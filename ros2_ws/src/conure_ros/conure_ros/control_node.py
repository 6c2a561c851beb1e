"""control_node: the only publisher of joint commands. Arbitrates, runs controller and safety gate, watches ages."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import Empty
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from conure_core.arm import Arm
from conure_core.control import ControlLoop
from conure_core.controller import JointTarget
from conure_core.errors import ConureError, RobotError, StaleInput
from conure_core.robot import load_robot
from conure_core.safety import JointCommand
from conure_msgs.msg import PolicyCommand, RobotState
from conure_msgs.srv import SetMode
from conure_ros.arbiter import Arbiter, Mode, selectable_mode
from conure_ros.homing import ramp
from conure_ros.messages import NANOSECONDS, JointSample, joint_sample, to_ns, to_time, trajectory_message
from conure_ros.parameters import declare, parameter
from conure_ros.qos import LATCHED, NEWEST, overridable
from conure_ros.running import ManagedNode, one_line, run_node

WATCH_PERIOD_S = 0.02


@dataclass(frozen=True)
class ControlParameters:
    """Parameters of control_node."""

    robot: str = parameter("wx250s", "name of a robot, or the path of its YAML file")
    start_mode: str = parameter("hold", "who may move the arm from activation on: hold, policy or teleop")
    stale_periods: float = parameter(2.0, "control periods without a good command until the arm holds", 1.0, 10.0)
    home_speed_rad_s: float = parameter(0.8, "speed of the fastest joint on the way home, rad/s", 0.05, 2.0)
    home_tolerance_rad: float = parameter(0.05, "how near to home every joint must come, rad", 0.001, 0.5)
    home_settle_s: float = parameter(2.0, "how long the arm may take to settle at home, s", 0.1, 30.0)


@dataclass
class Homing:
    """One way home, from the request to its answer."""

    requested_ns: int
    done: Future
    targets: Iterator[JointTarget] | None = None
    arrive_by_s: float = math.inf


class ControlNode(ManagedNode):
    """Commands in, `joint_trajectory` out; `robot_state` says at any time what is done and why."""

    def __init__(self) -> None:
        super().__init__("control")
        self.parameters = declare(self, ControlParameters)

    def configure(self) -> None:
        self.robot = load_robot(self.parameters.robot)
        self.loop = ControlLoop(Arm(self.robot))
        # Builds the collision geometry now, not in the loop.
        self.loop.arm.first_collision(np.array(self.robot.home_rad))
        self.arbiter = Arbiter(self.parameters.stale_periods * self.robot.control_period_s)
        self.start_mode = selectable_mode(self.parameters.start_mode)
        self.measured: JointSample | None = None
        self.measured_s, self.measured_fault = -math.inf, "waiting for joint_states"
        self.anchor_ns, self.anchored = 0, False
        self.homing: Homing | None = None
        self.reported: tuple[Mode, str] | None = None
        self._connect()

    def _connect(self) -> None:
        def publisher(kind: Any, topic: str, quality: Any) -> Any:
            created = self.create_publisher(kind, topic, quality, qos_overriding_options=overridable())
            return self.kept(self.destroy_publisher, created)

        def subscribe(kind: Any, topic: str, callback: Any, quality: Any = NEWEST) -> None:
            created = self.create_subscription(kind, topic, callback, quality, qos_overriding_options=overridable())
            self.kept(self.destroy_subscription, created)

        self.trajectories = publisher(JointTrajectory, "joint_trajectory", NEWEST)
        self.states = publisher(RobotState, "robot_state", LATCHED)
        subscribe(Empty, "stop", lambda _: self._stop("the stop topic"))
        subscribe(JointState, "joint_states", self._on_joint_states)
        subscribe(PolicyCommand, "command/teleop", partial(self._on_command, Mode.TELEOP))
        subscribe(PolicyCommand, "command/policy", partial(self._on_command, Mode.POLICY))
        for name, answer in {"stop": self._on_stop, "reset_stop": self._on_reset_stop}.items():
            self.kept(self.destroy_service, self.create_service(Trigger, name, answer))
        # It answers late; in the node's own group it would keep everything else from running meanwhile.
        home = self.create_service(Trigger, "home", self._on_home, callback_group=ReentrantCallbackGroup())
        self.kept(self.destroy_service, home)
        self.kept(self.destroy_service, self.create_service(SetMode, "set_mode", self._on_set_mode))
        self.steady_timer(WATCH_PERIOD_S, self._watch)
        self.steady_timer(self.robot.control_period_s, self._go_home)
        self._report(RobotState())

    def activate(self) -> None:
        self.anchored = False
        if not self.arbiter.stop_reason:
            self.arbiter.select(self.start_mode, time.monotonic(), "activated")
        self._report(RobotState())

    def deactivate(self) -> None:
        self._hold("deactivated")
        self._cancel_homing("deactivated")
        self.active = False
        self._report(RobotState())

    # What is measured.

    def _on_joint_states(self, message: JointState) -> None:
        try:
            self.measured = joint_sample(message, self.robot)
        except RobotError as error:
            self.measured_fault = str(error)
            self._hold(str(error))
            return
        recovered = self.measured_fault != ""
        self.measured_s, self.measured_fault = time.monotonic(), ""
        if self.active and not self.anchored:
            self._anchor(self.measured)
        if recovered:
            self._rest(moving=False)

    def _anchor(self, measured: JointSample) -> None:
        """Start from where the arm is: nothing captured before may move it."""
        self.loop.reset(measured.joint_rad, measured.gripper_m)
        self.last_rad, self.anchored = measured.joint_rad, True
        self.anchor_ns = max(self.anchor_ns, measured.stamp_ns)

    def _present(self) -> JointSample:
        """The measured pose. Raises: RobotError, StaleInput if there is none to rely on."""
        if self.measured_fault or self.measured is None or not self.anchored:
            raise RobotError(self.measured_fault or "waiting for joint_states")
        age_s = time.monotonic() - self.measured_s
        if age_s > self.arbiter.stale_s:
            raise StaleInput(f"joint_states are {age_s:.2f} s old (limit {self.arbiter.stale_s:.2f} s)")
        return self.measured

    # What moves the arm.

    def _on_command(self, source: Mode, message: PolicyCommand) -> None:
        if not self.active or not self.arbiter.admits(source):
            return
        if source is Mode.TELEOP and self.arbiter.selected is not Mode.TELEOP:
            self._cancel_homing("a person took over")
            self.arbiter.select(Mode.TELEOP, time.monotonic())
        captured_ns = to_ns(message.header.stamp)
        if captured_ns < self.anchor_ns:
            return
        try:
            measured = self._present()
            self._expect_no_jump(measured)
            age_s = (self.now_ns() - captured_ns) / NANOSECONDS
            command = self.loop.step(np.array(message.action), measured.joint_rad, age_s)
        except RobotError as error:
            self._hold(str(error))
            return
        self.arbiter.accept(time.monotonic())
        self._command(command, captured_ns)

    def _expect_no_jump(self, measured: JointSample) -> None:
        """An arm that was moved while it held goes on from where it is now."""
        away_rad = float(np.abs(measured.joint_rad - self.last_rad).max())
        if not self.arbiter.moving and away_rad > self.robot.max_start_error_rad:
            self._anchor(measured)

    def _command(self, command: JointCommand, captured_ns: int | None = None) -> None:
        self.last_rad = command.joint_rad
        now_ns = self.now_ns()
        self.trajectories.publish(trajectory_message(self.robot, command, now_ns))
        latency_s = math.nan if captured_ns is None else (now_ns - captured_ns) / NANOSECONDS
        state = RobotState(commanded_rad=command.joint_rad.tolist(), capture_to_command_s=latency_s)
        state.header.stamp = to_time(now_ns)
        state.safety_changes = list(command.changes)
        if not command.changes:
            state.requested_rad = command.joint_rad.tolist()
        self._report(state)

    def _hold(self, why: str) -> None:
        """Nothing moves until the next good command. An arm at rest is told nothing: it may have been put elsewhere."""
        moving = self.arbiter.moving
        if self.arbiter.selected is not Mode.HOLD:
            self.arbiter.hold(why)
        self._rest(moving)

    def _rest(self, moving: bool) -> None:
        if moving and self.active:
            self._command(self.loop.hold())
        elif (self._mode(), self._reason()) != self.reported:
            self._report(RobotState())

    def _stop(self, why: str) -> None:
        moving = self.arbiter.moving or (self.homing is not None and self.homing.targets is not None)
        self.arbiter.stop(why)
        self._cancel_homing(f"stopped by {why}")
        self._rest(moving)

    def _watch(self) -> None:
        if not self.active:
            return
        moving = self.arbiter.moving
        if self.arbiter.silent(time.monotonic()):
            self._rest(moving)
        elif moving:
            try:
                self._present()
            except RobotError as error:
                self._hold(str(error))

    # The way home.

    async def _on_home(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Answers when the arm is at home, anchored there, or when it is sure not to get there."""
        if not self.active:
            response.message = "control is not active"
            return response
        self._cancel_homing("another way home was asked for")
        moving = self.arbiter.moving
        try:
            self.arbiter.select(Mode.HOLD, time.monotonic(), "on the way home")
        except RobotError as error:
            response.message = str(error)
            return response
        self._rest(moving)
        arrive_by_s = time.monotonic() + self.parameters.home_settle_s
        homing = self.homing = Homing(self.now_ns(), Future(), arrive_by_s=arrive_by_s)
        response.message = await homing.done
        response.success = response.message == ""
        return response

    def _cancel_homing(self, why: str) -> None:
        if self.homing is not None:
            self.homing.done.set_result(why)
            self.homing = None

    def _go_home(self) -> None:
        """One control period of it. The first one anchors at a pose measured after the request."""
        homing = self.homing
        if homing is None:
            return
        try:
            if homing.targets is None:
                self._start_homing(homing)
                return
            measured = self._present()
            target = next(homing.targets, None)
            if target is not None:
                command = self._unchanged(self.loop.gate.check(target, age_s=time.monotonic() - self.measured_s))
                self.loop.controller.reset(command.joint_rad)
                self._command(command)
                homing.arrive_by_s = time.monotonic() + self.parameters.home_settle_s
            elif self._at_home(measured):
                self._arrived()
            elif time.monotonic() > homing.arrive_by_s:
                raise RobotError(f"the arm did not settle at home within {self.parameters.home_settle_s} s")
        except RobotError as error:
            self._give_up_homing(homing, str(error))

    def _start_homing(self, homing: Homing) -> None:
        """Waits for the arm's driver, which may be putting up a new scene, and anchors at what it measures then."""
        measured = self.measured
        if measured is not None and not self.measured_fault and measured.stamp_ns >= homing.requested_ns:
            self._anchor(measured)
            home_rad, opening_m = np.array(self.robot.home_rad), self.robot.gripper_open_m
            speed_rad_s, period_s = self.parameters.home_speed_rad_s, self.robot.control_period_s
            homing.targets = ramp(measured.joint_rad, home_rad, opening_m, speed_rad_s, period_s)
        elif time.monotonic() > homing.arrive_by_s:
            raise StaleInput(self.measured_fault or "no joint_states since the way home was asked for")

    @staticmethod
    def _unchanged(command: JointCommand) -> JointCommand:
        """The way home must be free: what the gate cut short would end elsewhere."""
        blocked = [change for change in command.changes if not change.startswith(("speed", "acceleration"))]
        if blocked:
            raise RobotError(f"the way home is blocked: {'; '.join(blocked)}")
        return command

    def _at_home(self, measured: JointSample) -> bool:
        away_rad = float(np.abs(measured.joint_rad - np.array(self.robot.home_rad)).max())
        return away_rad <= self.parameters.home_tolerance_rad

    def _arrived(self) -> None:
        self.loop.hold()
        self.anchor_ns = self.now_ns()
        self.arbiter.select(Mode.HOLD, time.monotonic(), "at home")
        self._cancel_homing("")
        self._report(RobotState())

    def _give_up_homing(self, homing: Homing, why: str) -> None:
        self.arbiter.select(Mode.HOLD, time.monotonic(), f"not at home: {why}")
        self._cancel_homing(one_line(why))
        self._rest(moving=homing.targets is not None)

    # What people ask for.

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._stop("the stop service")
        response.success, response.message = True, "stopped until reset_stop"
        return response

    def _on_reset_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.arbiter.reset()
        self.anchored = False
        self._report(RobotState())
        response.success, response.message = True, "holding; select a mode to go on"
        return response

    def _on_set_mode(self, request: SetMode.Request, response: SetMode.Response) -> SetMode.Response:
        try:
            mode, moving = selectable_mode(request.mode), self.arbiter.moving
            self._cancel_homing(f"mode {request.mode} was asked for")
            self.arbiter.select(mode, time.monotonic(), "hold was asked for")
            self.anchor_ns = max(self.anchor_ns, self.now_ns()) if mode is not Mode.HOLD else self.anchor_ns
            self._rest(moving)
            response.success = True
        except ConureError as error:
            response.message = str(error)
        return response

    # What is told.

    def _mode(self) -> Mode:
        return self.arbiter.mode if self.active else Mode.INACTIVE

    def _reason(self) -> str:
        blind = self.measured_fault if self.active else ""
        return one_line(self.arbiter.stop_reason or blind or self.arbiter.reason)

    def _report(self, state: RobotState) -> None:
        mode, reason = self._mode(), self._reason()
        if not to_ns(state.header.stamp):
            state.header.stamp = self.get_clock().now().to_msg()
        if not state.commanded_rad:
            state.capture_to_command_s = math.nan
        state.header.frame_id = self.robot.base_frame
        state.mode, state.reason, state.stopped = int(mode), reason, mode is Mode.STOPPED
        self.states.publish(state)
        if self.reported is None or self.reported[0] is not mode:
            self.get_logger().info(f"{mode.name.lower()}{': ' + reason if reason else ''}")
        self.reported = (mode, reason)


def main() -> None:
    run_node(ControlNode)
