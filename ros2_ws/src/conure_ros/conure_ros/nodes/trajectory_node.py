"""trajectory_node: joint trajectories of MoveIt and others, as commands for control_node."""

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from control_msgs.action import FollowJointTrajectory, GripperCommand, ParallelGripperCommand
from control_msgs.msg import JointTrajectoryControllerState
from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.exceptions import InvalidHandle
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from conure_core.errors import RobotError
from conure_core.robot.arm import Arm
from conure_core.robot.description import load_robot
from conure_core.types import Array
from conure_ros.comms.diagnostics import Reporter
from conure_ros.comms.lifecycle import ManagedNode, one_line, run_node
from conure_ros.comms.messages import (
    JointGoal,
    JointSample,
    goal_message,
    joint_part,
    joints_in,
    to_time,
)
from conure_ros.comms.parameters import declare, parameter
from conure_ros.comms.qos import NEWEST, PARTS, newest_parts, overridable, take_waiting
from conure_ros.comms.sole_publisher import ClientWatch, SolePublisher
from conure_ros.control.control_state import ControlState
from conure_ros.control.joint_watch import JointWatch
from conure_ros.trajectory.admission import Admission, refusal
from conure_ros.trajectory.following import (
    LATE_PERIODS,
    ArmFollowing,
    Outcome,
    default_tolerances,
)
from conure_ros.trajectory.goals import (
    GoalRefused,
    Result,
    read_arm_goal,
    require_start,
)
from conure_ros.trajectory.gripping import Gripping, read_position
from conure_ros.trajectory.preview import Preview
from conure_ros.trajectory.reports import feedback_message, state_message
from conure_ros.trajectory.running import AHEAD_STEPS, ArmRun, GripRun, Moment, Run

ARM, GRIPPER = "arm", "gripper"
"""What a goal moves; one of each can run."""
ARM_ACTION = "~/follow_joint_trajectory"
GRIPPER_ACTIONS = {
    "trajectory_gripper/gripper_cmd": GripperCommand,
    "trajectory_gripper/parallel_gripper_cmd": ParallelGripperCommand,
}
"""Names of the actions: MoveIt asks for CONTROLLER/ACTION, and both are controllers to it."""
AT_ONCE_STEPS = 150
"""Set points judged before the arm moves: a fraction of a second. Those of a longer trajectory are
judged on the way.
"""
CANCELLED = Outcome(Result.SUCCESSFUL, "cancelled by its client", cancelled=True)


@dataclass(frozen=True)
class TrajectoryParameters:
    """Parameters of trajectory_node."""

    robot: str = parameter("wx250s", "name of a robot, or the path of its YAML file")
    path_tolerance_rad: float = parameter(
        0.0,
        "distance of a joint from the trajectory at which a goal is aborted, rad, where the goal"
        " gives none; 0: the robot's max_following_error_rad",
        0.0,
        3.0,
    )
    goal_tolerance_rad: float = parameter(
        0.05, "how near to its end every joint must come, rad, where the goal gives none", 1e-3, 1.0
    )
    goal_time_s: float = parameter(
        2.0, "how long after its end the arm may arrive, s, where the goal gives none", 0.1, 60.0
    )
    gate_tolerance_rad: float = parameter(
        0.02, "how far the safety gate may lead the arm from a trajectory that it accepts, rad",
        1e-3, 0.5,
    )  # fmt: skip
    gripper_tolerance_m: float = parameter(
        0.002, "how near to its goal the gripper must come, m", 1e-4, 0.05
    )
    gripper_allow_stalling: bool = parameter(
        True, "whether a gripper that stands on an object has succeeded"
    )


