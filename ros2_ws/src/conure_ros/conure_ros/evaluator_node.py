"""evaluator_node: runs trials through the graph, labels them, and keeps a file that a restart goes on from."""

import json
import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from rclpy.action import ActionServer
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from conure_core.errors import ConureError, RobotError
from conure_msgs.action import RunTrial
from conure_msgs.msg import PolicyCommand
from conure_msgs.srv import ResetScene, SetMode, StartEpisode, StopEpisode, TaskStatus
from conure_ros.parameters import declare, parameter
from conure_ros.qos import NEWEST
from conure_ros.recording import free_name
from conure_ros.running import created, one_line, ros_context, turn
from conure_ros.trials import Settings, Trial, TrialsFile, measure

POLL_S = 0.05
READY_S = 60.0
CALL_S = 30.0
GRACE_S = 0.1  # until the first image, and for the judgement of the last command


@dataclass(frozen=True)
class EvaluatorParameters:
    """Parameters of evaluator_node."""

    trials: int = parameter(10, "how many trials to run, then end; 0: serve the action run_trial only", 0, 100000)
    first_seed: int = parameter(0, "seed of the first trial's scene; each further trial takes the next", 0, 2**31 - 1)
    task: str = parameter("Lift", "name of the task")
    target: str = parameter("", "name of the object meant; empty: drawn from each trial's seed")
    timeout_s: float = parameter(0.0, "longest time under policy control, s; 0: the task's own limit", 0.0, 3600.0)
    folder: str = parameter("out/recordings", "where trials.json is kept, and where the recorder writes")


@dataclass(frozen=True)
class Request:
    """One trial to run, by whoever asked; `progress` hears the seconds under policy control."""

    seed: int
    task: str
    target: str
    timeout_s: float
    name: str
    progress: Callable[[float], None] = lambda elapsed_s: None


