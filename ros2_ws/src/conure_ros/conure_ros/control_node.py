"""control_node: the only publisher of joint commands. Arbitrates, runs controller and safety gate, watches ages."""

import math
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from rclpy.callback_groups import ReentrantCallbackGroup
from sensor_msgs.msg import JointState
from std_msgs.msg import Empty
from std_srvs.srv import SetBool, Trigger

from conure_core.arm import Arm
from conure_core.control import ControlLoop
from conure_core.errors import ConureError, RobotError, StaleInput, UnsafeCommand, unknown_name
from conure_core.robot import load_robot
from conure_core.ros2_control import Ros2ControlConfig, load_ros2_control
from conure_core.safety import JointCommand
from conure_msgs.msg import PolicyCommand, RobotState
from conure_msgs.srv import SetMode
from conure_ros.arbiter import Arbiter, Mode, selectable_mode
from conure_ros.clock_watch import ClockWatch
from conure_ros.messages import NANOSECONDS, JointSample, joint_sample, to_ns, to_time
from conure_ros.outputs import open_output
from conure_ros.parameters import declare, parameter
from conure_ros.policy_watch import PolicyWatch, Verdict
from conure_ros.qos import LATCHED, NEWEST, overridable
from conure_ros.running import one_line, run_node
from conure_ros.way_home import GoesHome, Homing

WATCH_PERIOD_S = 0.01
RIVAL_PERIOD_S = 1.0
TORQUE_S = 2.0
OUTPUTS = ("robot", "trajectory", "positions")
ON_STOP = ("hold", "limp")


@dataclass(frozen=True)
class ControlParameters:
    """Parameters of control_node."""

    robot: str = parameter("wx250s", "name of a robot, or the path of its YAML file")
    start_mode: str = parameter("hold", "who may move the arm from activation on: hold, policy or teleop")
    bundle: str = parameter("", "folder of the policy bundle; its commands are checked for it. Empty: any policy's")
    stale_periods: float = parameter(1.85, "age of the last good command, in periods, at which it holds", 1.0, 10.0)
    home_speed_rad_s: float = parameter(0.8, "speed of the fastest joint on the way home, rad/s", 0.05, 2.0)
    home_tolerance_rad: float = parameter(0.05, "how near to home every joint must come, rad", 0.001, 0.5)
    home_settle_s: float = parameter(2.0, "how long the arm may take to settle at home, s", 0.1, 30.0)
    output: str = parameter("robot", "how commands leave: as the robot's file says, trajectory, or positions (100 Hz)")
    position_joints: tuple[str, ...] = parameter(("",), "with positions: the controller's joints in order; '': all")
    on_stop: str = parameter("hold", "what a stopped arm does: hold, or limp (the driver's service 'torque')")
    heartbeat_s: float = parameter(0.0, "longest silence of operator/heartbeat, s, until a stop; 0: any", 0.0, 10.0)
    monitor: bool = parameter(True, "whether the prior judges the policy's actions, where the bundle has thresholds")
    slow_ticks: int = parameter(5, "unlikely actions in a row until the arm slows; 0: never", 0, 1000)
    slow_margin_nats: float = parameter(10.0, "how far below p05 an action is unlikely, nats", 0.0, 1000.0)
    slow_fraction: float = parameter(0.5, "of every step, while slow", 0.05, 1.0)
    hold_ticks: int = parameter(10, "very unlikely actions in a row until the arm holds; 0: never", 0, 1000)
    hold_margin_nats: float = parameter(30.0, "how far below p01 an action is very unlikely, nats", 0.0, 1000.0)
    hand_over_ticks: int = parameter(0, "very unlikely actions in a row until a person must choose; 0: never", 0, 1000)

    def __post_init__(self) -> None:
        if self.output not in OUTPUTS:
            raise unknown_name("output", self.output, OUTPUTS)
        if self.on_stop not in ON_STOP:
            raise unknown_name("on_stop", self.on_stop, ON_STOP)


def wiring(parameters: ControlParameters) -> Ros2ControlConfig:
    """Which controllers are told what: as the parameters say, or else the robot's file. Raises: ConfigError."""
    if parameters.output == "robot":
        return load_ros2_control(parameters.robot)
    joints = tuple(filter(None, parameters.position_joints)) if parameters.output == "positions" else ()
    return Ros2ControlConfig(parameters.output, joints=joints)


