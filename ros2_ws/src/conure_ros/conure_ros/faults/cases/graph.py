"""Faults of the graph and of its recordings: wrong transitions, a killed launcher, a stalled
recorder.
"""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from geometry_msgs.msg import TwistStamped
from lifecycle_msgs.msg import Transition
from rclpy.action import ActionClient
from rosgraph_msgs.msg import Clock

from conure_core.errors import ConureError, RobotError
from conure_msgs.action import RunTrial
from conure_msgs.msg import Mode, PolicyCommand
from conure_msgs.srv import StartEpisode, StopEpisode
from conure_ros.bringup.graphs import EVALUATOR, RECORDER, TELEOP, NodeSpec
from conure_ros.bringup.launcher import ros_environment
from conure_ros.comms.domains import claim_domain
from conure_ros.comms.messages import to_duration, to_seconds, to_time
from conure_ros.comms.qos import NEWEST, STREAM
from conure_ros.comms.service_names import RUN_TRIAL, STOP_EPISODE
from conure_ros.comms.sole_publisher import DISCOVERY_S
from conure_ros.faults.cases.arm import STILL_RAD
from conure_ros.faults.cases.control import BRAKED_S, own_graph
from conure_ros.faults.live import foreign_case, largest_motion_rad, let_time_pass
from conure_ros.faults.session import Session
from conure_ros.faults.table import FOREIGN, GRAPHS, Case, Outcome, Sizes
from conure_ros.recording.episodes import Episode

UP_S, DOWN_S = 60.0, 8.0
STALL_S = 3.0
STATED = 4
"""Commands that may be under way when the clock stops."""
JOINTS = "joint_states"


@contextlib.contextmanager
def _run_beside(session: Session, node: NodeSpec, **parameters: Any) -> Iterator[None]:
    """Run one more node beside the session's graph."""
    session.graph.start_node(node, parameters)
    try:
        yield
    finally:
        process = session.graph.processes.pop(node.name)
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _impossible_transitions(session: Session, sizes: Sizes) -> Outcome:
    """Request activate, configure and cleanup from active nodes: each refuses and survives; the
    policy continues.
    """
    session.let_policy_move()
    ended, followed = [], []
    for node in [spec.name for spec in session.graph.nodes if spec.lifecycle]:
        for step in ("ACTIVATE", "CONFIGURE", "CLEANUP"):
            with contextlib.suppress(RobotError):
                if session.change(node, getattr(Transition, f"TRANSITION_{step}")):
                    followed.append(f"{node}: {step.lower()}")
            if session.graph.processes[node].poll() is not None:
                ended.append(node)
                session.restart(node)
                break
    if not ended:
        session.require_motion()
    return Outcome(
        not ended and not followed,
        {},
        f"ended: {', '.join(ended)}" if ended else ", ".join(followed),
    )


