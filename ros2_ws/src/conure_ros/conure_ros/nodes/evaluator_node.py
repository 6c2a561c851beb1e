"""evaluator_node: runs trials on the graph, labels them, and keeps a file from which a rerun
resumes.
"""

import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import rclpy
from rcl_interfaces.srv import GetParameters
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from std_srvs.srv import Trigger

from conure_core.errors import ConureError, RobotError
from conure_core.runtime.claim import claimed
from conure_msgs.action import RunTrial
from conure_msgs.msg import Mode, PolicyCommand
from conure_msgs.srv import ResetScene, SetMode, StartEpisode, StopEpisode, TaskStatus
from conure_ros.comms.diagnostics import NO_HARDWARE, Reporter
from conure_ros.comms.ending import end_requests
from conure_ros.comms.graph_identity import GRAPH_PARAMETER, own_graph_id
from conure_ros.comms.lifecycle import (
    create_or_exit,
    one_line,
    ros_context,
    shut_down,
    spin_until_shutdown,
)
from conure_ros.comms.messages import key_values, mode_message, to_duration, to_seconds
from conure_ros.comms.parameters import declare, parameter
from conure_ros.comms.qos import NEWEST
from conure_ros.comms.service_names import (
    HOME,
    SCENE_RESET,
    SCENE_STATUS,
    SET_MODE,
    START_EPISODE,
    STOP_EPISODE,
    name_hint,
)
from conure_ros.comms.sole_publisher import ClientWatch
from conure_ros.recording.episodes import free_name
from conure_ros.recording.trial_goals import (
    LONGEST_S,
    SEEDS,
    Goal,
    Outcome,
    refusal,
    time_limit_s,
)
from conure_ros.recording.trials import (
    FILE_NAME,
    InvalidTrial,
    Settings,
    Trial,
    TrialsFile,
    measure,
)
from conure_ros.recording.writer import encode_metadata

HOLD = mode_message(Mode.HOLD)
POLL_S = 0.05
READY_S = 60.0
CALL_S = 30.0
HOME_S = 120.0  # a slow arm needs long
SCENE_S = 10.0  # for the node that offers the scene's services to appear
INVALID_IN_A_ROW = 3
GRACE_S = 0.1  # for the first image, and to judge the last command
LAST_CALL_S = 0.3  # for an answer while the evaluator ends: the other node may be ending too
WHOSE = "control/get_parameters"
SCENE = (SCENE_RESET, SCENE_STATUS)
BY_HAND = (
    "on a real arm a person lays the scene and labels the trial, in graph=robot with `conure keys`"
    " (docs/evaluate.md); a simulator of your own offers both (docs/your_simulator.md)"
)
ACTION = "~/run_trial"


@dataclass(frozen=True)
class EvaluatorParameters:
    """Parameters of evaluator_node."""

    trials: int = parameter(
        10,
        "how many trials to run, then end; 0: serve the action evaluator/run_trial only",
        0,
        100000,
    )
    first_seed: int = parameter(
        0, "seed of the first trial's scene; each further trial takes the next", 0, SEEDS - 1
    )
    task: str = parameter("Lift", "name of the task")
    target: str = parameter("", "name of the object meant; empty: drawn from each trial's seed")
    timeout_s: float = parameter(
        0.0, "longest time under policy control, s; 0: the task's own limit", 0.0, LONGEST_S
    )
    folder: str = parameter(
        "out/recordings", "where trials.json is kept, and where the recorder writes"
    )


@dataclass(frozen=True)
class Request:
    """One trial to run. `progress` receives the seconds under policy control."""

    seed: int
    task: str
    target: str
    timeout_s: float
    name: str
    progress: Callable[[float], None] = lambda elapsed_s: None


class Interrupted(RobotError):
    """The trial was ended by its client."""


class CannotBegin(RobotError):
    """This trial cannot begin; the next one may."""