class ControlNode(GoesHome):
    """Commands in, joint commands out; `robot_state` says at any time what is done and why."""

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
        self.policy = PolicyWatch(self.parameters, self.robot)
        self.get_logger().info(self.policy.summary)
        self.clock, self.heartbeat_s, self.rival_s = ClockWatch(), math.inf, 0.0
        self.measured: JointSample | None = None
        self.measured_s, self.measured_fault = -math.inf, "waiting for joint_states"
        self.anchor_ns, self.anchored = 0, False
        self.homing: Homing | None = None
        self.caution, self.reached_s = "", -math.inf
        self.reported: tuple[Mode, str] | None = None
        self._connect()

    def _connect(self) -> None:
        def publisher(kind: Any, topic: str, quality: Any) -> Any:
            created = self.create_publisher(kind, topic, quality, qos_overriding_options=overridable())
            return self.kept(self.destroy_publisher, created)

        def subscribe(kind: Any, topic: str, callback: Any, quality: Any = NEWEST) -> None:
            created = self.create_subscription(kind, topic, callback, quality, qos_overriding_options=overridable())
            self.kept(self.destroy_subscription, created)

        self.output = open_output(self, self.robot, wiring(self.parameters))
        self.states = publisher(RobotState, "robot_state", LATCHED)
        subscribe(Empty, "stop", lambda _: self._stop("the stop topic"))
        subscribe(Empty, "operator/heartbeat", self._on_heartbeat)
        subscribe(JointState, "joint_states", self._on_joint_states)
        subscribe(PolicyCommand, "command/teleop", partial(self._on_command, Mode.TELEOP))
        subscribe(PolicyCommand, "command/policy", partial(self._on_command, Mode.POLICY))
        for name, answer in {"stop": self._on_stop, "reset_stop": self._on_reset_stop}.items():
            self.kept(self.destroy_service, self.create_service(Trigger, name, answer))
        # It answers late; in the node's own group it would keep everything else from running meanwhile.
        home = self.create_service(Trigger, "home", self._on_home, callback_group=ReentrantCallbackGroup())
        self.kept(self.destroy_service, home)
        self.kept(self.destroy_service, self.create_service(SetMode, "set_mode", self._on_set_mode))
        self.torque = self.create_client(SetBool, "torque")
        self.kept(self.destroy_client, self.torque)
        self.steady_timer(WATCH_PERIOD_S, self._watch)
        self.steady_timer(self.robot.control_period_s, self._go_home)
        self._report(RobotState())

    def activate(self) -> None:
        """Raises: RobotError if another node commands this arm, or if it is to go limp and nobody offers that."""
        if self.parameters.on_stop == "limp" and not self.torque.wait_for_service(TORQUE_S):
            raise RobotError(f"on_stop is limp, and no driver offers {self.torque.srv_name}; set on_stop to hold")
        self.output.sole.claim()
        self.anchored, self.heartbeat_s = False, time.monotonic()
        if not self.arbiter.stop_reason:
            self.arbiter.select(self.start_mode, time.monotonic(), "activated")
        self._report(RobotState())

    def deactivate(self) -> None:
        self._hold("deactivated")
        self._cancel_homing("deactivated")
        self.active = False
        self.output.sole.release()
        self._report(RobotState())

    def release(self) -> None:
        if hasattr(self, "output"):
            self.output.sole.release()

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
        self.output.begin(measured.joint_rad, measured.gripper_m)
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
        captured_ns = to_ns(message.header.stamp)
        # What was captured before the last choice of a mode neither moves the arm nor takes it over.
        if not self.active or not self.arbiter.admits(source) or captured_ns < self.anchor_ns:
            return
        if source is Mode.TELEOP and self.arbiter.selected is not Mode.TELEOP:
            self._cancel_homing("a person took over")
            self.arbiter.select(Mode.TELEOP, time.monotonic())
        try:
            measured = self._present()
            self._expect_no_jump(measured)
            age_s = (self.now_ns() - captured_ns) / NANOSECONDS
            action = self._judged(message) if source is Mode.POLICY else np.array(message.action)
            command = self.loop.step(action, measured.joint_rad, age_s, measured.gripper_m)
        except RobotError as error:
            self._hold(str(error))
            return
        # Ages decide, not arrival: what this answers was seen so long ago.
        self.arbiter.accept(time.monotonic() - max(0.0, age_s))
        self._command(command, captured_ns)

    def _judged(self, message: PolicyCommand) -> np.ndarray:
        """The policy's action as far as the prior trusts it. Raises: UnsafeCommand if not at all."""
        action = np.array(message.action)
        verdict, self.caution = self.policy.judge(message.bundle_hash, message.log_likelihood)
        if verdict is Verdict.HAND_OVER:
            why = f"handed over to a person: {self.caution}; choose a mode to go on"
            self._hold(why)
            self.arbiter.select(Mode.HOLD, time.monotonic(), why)
            raise UnsafeCommand(why)
        if verdict is Verdict.HOLD:
            raise UnsafeCommand(self.caution)
        if verdict is Verdict.SLOW:
            action[:6] *= self.parameters.slow_fraction
        return action

    def _expect_no_jump(self, measured: JointSample) -> None:
        """An arm that was moved while it held goes on from where it is now."""
        away_rad = float(np.abs(measured.joint_rad - self.last_rad).max())
        if not self.arbiter.moving and away_rad > self.robot.max_start_error_rad:
            self._anchor(measured)

    def _command(self, command: JointCommand, captured_ns: int | None = None) -> None:
        self.last_rad = command.joint_rad
        now_ns = self.now_ns()
        self.output.send(self._after_the_last(command), now_ns)
        latency_s = math.nan if captured_ns is None else (now_ns - captured_ns) / NANOSECONDS
        state = RobotState(commanded_rad=command.joint_rad.tolist(), capture_to_command_s=latency_s)
        state.header.stamp = to_time(now_ns)
        state.safety_changes = [*command.changes, *filter(None, [self.caution])]
        if command.requested_rad is not None:
            state.requested_rad = command.requested_rad.tolist()
        self._report(state)
        self.caution = ""

    def _after_the_last(self, command: JointCommand) -> JointCommand:
        """With the time that the last command still needs: one that comes early must not make the arm faster."""
        now_s = time.monotonic()
        duration_s = command.duration_s + max(0.0, self.reached_s - now_s)
        self.reached_s = now_s + duration_s
        return replace(command, duration_s=duration_s)

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
        self._set_torque(False)

    def _set_torque(self, on: bool) -> None:
        """Of an arm that goes limp when stopped."""
        if self.parameters.on_stop == "limp" and self.active:
            self.torque.call_async(SetBool.Request(data=on)).add_done_callback(partial(self._on_torque, on))

    def _on_torque(self, on: bool, answer: Any) -> None:
        """The arm holds where it fell to: control begins there. One that did not get its torque stays stopped."""
        response = answer.result()
        if response is not None and response.success:
            self.anchored = self.anchored and not on
            return
        why = one_line(f"{self.torque.srv_name}: {getattr(response, 'message', 'no answer')}")
        self.get_logger().error(why)
        if on:
            self._stop(why)

    def _on_heartbeat(self, message: Empty) -> None:
        self.heartbeat_s = time.monotonic()

    def _look_around(self) -> None:
        """Operator, rivals and clock."""
        now_s, limit_s = time.monotonic(), self.parameters.heartbeat_s
        if limit_s and now_s - self.heartbeat_s > limit_s and not self.arbiter.stop_reason:
            self._stop(f"the operator's heartbeat, silent for {now_s - self.heartbeat_s:.2f} s (limit {limit_s} s)")
        if now_s - self.rival_s > RIVAL_PERIOD_S:
            self.rival_s, rival = now_s, self.output.sole.rival()
            if rival:
                self._stop(f"node {rival}, which also publishes {self.output.sole.topic}")
        back_s = self.clock.stepped_back_s(self.now_ns())
        if back_s:
            self.anchor_ns = min(self.anchor_ns, self.now_ns())
            self._hold(f"the clock stepped back by {back_s:.2f} s")

    def _watch(self) -> None:
        if not self.active:
            return
        self._look_around()
        moving = self.arbiter.moving
        if self.arbiter.silent(time.monotonic()):
            self._rest(moving)
        elif moving:
            try:
                self._present()
            except RobotError as error:
                self._hold(str(error))

    # What people ask for.

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._stop("the stop service")
        response.success, response.message = True, "stopped until reset_stop"
        return response

    def _on_reset_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.arbiter.reset()
        self._set_torque(True)
        self.anchored, self.heartbeat_s = False, time.monotonic()
        self._report(RobotState())
        response.success, response.message = True, "holding; select a mode to go on"
        return response

    def _on_set_mode(self, request: SetMode.Request, response: SetMode.Response) -> SetMode.Response:
        try:
            mode, moving = selectable_mode(request.mode), self.arbiter.moving
            self.policy.reset()
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

    def _report_now(self) -> None:
        self._report(RobotState())

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