class TrajectoryNode(ManagedNode):
    """Follows one goal of the arm and one of the gripper while control's mode is trajectory.

    It sends the next set point once a control period. control_node judges each of them, as it does
    those of a policy or a person.
    """

    def __init__(self) -> None:
        super().__init__("trajectory")
        self.parameters = declare(self, TrajectoryParameters)

    def configure(self) -> None:
        """Raises: ConfigError."""
        given = self.parameters
        self.robot = load_robot(given.robot)
        self.arm = Arm(self.robot)
        self.tolerances = default_tolerances(
            self.robot, given.path_tolerance_rad, given.goal_tolerance_rad, given.goal_time_s
        )
        self.watch = JointWatch(self.arm, self.robot.max_input_age_s)
        self.runs: dict[str, Run] = {}
        self.admission, self.refused = Admission(), ""
        self.ticked_s, self.skipped = time.monotonic(), False
        self.control = ControlState(self)
        self.destroy_at_cleanup(lambda control: control.close(), self.control)
        self.commands = SolePublisher(self, JointTrajectory, "command/trajectory", NEWEST)
        state = self.create_publisher(JointTrajectoryControllerState, "~/controller_state", 1)
        self.controller_state = self.destroy_at_cleanup(self.destroy_publisher, state)
        self.joints = self._subscribe(JointState, "joint_states", self._on_joint_states, PARTS)
        self._subscribe(JointTrajectory, "~/joint_trajectory", self._on_trajectory, NEWEST)
        self._serve(ARM_ACTION, FollowJointTrajectory, self._on_arm_goal)
        for name, action in GRIPPER_ACTIONS.items():
            self._serve(name, action, partial(self._on_grip_goal, name))
        self.steady_timer(self.robot.control_period_s, self._tick)
        Reporter(self, "goals", self.robot.name, self._diagnose)

    def _subscribe(self, kind: Any, topic: str, callback: Any, quality: Any) -> Any:
        created = self.create_subscription(kind, topic, callback, **overridable(quality))
        return self.destroy_at_cleanup(self.destroy_subscription, created)

    def _serve(self, name: str, action: Any, execute: Any) -> None:
        """Offer an action. Every goal is accepted, and one that is refused ends with the reason."""
        server = ActionServer(
            self,
            action,
            name,
            execute,
            callback_group=ReentrantCallbackGroup(),
            cancel_callback=self._on_cancel,
        )
        self.destroy_at_cleanup(lambda server: server.destroy(), server)

    def activate(self) -> None:
        """Raises: RobotError if another node sends trajectories to this arm."""
        self.commands.claim()

    def deactivate(self) -> None:
        self._end_all(Outcome(why="the trajectory node was deactivated"))
        self.commands.release()

    def release(self) -> None:
        if hasattr(self, "commands"):
            self.commands.release()

    # Goals.

    async def _on_arm_goal(self, handle: Any) -> FollowJointTrajectory.Result:
        start = partial(self._arm_run, handle.request)
        outcome = await self._serve_goal(ARM, ARM_ACTION, handle, start)
        return FollowJointTrajectory.Result(error_code=outcome.code, error_string=outcome.why)

    async def _on_grip_goal(self, name: str, handle: Any) -> Any:
        start = partial(self._gripper_run, handle.request)
        outcome = await self._serve_goal(GRIPPER, name, handle, start)
        result = GRIPPER_ACTIONS[name].Result(stalled=outcome.stalled)
        result.reached_goal = outcome.success and not outcome.stalled
        with contextlib.suppress(RobotError):
            self._fill_position(result, self._measured().gripper_m)
        return result

    def _fill_position(self, result: Any, position_m: float) -> None:
        """Where the gripper is; its effort is not measured."""
        if isinstance(result, ParallelGripperCommand.Result):
            result.state.name, result.state.position = [self.robot.gripper_joint], [position_m]
        else:
            result.position, result.effort = position_m, math.nan

    async def _serve_goal(
        self, part: str, action: str, handle: Any, start: Callable[[], Run]
    ) -> Outcome:
        """Run a goal to its end, and tell its client how it ended."""
        try:
            outcome = CANCELLED
            if not handle.is_cancel_requested:
                run = start()
                run.handle, run.client = handle, ClientWatch(self, action)
                outcome = await self._begin(part, run).answer
        except RobotError as error:
            outcome = Outcome(getattr(error, "code", Result.INVALID_GOAL), one_line(error))
        if outcome.why:
            log = self.get_logger().info if outcome.success else self.get_logger().warning
            log(one_line(f"{action.lstrip('~/')}: {outcome.why}"))
        with contextlib.suppress(InvalidHandle):  # the node was cleaned up
            if outcome.cancelled:
                handle.canceled()
            elif outcome.success:
                handle.succeed()
            else:
                handle.abort()
        return outcome

    def _begin(self, name: str, run: Run) -> Run:
        """Let a goal take the place of the one before."""
        if not self.runs:
            self.admission.begin(time.monotonic(), self.now_ns())
        self._end(name, Outcome(why="a new goal took its place"))
        self.runs[name] = run
        return run

    def _arm_run(self, request: FollowJointTrajectory.Goal) -> ArmRun:
        """A run of this goal from the present set point. Raises: RobotError."""
        self._require_admission()
        goal = read_arm_goal(request, self.arm, self.tolerances, self.now_ns())
        position_rad, speed_rad_s = self._set_point()
        require_start(goal, position_rad, self.robot)
        following = ArmFollowing(goal, self.robot, position_rad, speed_rad_s)
        preview = Preview(self.arm, following.spline, self.parameters.gate_tolerance_rad)
        # While another goal moves the arm, only the next set points are judged at once.
        if why := preview.judge(AHEAD_STEPS if self.runs else AT_ONCE_STEPS):
            raise GoalRefused(why)
        return ArmRun(time.monotonic(), following=following, preview=preview)

    def _gripper_run(self, request: Any) -> GripRun:
        """A run of this goal. Raises: RobotError."""
        self._require_admission()
        position_m = read_position(request, self.robot)
        way_m = position_m - self._measured().gripper_m
        given, speed_m_s = self.parameters, self.robot.gripper_speed_m_s
        return GripRun(
            time.monotonic(),
            gripping=Gripping(position_m, given.gripper_tolerance_m, way_m, speed_m_s),
            allow_stalling=given.gripper_allow_stalling,
        )

    def _require_admission(self) -> None:
        """Raises: GoalRefused."""
        why = refusal(self.control.state) if self.active else "the trajectory node is not active"
        if why:
            raise GoalRefused(why)

    def _set_point(self) -> tuple[Array, Array]:
        """Where the next trajectory begins: position (n,), rad, and speed, rad/s. Raises:
        RobotError.
        """
        if isinstance(run := self.runs.get(ARM), ArmRun):
            return run.following.present
        measured_rad, commanded_rad = self._measured().joint_rad, self.control.commanded_rad
        at_rest = np.zeros_like(measured_rad)
        if commanded_rad is None:
            return measured_rad, at_rest
        moved_rad = np.abs(commanded_rad - measured_rad).max()
        by_hand = moved_rad > self.robot.max_start_error_rad
        return measured_rad if by_hand else commanded_rad, at_rest

    def _measured(self) -> JointSample:
        """Raises: RobotError, StaleInput."""
        return self.watch.present(time.monotonic())

    def _on_cancel(self, handle: Any) -> CancelResponse:
        for name, run in list(self.runs.items()):
            if run.handle is not None and run.handle.goal_id == handle.goal_id:
                self._end(name, CANCELLED)
                self._rest()
        return CancelResponse.ACCEPT

    def _end(self, name: str, outcome: Outcome) -> None:
        run = self.runs.pop(name, None)
        if run is not None:
            run.answer.set_result(outcome)

    def _end_all(self, outcome: Outcome) -> None:
        if self.runs:
            for name in list(self.runs):
                self._end(name, outcome)
            self._rest()

    # Inputs.

    def _on_joint_states(self, message: JointState) -> None:
        for newest in newest_parts([message, *(some for some, _ in take_waiting(self.joints))]):
            if not len(index := joints_in(newest, self.robot)):
                continue
            try:
                part = joint_part(newest, self.robot)
            except RobotError as error:
                self.watch.refuse(str(error), index)
                continue
            with contextlib.suppress(RobotError):  # the watch names it where the pose is asked for
                self.watch.take(part, time.monotonic(), self.now_ns())

    def _on_trajectory(self, message: JointTrajectory) -> None:
        """Follow a trajectory without a client, as MoveIt Servo sends it; without points: hold."""
        if not message.points:
            self._end_all(Outcome(why="an empty trajectory asks to hold"))
            return
        try:
            self._begin(ARM, self._arm_run(FollowJointTrajectory.Goal(trajectory=message)))
            self.refused = ""
        except RobotError as error:
            if str(error) != self.refused:
                self.get_logger().warning(one_line(f"joint_trajectory: {error}"))
            self.refused = str(error)

    # Time.

    def _tick(self) -> None:
        """Send the next set points, and end the goals that have reached theirs."""
        now_s = time.monotonic()
        late = now_s - self.ticked_s > LATE_PERIODS * self.robot.control_period_s
        skipped, self.skipped = self.skipped, late and not self.skipped
        self.ticked_s = now_s
        if self.skipped:
            return  # what control and arm said meanwhile waits, and is heard first
        with contextlib.suppress(RobotError):
            self._publish_state()
        if not self.runs:
            return
        try:
            if why := self.admission.judge(self.control.state, now_s, late or skipped):
                raise RobotError(why)
            age_s = self.watch.age_s(now_s)
            moment = Moment(self._measured(), age_s, now_s, self.admission.follows)
        except RobotError as error:
            self._end_all(Outcome(why=str(error)))
            return
        for name, run in list(self.runs.items()):
            gone = run.client is not None and run.client.is_gone()
            outcome = Outcome(why="its client is gone") if gone else run.step(moment)
            self._report(run, moment)
            if outcome is not None:
                self._end(name, outcome)
                self._rest_after(outcome)
        if self.runs:
            self.commands.publish(goal_message(self._goal(), self.robot, moment.measured.stamp_ns))

    def _report(self, run: Run, moment: Moment) -> None:
        """Publish the feedback of a trajectory."""
        if run.handle is None or not isinstance(run, ArmRun) or run.followed is None:
            return
        stamp_ns = moment.measured.stamp_ns
        run.handle.publish_feedback(feedback_message(self.robot, run.followed, stamp_ns))

    def _goal(self) -> JointGoal:
        """The next set point of the goals that run."""
        arm, gripper = self.runs.get(ARM), self.runs.get(GRIPPER)
        return JointGoal(
            arm.following.target_rad if isinstance(arm, ArmRun) else None,
            gripper.gripping.target_m if isinstance(gripper, GripRun) else None,
        )

    def _rest_after(self, outcome: Outcome) -> None:
        """End motion where a goal failed, or was the last one."""
        if not outcome.success or not self.runs:
            self._rest()

    def _rest(self) -> None:
        """Ask control to hold now. A goal of the other part then begins again."""
        message = JointTrajectory()
        message.header.stamp = to_time(self.now_ns())
        self.commands.publish(message)
        if self.runs:
            self.admission.begin(time.monotonic(), self.now_ns())

    def _publish_state(self) -> None:
        """Raises: RobotError without a measured pose."""
        measured, (wanted_rad, _) = self._measured(), self._set_point()
        stamp_ns = measured.stamp_ns
        message = state_message(self.robot, wanted_rad, measured.joint_rad, stamp_ns)
        self.controller_state.publish(message)

    def _diagnose(self) -> tuple[str, dict[str, str]]:
        """What is wrong, and what runs, for /diagnostics."""
        others = self.commands.other_publishers() if self.commands.held else ""
        return others and f"{others} also publishes {self.commands.topic}", {
            "goals": ", ".join(self.runs) or "none",
            "may begin": refusal(self.control.state) or "yes",
        }


def main() -> None:
    run_node(TrajectoryNode)