class EvaluatorNode(Node):
    """Trials run on the main thread. The executor spins on another one, so that services can be
    called and awaited.

    `ending` is set when the process is to end. A trial that runs then is aborted, with the arm in
    hold.
    """

    def __init__(self, ending: threading.Event) -> None:
        super().__init__("evaluator")
        self.parameters, self.ending = declare(self, EvaluatorParameters), ending
        self.bundle_hash: str | None = None
        self.goals: queue.Queue[Goal] = queue.Queue()
        self.goal: Goal | None = None
        # Nothing may interrupt between the check for an interruption and the request to move.
        self.lock = threading.Lock()
        self.acted_s, self.recorded = 0.0, ""
        kinds = {
            SCENE_RESET: ResetScene,
            SCENE_STATUS: TaskStatus,
            START_EPISODE: StartEpisode,
            STOP_EPISODE: StopEpisode,
            SET_MODE: SetMode,
            HOME: Trigger,
            WHOSE: GetParameters,
        }
        self.clients_by_name = {
            name: self.create_client(kind, name) for name, kind in kinds.items()
        }
        self.create_subscription(PolicyCommand, "command/policy", self._on_policy_command, NEWEST)
        # Goals take long; in the node's own group they would block all other callbacks.
        self.action_server = ActionServer(
            self,
            RunTrial,
            ACTION,
            self._on_goal,
            callback_group=ReentrantCallbackGroup(),
            goal_callback=self._on_request,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=self._on_cancel,
        )
        self.progress = "waiting for the policy"
        Reporter(self, "trials", NO_HARDWARE, lambda: ("", {"progress": self.progress}))
        # This wakes the executor, so that it resumes coroutines that wait for the main thread.
        self.create_timer(POLL_S, lambda: None, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_policy_command(self, message: PolicyCommand) -> None:
        self.bundle_hash = message.bundle_hash

    # The action, on the executor's thread.

    def _on_request(self, request: RunTrial.Goal) -> GoalResponse:
        why = refusal(request)
        if self.parameters.trials:
            why = (
                f"the evaluator runs its own {self.parameters.trials} trials; with trials at 0 it"
                " serves the action"
            )
        elif self.goal is not None:
            why = "another trial runs; wait for its end, or cancel it"
        if not why:
            return GoalResponse.ACCEPT
        self.get_logger().warning(one_line(f"a goal of run_trial is rejected: {why}"))
        return GoalResponse.REJECT

    def _on_accepted(self, handle: Any) -> None:
        self.goal = Goal(handle, ClientWatch(self, ACTION))
        handle.execute()

    def _on_cancel(self, handle: Any) -> CancelResponse:
        self._interrupt("cancelled by its client")
        return CancelResponse.ACCEPT

    async def _on_goal(self, handle: Any) -> RunTrial.Result:
        goal = cast(Goal, self.goal)  # accepted just before, and no other since
        self.goals.put(goal)
        outcome: Outcome = await goal.answer
        result = RunTrial.Result(message=outcome.message, recording=outcome.recording)
        if outcome.trial is not None:
            handle.succeed()
            trial = outcome.trial
            result.success, result.message = trial.success, trial.message
            result.duration = to_duration(trial.duration_s)
            result.recording = str((Path(self.parameters.folder) / trial.recording).resolve())
        elif handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        self.goal = None
        return result

    def _interrupt(self, why: str) -> None:
        """Hold the arm now; the main thread ends the trial afterwards."""
        with self.lock:
            if self.goal is not None and not self.goal.why:
                self.goal.why = why
                self.hold_without_waiting()

    def hold_without_waiting(self) -> Future:
        """Ask control to hold, without waiting for the answer."""
        return self.clients_by_name[SET_MODE].call_async(SetMode.Request(mode=HOLD))

    # Services, on the main thread.

    def call(self, service: str, /, **fields: Any) -> Any:
        """Call a service and wait for its response.

        Raises: RobotError if none comes in time, or it reports a failure; Interrupted if the trial
        was cancelled.
        """
        client = self._offered(service, CALL_S)
        with self.lock:
            self._raise_if_interrupted()
            future = client.call_async(client.srv_type.Request(**fields))
        limit_s = HOME_S if service == HOME else CALL_S
        return self._wait_for_answer(service, future, limit_s, self._raise_if_interrupted)

    def _try(self, service: str, /, **fields: Any) -> Any:
        """Call a service during cleanup; its failure must not hide the first error. Returns None if
        it failed.
        """
        client = self.clients_by_name[service]
        try:
            limit_s = LAST_CALL_S if self.ending.is_set() else CALL_S
            return self._wait_for_answer(
                service, client.call_async(client.srv_type.Request(**fields)), limit_s, lambda: None
            )
        except RobotError as error:
            if not self.ending.is_set():
                self.get_logger().warning(one_line(error))
            return None

    def _offered(self, service: str, limit_s: float) -> Any:
        client, deadline_s = self.clients_by_name[service], time.monotonic() + limit_s
        while not client.service_is_ready():
            self._raise_if_interrupted()
            if time.monotonic() > deadline_s:
                hint = name_hint(self, service)
                raise RobotError(f"no node offers the service '{client.srv_name}'{hint}")
            time.sleep(POLL_S)
        return client

    def _wait_for_answer(
        self, service: str, future: Future, limit_s: float, look: Callable[[], None]
    ) -> Any:
        answered, deadline_s = threading.Event(), time.monotonic() + limit_s
        future.add_done_callback(lambda _: answered.set())
        while not answered.wait(POLL_S):
            self._watch_client()
            look()
            if time.monotonic() > deadline_s:
                raise RobotError(f"the service '{service}' did not answer within {limit_s} s")
        response = future.result()
        if not getattr(response, "success", True):
            raise RobotError(f"{service}: {response.message}")
        return response

    def _raise_if_interrupted(self) -> None:
        """Raises: ExternalShutdownException, Interrupted."""
        self._raise_if_ending()
        if self.goal is not None and self.goal.why:
            raise Interrupted(self.goal.why)

    def _watch_client(self) -> None:
        """End the trial of a client that was killed."""
        if self.goal is not None and self.goal.client.is_gone():
            self._interrupt("its client is gone")

    # Trials, on the main thread.

    def run(self) -> None:
        """Run all trials of the parameters, or those that clients of the action request."""
        self._require_scene()
        self._wait_for_the_policy()
        if self.parameters.trials:
            self._run_all()
        while not self.parameters.trials and rclpy.ok():
            self._serve_one()

    def _require_scene(self) -> None:
        """Raises: RobotError if no node puts the scene back and judges the task."""
        try:
            for service in SCENE:
                self._offered(service, SCENE_S)
        except Interrupted:
            raise
        except RobotError as error:
            raise RobotError(f"{error}: {BY_HAND}") from error

    def _wait_for_the_policy(self) -> None:
        deadline_s = time.monotonic() + READY_S
        while self.bundle_hash is None:
            self._raise_if_ending()
            if time.monotonic() > deadline_s:
                raise RobotError(
                    f"no policy command within {READY_S} s; is the policy active, and does it see"
                    " images?"
                )
            time.sleep(POLL_S)
        self._require_own_control()

    def _raise_if_ending(self) -> None:
        if self.ending.is_set() or not rclpy.ok():
            raise ExternalShutdownException

    def _require_own_control(self) -> None:
        """An evaluator moves the arm of its own graph only. Raises: RobotError."""
        if not own_graph_id():
            return
        values = self.call(WHOSE, names=[GRAPH_PARAMETER]).values
        graph = next((value.string_value for value in values), "")
        if graph != own_graph_id() or self.count_publishers("control/transition_event") > 1:
            raise RobotError(
                f"control belongs to another graph on this ROS domain ({graph or 'no graph'}); end"
                " that one"
            )

    def _run_all(self) -> None:
        wanted = self.parameters
        settings = Settings(
            wanted.task, wanted.target, wanted.first_seed, wanted.timeout_s, self.bundle_hash or ""
        )
        folder = Path(wanted.folder)
        with claimed(folder / FILE_NAME, "evaluate", "file"):
            self._run_unfinished(TrialsFile(folder, settings))

    def _run_unfinished(self, file: TrialsFile) -> None:
        """Raises: RobotError if a node fails, or too many trials in a row cannot begin."""
        wanted, in_a_row = self.parameters, 0
        for seed in file.unfinished(wanted.trials):
            name = free_name(Path(wanted.folder), f"trial_{seed:06d}")
            request = Request(seed, wanted.task, wanted.target, wanted.timeout_s, name)
            try:
                file.add(self.run_trial(request))
            except CannotBegin as error:
                file.add_invalid(InvalidTrial(seed, str(error)))
                in_a_row += 1
                self.get_logger().error(one_line(f"trial of seed {seed} is invalid: {error}"))
                if in_a_row == INVALID_IN_A_ROW:
                    raise RobotError(f"{in_a_row} trials in a row are invalid: {error}") from error
                continue
            in_a_row = 0
            last, wins = file.trials[-1], sum(trial.success for trial in file.trials)
            self.progress = f"{len(file.trials)} of {wanted.trials}, {wins} succeeded"
            self.get_logger().info(
                f"trial {len(file.trials)}/{wanted.trials} seed {seed}: {last.message}, "
                f"{wins} of {len(file.trials)} succeeded"
            )
        if file.invalid:
            self.get_logger().warning(
                f"{len(file.invalid)} of {wanted.trials} trials are invalid and not counted; the"
                " same command runs them again"
            )

    def _serve_one(self) -> None:
        self._raise_if_ending()
        try:
            goal = self.goals.get(timeout=0.2)
        except queue.Empty:
            return
        asked, name = goal.handle.request, f"trial_{time.time_ns()}"
        feedback = RunTrial.Feedback()

        def progress(elapsed_s: float) -> None:
            feedback.elapsed = to_duration(elapsed_s)
            goal.handle.publish_feedback(feedback)

        timeout_s = to_seconds(asked.timeout)
        request = Request(asked.seed, asked.task, asked.target_object, timeout_s, name, progress)
        try:
            goal.answer.set_result(Outcome(self.run_trial(request)))
        except (ConureError, OSError) as error:
            why = one_line(f"aborted after {self.acted_s:.1f} s under policy control: {error}")
            self.get_logger().error(why)
            goal.answer.set_result(Outcome(message=why, recording=self.recorded))

    def run_trial(self, request: Request) -> Trial:
        """Home, reset, record, let the policy act until success or timeout, hold, label.

        Home comes first: whoever lays the scene does so under an arm at rest.

        Raises: RobotError if a node fails, Interrupted; CannotBegin if the arm does not get home.
        The arm holds then, and the recording is labelled 'aborted'.
        """
        self.acted_s, self.recorded = 0.0, ""
        try:
            self.call(SET_MODE, mode=HOLD)
            self._go_home()
            scene = self.call(
                SCENE_RESET, seed=request.seed, task=request.task, target_object=request.target
            )
            limit_s = request.timeout_s or time_limit_s(self.call(SCENE_STATUS).time_limit)
            about = {
                "seed": request.seed,
                "task": request.task,
                "target": scene.target,
                "objects": list(scene.objects),
            }
            return self._recorded(request, about, limit_s)
        except BaseException:
            # Again after an interruption: homing requested just before it may start only now.
            self._try(SET_MODE, mode=HOLD)
            raise

    def _go_home(self) -> None:
        """Raises: CannotBegin saying why the arm is not at home; Interrupted."""
        try:
            self.call(HOME)
        except Interrupted:
            raise
        except RobotError as error:
            raise CannotBegin(str(error)) from error

    def _recorded(self, request: Request, about: dict[str, Any], limit_s: float) -> Trial:
        """The recorded part of a trial. Raises: RobotError."""
        self.call(START_EPISODE, name=request.name, metadata=key_values(encode_metadata(about)))
        try:
            success, duration_s = self._act(limit_s, request.progress)
        except BaseException:
            # In any case: nothing watches the arm while the recording is stored.
            self.hold_without_waiting()
            stopped = self._try(STOP_EPISODE, label=StopEpisode.Request.ABORTED)
            self.recorded = stopped.path if stopped else ""
            raise
        words = StopEpisode.Request
        label = words.SUCCESS if success else words.FAILURE
        outcome = {"duration_s": duration_s, "bundle_hash": self.bundle_hash or ""}
        path = Path(self._keep(label, outcome).path)
        message = f"{label} after {duration_s:.1f} s"
        return Trial(
            request.seed, about["target"], success, duration_s, path.name, message, measure(path)
        )

    def _keep(self, label: str, outcome: dict[str, Any]) -> Any:
        """Store the recording. The trial is over: an interruption no longer changes its result.
        Raises: RobotError.
        """
        metadata = key_values(encode_metadata(outcome))
        request = StopEpisode.Request(label=label, metadata=metadata)
        future = self.clients_by_name[STOP_EPISODE].call_async(request)
        return self._wait_for_answer(STOP_EPISODE, future, CALL_S, self._raise_if_ending)

    def _act(self, limit_s: float, progress: Callable[[float], None]) -> tuple[bool, float]:
        """Success, and the seconds under policy control. Raises: RobotError if the arm was stopped
        meanwhile.
        """
        began_s = time.monotonic()
        self.call(SET_MODE, mode=mode_message(Mode.POLICY))
        success = False
        while not success and self.acted_s <= limit_s + GRACE_S:
            time.sleep(POLL_S)
            self._watch_client()
            success = self.call(SCENE_STATUS).success_ever
            self.acted_s = time.monotonic() - began_s
            progress(self.acted_s)
        self.call(SET_MODE, mode=HOLD)
        return success, self.acted_s


def main() -> None:
    with ros_context(SignalHandlerOptions.NO), end_requests(lambda: None) as ending:
        node = create_or_exit(partial(EvaluatorNode, ending))
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        spinning = threading.Thread(target=spin_until_shutdown, args=(executor,))
        spinning.start()
        try:
            node.run()
        except (KeyboardInterrupt, ExternalShutdownException):
            pass  # status 0: it was asked to end
        except (ConureError, OSError) as error:
            if rclpy.ok():
                node.get_logger().error(one_line(error))
            sys.exit(1)
        except Exception:
            # The end of the context can appear as any error during a call.
            if rclpy.ok():
                raise
        finally:
            shut_down()
            spinning.join()