def _launcher_killed(session: Session, sizes: Sizes) -> Outcome:
    """Kill `conure up` before it can end its nodes; they end by themselves."""
    with claim_domain() as domain, ros_environment() as variables:
        environment = {**variables, "ROS_DOMAIN_ID": str(domain)}
        environment.pop("CONURE_LAUNCHER_PID", None)
        chosen = [f"graph={GRAPHS[FOREIGN]}", f"robot={session.robot_name}"]
        words = [sys.executable, "-m", "conure_core", "up", *chosen]
        launcher = subprocess.Popen(
            words,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        lines: queue.Queue[str] = queue.Queue()
        reader = threading.Thread(target=_read, args=(launcher.stdout, lines), daemon=True)
        reader.start()
        nodes: list[int] = []
        try:
            _wait_for(lines, "up:")
            nodes = _children(launcher.pid)
            launcher.kill()
            killed_s = time.monotonic()
            while any(map(_alive, nodes)) and time.monotonic() - killed_s < DOWN_S:
                time.sleep(0.05)
            left, took_s = [pid for pid in nodes if _alive(pid)], time.monotonic() - killed_s
        finally:
            launcher.kill()
            launcher.wait()
            for pid in filter(_alive, nodes):
                os.kill(pid, signal.SIGKILL)
    figures = {
        "nodes": float(len(nodes)),
        "nodes left": float(len(left)),
        "ended after, ms": 1e3 * took_s,
    }
    return Outcome(bool(nodes) and not left, figures)


def _read(output: Any, lines: "queue.Queue[str]") -> None:
    for line in output:
        lines.put(line)


def _wait_for(lines: "queue.Queue[str]", text: str) -> None:
    """Raises: RobotError."""
    until_s, last = time.monotonic() + UP_S, ""
    while text not in last:
        try:
            last = lines.get(timeout=max(0.01, until_s - time.monotonic()))
        except queue.Empty as error:
            raise RobotError(
                f"conure up did not come up within {UP_S:.0f} s; its last line: {last}"
            ) from error


def _children(pid: int) -> list[int]:
    """Ids of the processes that a process started. Linux."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(folder.name))
    return found


def _alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _start(session: Session, recorder: str, name: str) -> StartEpisode.Response:
    service = f"{recorder}/start_episode"
    session.wait(lambda: session.node.count_services(f"/{service}"), 20.0, "a recorder")
    # A recorder that does not know this client yet would answer in vain.
    let_time_pass(session, DISCOVERY_S)
    return _ask(session, StartEpisode, service, name=name)


def _ask(session: Session, kind: Any, service: str, **fields: Any) -> Any:
    """The response, a refusal included. Raises: RobotError if there is none."""
    client = session.node.create_client(kind, service)
    try:
        session.wait(client.service_is_ready, 20.0, f"a node offers {service}")
        future = client.call_async(kind.Request(**fields))
        return session.wait(
            lambda: future.done() and future.result(), 20.0, f"an answer of {service}"
        )
    finally:
        session.destroy(client)


def _recorder_stalls(session: Session, sizes: Sizes) -> Outcome:
    """Nothing is lost, or the losses are counted in the answer and in the recording."""
    with (
        tempfile.TemporaryDirectory(prefix="conure-") as folder,
        _run_beside(session, RECORDER, folder=folder),
    ):
        recorder = session.graph.processes["recorder"]
        started = _start(session, RECORDER.name, "stalled")
        let_time_pass(session, 0.5)
        before = len(session.joints)
        recorder.send_signal(signal.SIGSTOP)
        try:
            let_time_pass(session, STALL_S)
        finally:
            recorder.send_signal(signal.SIGCONT)
        let_time_pass(session, 1.0)
        sent = len(session.joints) - before
        answer = _ask(session, StopEpisode, STOP_EPISODE, label=StopEpisode.Request.SUCCESS)
        episode = Episode(Path(answer.path))
        recorded = sum(count for topic, count in episode.counts.items() if topic.endswith(JOINTS))
        said = [
            key
            for key, value in episode.metadata.items()
            if "lost" in key and str(value) not in ("0", "")
        ]
    missing = max(0, sent - recorded)
    figures = {
        "sent, at least": float(sent),
        "recorded": float(recorded),
        "lost, as reported": float(answer.lost_messages),
    }
    counted = missing == 0 or (answer.lost_messages >= missing and bool(said))
    return Outcome(bool(started.success) and sent > 100 and counted, figures, ", ".join(said))


def _two_recorders(session: Session, sizes: Sizes) -> Outcome:
    """Two recorders write into one folder under one name: neither destroys the other's file."""
    second = replace(RECORDER, name="recorder_2")
    names = (RECORDER.name, second.name)
    with (
        tempfile.TemporaryDirectory(prefix="conure-") as folder,
        _run_beside(session, RECORDER, folder=folder),
        _run_beside(session, second, folder=folder),
    ):
        answers = [_start(session, name, "trial") for name in names]
        let_time_pass(session, 0.5)
        stops = {
            name: _ask(session, StopEpisode, f"{name}/stop_episode", label="success")
            for name, answer in zip(names, answers, strict=True)
            if answer.success
        }
        paths = [stop.path for stop in stops.values() if stop.success]
        readable = [path for path in paths if _readable(Path(path))]
    promised = sum(bool(answer.success) for answer in answers)
    detail = "; ".join(answer.message for answer in answers if not answer.success)
    figures = {
        "recordings begun": float(promised),
        "recordings that can be read": float(len(set(readable))),
    }
    return Outcome(promised >= 1 and len(set(readable)) == promised, figures, detail)


def _readable(path: Path) -> bool:
    try:
        return sum(Episode(path).counts.values()) > 0
    except ConureError:
        return False


def _trial_cancelled(session: Session, sizes: Sizes) -> Outcome:
    """A second goal is rejected at once; cancelling the first one holds the arm at once.

    The arm is at home first: a new scene puts it there in no time, which is no motion.
    """
    session.call("home")
    with tempfile.TemporaryDirectory(prefix="conure-") as folder:
        parameters = {
            "task": "Lift",
            "target": "",
            "folder": folder,
            "trials": 0,
            "first_seed": 0,
            "timeout_s": 20.0,
        }
        with (
            _run_beside(session, RECORDER, folder=folder),
            _run_beside(session, EVALUATOR, **parameters),
        ):
            return _cancel_trial(session)


def _cancel_trial(session: Session) -> Outcome:
    client = ActionClient(session.node, RunTrial, RUN_TRIAL)
    progress: list[float] = []
    ask = partial(
        client.send_goal_async, RunTrial.Goal(seed=1, task="Lift", timeout=to_duration(20.0))
    )
    try:
        session.wait(client.server_is_ready, 20.0, f"a node offers {RUN_TRIAL}")
        # An evaluator that does not know this client yet would answer in vain.
        let_time_pass(session, DISCOVERY_S)
        first = ask(
            feedback_callback=lambda message: progress.append(to_seconds(message.feedback.elapsed))
        )
        goal = session.wait(lambda: first.done() and first.result(), 10.0, "an answer to the goal")
        result = goal.get_result_async()
        session.wait(lambda: progress and progress[-1] > 0.5, 40.0, "the trial runs")
        second = ask()
        other = session.wait(
            lambda: second.done() and second.result(), 5.0, "an answer to the second goal"
        )
        asked_ns = session.now_ns()
        cancel = goal.cancel_goal_async()
        session.wait(cancel.done, 5.0, "an answer to the cancelling")
        accepted = bool(cancel.result().goals_canceling)
        let_time_pass(session, 2.0)
        moved = largest_motion_rad(session, asked_ns + round(BRAKED_S * 1e9))
        holds = session.states[-1].mode.value in (Mode.HOLD, Mode.STOPPED)
        ended = result.done()
        message = result.result().result.message if ended else "no result"
    finally:
        client.destroy()
    figures = {
        "moved after the cancelling, rad": moved,
        "second goal accepted": float(other.accepted),
    }
    return Outcome(
        accepted and holds and moved <= STILL_RAD and not other.accepted and ended, figures, message
    )


def _clock_stands(session: Session, sizes: Sizes) -> Outcome:
    """`use_sim_time` with a clock that stops: teleoperation does not repeat its last input, and the
    arm holds.
    """
    parameters = {"robot": session.robot_name, "control.use_sim_time": True}
    with _ticking() as clock, own_graph(**parameters) as own:
        publisher = own.node.create_publisher(Clock, "/clock", NEWEST)
        clock.begin(lambda: publisher.publish(Clock(clock=to_time(own.now_ns()))))
        with _run_beside(
            own, replace(TELEOP, lifecycle=False), robot=own.robot_name, use_sim_time=True
        ):
            return _with_clock(own, clock)


class _Ticking:
    """Calls a function a hundred times a second, until `stands` is set."""

    def __init__(self) -> None:
        self.stands, self._ended = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, work: Any) -> None:
        def run() -> None:
            while not self._ended.wait(0.01):
                if not self.stands.is_set():
                    work()

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()


