"""control_node: the only publisher of joint commands. This module wires; `supervisor` decides."""

import math
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from rclpy.qos import QoSProfile
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import Empty
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from conure_core.control.check_time import require_fast_checks
from conure_core.control.safety import JointCommand
from conure_core.errors import ConureError, RobotError
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_core.types import Array
from conure_msgs.msg import PolicyCommand, RobotState
from conure_msgs.srv import SetMode
from conure_ros.comms.diagnostics import Reporter
from conure_ros.comms.lifecycle import ManagedNode, one_line, run_node
from conure_ros.comms.messages import (
    NANOSECONDS,
    joint_goal,
    joint_part,
    joints_in,
    mode_message,
    to_ns,
    to_time,
)
from conure_ros.comms.parameters import declare, reread
from conure_ros.comms.qos import (
    NEWEST,
    PARTS,
    STATE,
    newest_parts,
    overridable,
    subscribe_stop,
    take_waiting,
)
from conure_ros.comms.service_names import ARM_TORQUE, RenamedClient
from conure_ros.comms.sole_publisher import DISCOVERY_S, PublisherWatch, SplitPublisherWatch
from conure_ros.control.arbiter import Mode, Request, Status, selectable_mode
from conure_ros.control.outputs import open_output
from conure_ros.control.parameters import ControlParameters, choose_controllers
from conure_ros.control.supervisor import Supervisor

WATCH_PERIOD_S = 0.01
TORQUE_S = 2.0
SOURCES = {"command/teleop": Mode.TELEOP, "command/policy": Mode.POLICY}
TRAJECTORY = "command/trajectory"


STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""CLOCK_BOOTTIME, of Linux, counts the time in which the computer sleeps; CLOCK_MONOTONIC does not.
"""


class SystemClock:
    """The steady clock, and the node's clock, which gives the stamps."""

    def __init__(self, node: ManagedNode) -> None:
        self.now_ns = node.now_ns

    def steady_s(self) -> float:
        return time.clock_gettime(STEADY)