class EvaluatorNode(Node):
    """Trials run on the main thread; the executor turns on another, so that a service can be called and waited for."""

    def __init__(self) -> None:
        super().__init__("evaluator")
        self.parameters = declare(self, EvaluatorParameters)
        self.bundle_hash: str | None = None
        self.goals: queue.Queue[tuple[Any, Future]] = queue.Queue()
        kinds = {
            "reset_scene": ResetScene,
            "task_status": TaskStatus,
            "start_episode": StartEpisode,
            "stop_episode": StopEpisode,
            "set_mode": SetMode,
            "home": Trigger,
        }
        self.clients_by_name = {name: self.create_client(kind, name) for name, kind in kinds.items()}
        self.create_subscription(PolicyCommand, "command/policy", self._on_policy_command, NEWEST)
        # Its goals are waited for; in the node's own group they would keep everything else from running.
        self.action_server = ActionServer(
            self, RunTrial, "run_trial", self._on_goal, callback_group=ReentrantCallbackGroup()
        )
        # A coroutine that waits for the main thread is looked after whenever something wakes the executor.
        self.create_timer(POLL_S, lambda: None)

    def _on_policy_command(self, message: PolicyCommand) -> None:
        self.bundle_hash = message.bundle_hash

    async def _on_goal(self, goal: Any) -> RunTrial.Result:
        answer = Future()
        self.goals.put((goal, answer))
        trial: Trial | None = await answer
        result = RunTrial.Result(message="the trial could not be run; the evaluator's log says why")
        if trial is None:
            goal.abort()
            return result
        goal.succeed()
        result.success, result.duration_s, result.message = trial.success, trial.duration_s, trial.message
        result.recording = str((Path(self.parameters.folder) / trial.recording).resolve())
        return result

    def call(self, service: str, /, **fields: Any) -> Any:
        """A service's response. Raises: RobotError if it does not come in time, or says that it failed."""
        client = self.clients_by_name[service]
        if not client.wait_for_service(CALL_S):
            raise RobotError(f"nobody offers the service '{client.srv_name}'")
        future, answered = client.call_async(client.srv_type.Request(**fields)), threading.Event()
        future.add_done_callback(lambda _: answered.set())
        deadline_s = time.monotonic() + CALL_S
        while not answered.wait(POLL_S):
            if not rclpy.ok():
                raise ExternalShutdownException
            if time.monotonic() > deadline_s:
                raise RobotError(f"the service '{client.srv_name}' did not answer within {CALL_S} s")
        response = future.result()
        if not getattr(response, "success", True):
            raise RobotError(f"{client.srv_name}: {response.message}")
        return response

    def run(self) -> None:
        """All trials that the parameters ask for, or those that the action's clients ask for."""
        self._wait_for_the_policy()
        if self.parameters.trials:
            self._run_all()
        while not self.parameters.trials and rclpy.ok():
            self._serve_one()

    def _wait_for_the_policy(self) -> None:
        deadline_s = time.monotonic() + READY_S
        while self.bundle_hash is None:
            if not rclpy.ok():
                raise ExternalShutdownException
            if time.monotonic() > deadline_s:
                raise RobotError(f"no policy command within {READY_S} s; is the policy active, and does it see images?")
            time.sleep(POLL_S)

    def _run_all(self) -> None:
        wanted = self.parameters
        settings = Settings(wanted.task, wanted.target, wanted.first_seed, wanted.timeout_s, self.bundle_hash or "")
        file = TrialsFile(Path(wanted.folder), settings)
        for seed in file.unfinished(wanted.trials):
            name = free_name(Path(wanted.folder), f"trial_{seed:06d}")
            file.add(self.run_trial(Request(seed, wanted.task, wanted.target, wanted.timeout_s, name)))
            last, wins = file.trials[-1], sum(trial.success for trial in file.trials)
            self.get_logger().info(
                f"trial {len(file.trials)}/{wanted.trials} seed {seed}: {last.message}, "
                f"{wins} of {len(file.trials)} succeeded"
            )

    def _serve_one(self) -> None:
        try:
            goal, answer = self.goals.get(timeout=0.2)
        except queue.Empty:
            return
        asked, name = goal.request, f"trial_{time.time_ns()}"
        feedback = RunTrial.Feedback()

        def progress(elapsed_s: float) -> None:
            feedback.elapsed_s = elapsed_s
            goal.publish_feedback(feedback)

        try:
            answer.set_result(
                self.run_trial(Request(asked.seed, asked.task, asked.target_object, asked.timeout_s, name, progress))
            )
        except ConureError as error:
            self.get_logger().error(one_line(error))
            answer.set_result(None)

    def run_trial(self, request: Request) -> Trial:
        """Reset, home, record, let the policy act until success or timeout, hold, label.

        Raises: RobotError if a part of the graph does not do its part; the recording is labelled 'aborted' then.
        """
        self.call("set_mode", mode="hold")
        scene = self.call("reset_scene", seed=request.seed, task=request.task, target_object=request.target)
        self.call("home")
        limit_s = request.timeout_s or float(json.loads(self.call("task_status").detail_json)["time_limit_s"])
        about = {"seed": request.seed, "task": request.task, "target": scene.target, "objects": list(scene.objects)}
        self.call("start_episode", name=request.name, metadata_json=json.dumps(about))
        try:
            success, duration_s = self._act(limit_s, request.progress)
        except RobotError:
            self._try("stop_episode", label="aborted")
            raise
        label = "success" if success else "failure"
        outcome = json.dumps({"duration_s": duration_s, "bundle_hash": self.bundle_hash or ""})
        path = Path(self.call("stop_episode", label=label, metadata_json=outcome).path)
        message = f"{label} after {duration_s:.1f} s"
        return Trial(request.seed, scene.target, success, duration_s, path.name, message, measure(path))

    def _act(self, limit_s: float, progress: Callable[[float], None]) -> tuple[bool, float]:
        """Success and the seconds under policy control. Raises: RobotError if the arm was stopped meanwhile."""
        began_s = time.monotonic()
        self.call("set_mode", mode="policy")
        success, elapsed_s = False, 0.0
        while not success and elapsed_s <= limit_s + GRACE_S:
            time.sleep(POLL_S)
            success = self.call("task_status").success_ever
            elapsed_s = time.monotonic() - began_s
            progress(elapsed_s)
        self.call("set_mode", mode="hold")
        return success, elapsed_s

    def _try(self, service: str, /, **fields: Any) -> None:
        """A call on the way out, whose own failure must not hide the first one."""
        try:
            self.call(service, **fields)
        except RobotError as error:
            self.get_logger().warning(one_line(error))


def main() -> None:
    with ros_context():
        node = created(EvaluatorNode)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        spinning = threading.Thread(target=turn, args=(executor,))
        spinning.start()
        try:
            node.run()
        except (KeyboardInterrupt, ExternalShutdownException):
            sys.exit(130)
        except (ConureError, OSError) as error:
            if rclpy.ok():
                node.get_logger().error(one_line(error))
            sys.exit(1)
        except Exception:
            if rclpy.ok():
                raise
            sys.exit(130)
        finally:
            rclpy.try_shutdown()
            spinning.join()