@contextlib.contextmanager
def _ticking() -> Iterator[_Ticking]:
    ticking = _Ticking()
    try:
        yield ticking
    finally:
        ticking.end()


def _with_clock(session: Session, clock: _Ticking) -> Outcome:
    for step in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        if not session.change("teleop", step):
            raise RobotError(f"teleop does not come up: {session.error_of('teleop')}")
    commands: list[PolicyCommand] = []
    session.node.create_subscription(PolicyCommand, "command/teleop", commands.append, STREAM)
    twists = session.node.create_publisher(TwistStamped, "teleop/twist", NEWEST)
    session.wait(lambda: twists.get_subscription_count() > 0, 10.0, "teleop listens")
    session.call("reset_stop")
    session.choose("teleop")
    message = TwistStamped()
    message.twist.linear.x = 0.05
    for _ in range(10):
        message.header.stamp = to_time(session.now_ns())
        twists.publish(message)
        let_time_pass(session, 0.05)
    clock.stands.set()
    stood_ns, before = session.now_ns(), len(commands)
    let_time_pass(session, 2.0)
    moved, repeated = (
        largest_motion_rad(session, stood_ns + round(BRAKED_S * 1e9)),
        len(commands) - before,
    )
    figures = {
        "commands before": float(before),
        "commands after the clock stopped": float(repeated),
    }
    figures["moved after the clock stopped, rad"] = moved
    return Outcome(before > 0 and repeated <= STATED and moved <= STILL_RAD, figures)


CASES = (
    Case(
        "impossible transitions",
        "refused; every node survives, the policy continues",
        _impossible_transitions,
    ),
    foreign_case(
        "the graph's launcher is killed (SIGKILL)",
        "its nodes end by themselves within 8 s",
        _launcher_killed,
    ),
    Case(
        "trial cancelled, two goals at once",
        "holds at once; the second is rejected",
        _trial_cancelled,
    ),
    foreign_case(
        "the clock stands still", "the last input is not repeated; the arm holds", _clock_stands
    ),
    Case(
        "the recorder stalls for 3 s",
        "no loss, or every lost message is counted and reported",
        _recorder_stalls,
    ),
    Case("two recorders with one name", "neither destroys the other's file", _two_recorders),
)