class ControlNode(ManagedNode):
    """Takes commands, sends joint commands. `robot_state` always tells what it does and why."""

    def __init__(self) -> None:
        super().__init__("control")
        self.parameters = declare(self, ControlParameters)
        self.stopped_by = ""
        """Why the arm was stopped; kept across cleanup and configure."""

    def configure(self) -> None:
        """Raises: ConfigError, BundleError, SpecMismatch."""
        self.parameters = reread(self, self.parameters)
        self.robot = load_robot(self.parameters.robot)
        arm = Arm(self.robot)
        require_fast_checks(arm)
        self.logged: tuple[Mode, str] | None = None
        self.status: Status | None = None
        self._connect()
        self.supervisor = Supervisor(arm, self.parameters, SystemClock(self), self, self.stopped_by)
        if not self.parameters.bundle_alias:  # the summary tells bundles apart
            self.get_logger().info(self.supervisor.policy.summary)
        self.supervisor.deactivate()
        Reporter(self, "mode", self.robot.name, self._diagnose)

    def _connect(self) -> None:
        def subscribe(kind: Any, topic: str, callback: Any, quality: QoSProfile = NEWEST) -> Any:
            created = self.create_subscription(kind, topic, callback, **overridable(quality))
            return self.destroy_at_cleanup(self.destroy_subscription, created)

        self.output = open_output(self, self.robot, choose_controllers(self.parameters))
        states = self.create_publisher(RobotState, "robot_state", **overridable(STATE))
        self.states = self.destroy_at_cleanup(self.destroy_publisher, states)
        self.others = PublisherWatch(self, "robot_state")
        for created in subscribe_stop(self, lambda: self.supervisor.stop("the stop topic")):
            self.destroy_at_cleanup(self.destroy_subscription, created)
        subscribe(Empty, "operator/heartbeat", lambda _: self.supervisor.heartbeat())
        self.joint_states = subscribe(JointState, "joint_states", self._on_joint_states, PARTS)
        for topic, source in SOURCES.items():
            subscribe(PolicyCommand, topic, partial(self._on_command, source))
        subscribe(JointTrajectory, TRAJECTORY, self._on_trajectory)
        self.offer(Trigger, "~/stop", self._on_stop)
        self.offer(Trigger, "~/reset_stop", self._on_reset_stop)
        self.offer(Trigger, "~/home", self._on_home)
        self.offer(SetMode, "~/set_mode", self._on_set_mode)
        self.torque_client = RenamedClient(self, SetBool, ARM_TORQUE)
        self.destroy_at_cleanup(RenamedClient.destroy, self.torque_client)
        topics = (*self.output.topics, *SOURCES, TRAJECTORY)
        self.parts = SplitPublisherWatch(self, "joint_states", self.robot.command_names)
        self.watches = [self.parts, *(PublisherWatch(self, topic) for topic in topics)]
        self.steady_timer(WATCH_PERIOD_S, self._tick)

    def activate(self) -> None:
        """Raises: RobotError if another node commands this arm, or if on_stop is limp and no torque
        service exists.
        """
        if self.parameters.on_stop == "limp" and not self.torque_client.wait_for_service(TORQUE_S):
            raise RobotError(
                f"on_stop is limp, and no driver offers {self.torque_client.srv_name}; set on_stop"
                " to hold"
            )
        self.output.sole.claim()
        self.supervisor.activate()

    def deactivate(self) -> None:
        self.supervisor.deactivate()
        self.output.sole.release()

    def release(self) -> None:
        if hasattr(self, "supervisor"):
            self.stopped_by = self.supervisor.arbiter.stop_reason
            if self.supervisor.active:  # the process ends: the arm must not keep moving
                self.supervisor.deactivate()
        if hasattr(self, "output"):
            self.output.sole.release()

    # Inputs.

    def _on_joint_states(self, message: JointState, info: Mapping[str, Any]) -> None:
        came = [(message, info), *take_waiting(self.joint_states)]
        for some, about in came:
            self.parts.note(some.name, about)
        for newest in newest_parts(some for some, _ in came):
            self._take_joints(newest)

    def _take_joints(self, message: JointState) -> None:
        index = joints_in(message, self.robot)
        if not len(index):
            self.supervisor.ignore_sample(message.name)
            return
        try:
            part = joint_part(message, self.robot)
        except RobotError as error:
            self.supervisor.reject_sample(str(error), index)
            return
        self.supervisor.take_sample(part)

    def _on_command(self, source: Mode, message: PolicyCommand) -> None:
        captured_ns, action = to_ns(message.header.stamp), np.array(message.action)
        request = Request(captured_ns, action, message.bundle_hash, message.log_likelihood)
        self.supervisor.take_request(source, request)

    def _on_trajectory(self, message: JointTrajectory) -> None:
        """The next point of a trajectory; without a point: the trajectory rests here."""
        if not message.points:
            self.supervisor.pause(Mode.TRAJECTORY, "the trajectory rests")
            return
        try:
            goal = joint_goal(message, self.robot)
        except RobotError as error:
            self.supervisor.pause(Mode.TRAJECTORY, str(error))
            return
        request = Request(to_ns(message.header.stamp), goal)
        self.supervisor.take_request(Mode.TRAJECTORY, request)

    def _tick(self) -> None:
        duplicates = {watch.topic: names for watch in self.watches if (names := watch.duplicates())}
        self.supervisor.tick(duplicates)

    # Requests.

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.supervisor.stop("the stop service")
        response.success, response.message = True, "stopped until reset_stop"
        return response

    def _on_reset_stop(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        self.supervisor.reset_stop()
        response.success, response.message = True, "holding; select a mode to continue"
        return response

    async def _on_home(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """Answers when the arm is at home and anchored there, or when it cannot get there."""
        done = Future()
        self.supervisor.home(done.set_result)
        response.message = await done
        response.success = response.message == ""
        return response

    def _on_set_mode(
        self, request: SetMode.Request, response: SetMode.Response
    ) -> SetMode.Response:
        try:
            self.supervisor.select(selectable_mode(request.mode.value))
            response.success = True
        except ConureError as error:
            response.message = str(error)
        return response

    # Outputs: the supervisor's sink.

    def send(self, command: JointCommand, now_ns: int) -> None:
        self.output.send(command, now_ns)

    def begin(self, joint_rad: Array, gripper_m: float) -> None:
        self.output.begin(joint_rad, gripper_m)

    def torque(self, on: bool, request: int) -> None:
        def answered(future: Any) -> None:
            response = future.result()
            success = response is not None and response.success
            message = one_line(getattr(response, "message", "no answer"))
            if not success:
                self.get_logger().error(f"{self.torque_client.srv_name}: {message}")
            self.supervisor.take_torque_answer(request, success, message)

        self.torque_client.call_async(SetBool.Request(data=on)).add_done_callback(answered)

    def report(self, status: Status) -> None:
        """Publish the state. A control that is neither active nor stopped says nothing beside
        another one, which may be the arm's.
        """
        self.status = status
        idle = status.mode is Mode.INACTIVE and not status.stopped
        if not (idle and self._may_be_second()):
            self.states.publish(self._message(status))
        self._log(status)

    def _may_be_second(self) -> bool:
        """Whether another node publishes robot_state, as far as this one knows already."""
        young = time.monotonic() - self.created_s < DISCOVERY_S
        return young or bool(self.others.duplicates())

    def _message(self, status: Status) -> RobotState:
        state = RobotState(
            mode=mode_message(status.mode), reason=status.reason, stopped=status.stopped
        )
        state.selected = mode_message(status.selected)
        state.header.stamp, state.header.frame_id = to_time(status.now_ns), self.robot.base_frame
        state.alarm, state.refused_commands, state.refusal = (
            status.alarm,
            status.refused,
            status.refusal,
        )
        state.reset_stamp = to_time(status.reset_ns)
        state.safety_changes = list(status.changes)
        if status.command is not None:
            state.commanded_rad = status.command.joint_rad.tolist()
            if not math.isnan(status.latency_s):
                age_ns = round(status.latency_s * NANOSECONDS)
                state.capture_stamp = to_time(status.now_ns - age_ns)
            if status.command.requested_rad is not None:
                state.requested_rad = status.command.requested_rad.tolist()
        return state

    def _diagnose(self) -> tuple[str, dict[str, str]]:
        """What is wrong, and the figures for /diagnostics."""
        status = self.status
        if status is None:
            return "it has not run yet", {}
        values = {
            "mode": status.mode.name.lower(),
            "reason": one_line(status.reason),
            "stopped": str(status.stopped).lower(),
            "refused_commands": str(status.refused),
        }
        stopped = f"stopped: {status.reason}" if status.stopped else ""
        return one_line(status.alarm or stopped), values

    def _log(self, status: Status) -> None:
        """Log every change of mode, and every alarm, once."""
        logged = (status.mode, status.alarm)
        if logged != self.logged:
            text = f"{status.mode.name.lower()}{': ' + status.reason if status.reason else ''}"
            self.get_logger().info(text)
            if status.alarm:
                self.get_logger().error(one_line(status.alarm))
        self.logged = logged


def main() -> None:
    run_node(ControlNode)
