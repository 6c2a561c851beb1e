"""The live graph of the faults, with its topics recorded in memory, and functions to break it."""

import contextlib
import itertools
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.client import Client
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.publisher import Publisher
from rclpy.subscription import Subscription
from sensor_msgs.msg import JointState
from std_msgs.msg import Empty, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from conure_core.errors import RobotError
from conure_core.robot.description import RobotConfig, load_robot
from conure_msgs.msg import InjectedFault, RobotState
from conure_msgs.srv import SetMode
from conure_ros.bringup.graphs import NodeSpec
from conure_ros.bringup.launcher import RunningGraph, ros_environment
from conure_ros.comms.messages import mode_message, to_ns
from conure_ros.comms.qos import LATCHED, NEWEST, RECORDED, STREAM
from conure_ros.control.arbiter import Mode, named_mode

CALL_S = 20.0
UP_S = 90.0
HOME_TRIES = 4
CLAIM_S = 30.0
FOREIGN_FRAME = "foreign"
"""Frame of commands that do not come from control."""
SETTLED_S = 1.5
"""After a reset, a driver that still sees two publishers has stopped the arm again by then."""
"""How long traces of a killed node may keep its successor from the topic."""


class Session:
    """Topics as growing lists: `states`, `trajectories`, `joints` (as the arm measured them, before
    any fault).

    Times are stamps, ns, on this machine's clock.
    """

    def __init__(self, graph: RunningGraph, robot: RobotConfig, domain: int) -> None:
        self.graph, self.robot, self.domain = graph, robot, domain
        self.robot_name = robot.name
        # fault_node receives raw/X and forwards it as X.
        self.raw = "raw/" if any(node.name == "fault" for node in graph.nodes) else ""
        self.lines: list[tuple[str, str]] = []
        self._seconds = itertools.count(2)
        self.states: list[RobotState] = []
        self.trajectories: list[JointTrajectory] = []
        self.joints: list[JointState] = []
        self.injected: list[InjectedFault] = []
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("faults", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._connect()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=work) for work in (self._spin, self._forward_lines)
        ]
        for thread in self._threads:
            thread.start()

    def _on_trajectory(self, message: JointTrajectory) -> None:
        """Record control's commands; those of our own foreign publisher are not judged by control's
        limits.
        """
        if message.header.frame_id != FOREIGN_FRAME:
            self.trajectories.append(message)

    def _connect(self) -> None:
        node = self.node
        node.create_subscription(RobotState, "robot_state", self.states.append, RECORDED)
        node.create_subscription(JointTrajectory, "joint_trajectory", self._on_trajectory, RECORDED)
        node.create_subscription(
            JointState, f"{self.raw}joint_states", self.joints.append, RECORDED
        )
        node.create_subscription(RobotState, "robot_state", lambda state: None, LATCHED)
        node.create_subscription(InjectedFault, "faults/injected", self.injected.append, STREAM)
        self._inject = node.create_publisher(String, "faults/inject", STREAM)
        self.stop_topic = node.create_publisher(Empty, "stop", NEWEST)
        kinds = {"stop": Trigger, "reset_stop": Trigger, "home": Trigger, "set_mode": SetMode}
        self._clients = {
            name: node.create_client(kind, f"control/{name}") for name, kind in kinds.items()
        }

    def destroy(self, entity: Any) -> None:
        """Destroy a publisher, subscription or client on the thread that spins, which may be using
        it.
        """
        kinds = {Publisher: "publisher", Subscription: "subscription", Client: "client"}
        kind = next(name for kind, name in kinds.items() if isinstance(entity, kind))
        done = self._executor.create_task(getattr(self.node, f"destroy_{kind}"), entity)
        self.wait(done.done, CALL_S, f"the session's {kind} goes")

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def _forward_lines(self) -> None:
        while not self._ended.is_set():
            self.graph.forward_lines(0.05)

    def close(self) -> None:
        self._ended.set()
        rclpy.shutdown(context=self._context)
        for thread in self._threads:
            thread.join()
        self._executor.shutdown()
        self.node.destroy_node()

    # Time.

    def now_ns(self) -> int:
        return int(self.node.get_clock().now().nanoseconds)

    def wait(self, condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
        """Wait until a condition holds.

        Args:
            condition: Called repeatedly; holds when its value is true.
            timeout_s: Time limit, s.
            what: What is awaited, for the error.

        Returns:
            The condition's value.

        Raises:
            RobotError: It did not hold in time.
        """
        until_s = time.monotonic() + timeout_s
        while not (value := condition()):
            if time.monotonic() > until_s:
                raise RobotError(f"not within {timeout_s:g} s: {what}")
            time.sleep(0.002)
        return value

    # Requests to the graph.

    def call(self, service: str, **fields: Any) -> Any:
        """The response of a service of control. Raises: RobotError if none comes, or if it reports
        a failure.
        """
        client = self._clients[service]
        return self._answer(client, client.srv_type.Request(**fields), service)

    def choose(self, mode: str) -> None:
        """Choose who may move the arm, by the name of a mode. Raises: RobotError."""
        self.call("set_mode", mode=mode_message(named_mode(mode)))

    def call_once(self, kind: Any, name: str) -> Any:
        """Call a rarely used service, with an empty request.

        Args:
            kind: Type of the service.
            name: Its name.

        Raises:
            RobotError: No response comes, or it reports a failure.
        """
        client = self.node.create_client(kind, name)
        try:
            return self._answer(client, kind.Request(), name)
        finally:
            self.destroy(client)

    def _answer(self, client: Any, request: Any, name: str) -> Any:
        if not client.wait_for_service(CALL_S):
            raise RobotError(f"no node offers the service {name}")
        future = client.call_async(request)
        response = self.wait(
            lambda: future.done() and future.result(), CALL_S, f"an answer of {name}"
        )
        if not getattr(response, "success", True) and client.srv_type is not ChangeState:
            raise RobotError(f"{name}: {response.message}")
        return response

    def let_policy_move(self, commands: int = 4) -> None:
        """Let the policy move the arm from home, until it has sent so many commands. Raises:
        RobotError.
        """
        self.choose("hold")
        self._go_home()
        self.choose("policy")
        before = len(self.states)
        self.wait(lambda: self._moves_since(before) >= commands, 20.0, "the policy moves the arm")

    def _go_home(self) -> None:
        """Go home. A machine that stalls for two periods ends homing, as it must; then try
        again.
        """
        for _ in range(HOME_TRIES - 1):
            with contextlib.suppress(RobotError):
                self.call("home")
                return
        self.call("home")

    def _moves_since(self, start: int) -> int:
        states = self.states[start:]
        return sum(
            state.mode.value == Mode.POLICY and len(state.commanded_rad) > 0 for state in states
        )

    def inject(self, fault: str) -> int:
        """Begin a fault, or end it with ''; returns when it began, ns. Raises: RobotError for an
        unknown one.
        """
        count = len(self.injected)
        self._inject.publish(String(data=fault))
        self.wait(lambda: len(self.injected) > count, 5.0, f"fault_node takes '{fault}'")
        answer = self.injected[count]
        if answer.error:
            raise RobotError(answer.error)
        return to_ns(answer.stamp)

    def wait_for_spoiled(self) -> int:
        """The time at which the last fault first changed a message, ns."""
        self.wait(lambda: self.injected[-1].spoiled, 5.0, "fault_node spoils a message")
        return to_ns(self.injected[-1].stamp)

    def wait_for_hold(self, since_ns: int, timeout_s: float = 3.0) -> RobotState:
        """Wait until the policy does not move the arm.

        Args:
            since_ns: First stamp that counts, ns. If the arm held before and no state came since,
                the last state counts.
            timeout_s: Time limit, s.

        Returns:
            The first state without motion by the policy.

        Raises:
            RobotError: The arm does not hold in time.
        """

        def found() -> RobotState | None:
            recent = self.states[-200:]
            later = [state for state in recent if to_ns(state.header.stamp) >= since_ns]
            return next(
                (state for state in later or recent[-1:] if state.mode.value != Mode.POLICY), None
            )

        state: RobotState = self.wait(found, timeout_s, "the arm holds")
        return state

    def require_motion(self, timeout_s: float = 5.0) -> None:
        """Raises: RobotError if the policy does not move the arm again by itself."""
        before = len(self.states)
        self.wait(
            lambda: self._moves_since(before) >= 2, timeout_s, "the policy moves the arm again"
        )

    # Nodes.

    def spec(self, name: str) -> NodeSpec:
        return next(node for node in self.graph.nodes if node.name == name)

    def change(self, name: str, transition: int) -> bool:
        """Request a lifecycle transition.

        Args:
            name: Name of the node.
            transition: Id from lifecycle_msgs/Transition.

        Returns:
            Whether the node took it.

        Raises:
            RobotError: The node does not answer.
        """
        self._wait_for_node(name)
        client = self.node.create_client(ChangeState, f"{name}/change_state")
        try:
            request = ChangeState.Request(transition=Transition(id=transition))
            return bool(self._answer(client, request, f"{name}/change_state").success)
        finally:
            self.destroy(client)

    def _wait_for_node(self, name: str) -> None:
        """Wait until it answers. Services of a killed node still seem to exist, and requests to
        them are lost.
        """
        client = self.node.create_client(GetState, f"{name}/get_state")
        futures: list[Any] = []

        def answered() -> bool:
            if not futures or time.monotonic() - asked_s[-1] > 1.0:
                futures.append(client.call_async(GetState.Request()))
                asked_s.append(time.monotonic())
            return any(future.done() for future in futures)

        asked_s: list[float] = []
        try:
            self.wait(answered, UP_S, f"{name} answers")
        finally:
            self.destroy(client)

    @contextlib.contextmanager
    def start_second(self, name: str, **parameters: Any) -> Iterator[str]:
        """Start another process of the node `name`, unconfigured; yields its name.

        Its name was never used before: what an earlier one logged must not pass for its own.
        """
        spec = replace(self.spec(name), name=f"{name}_{next(self._seconds)}")
        self.graph.start_node(spec, {**self.graph.parameters(name), **parameters})
        try:
            yield spec.name
        finally:
            process = self.graph.processes.pop(spec.name)
            process.terminate()
            process.wait(10.0)

    def restart(self, name: str) -> None:
        """Restart a killed node, up to active."""
        self.graph.start_node(self.spec(name), self.graph.parameters(name))
        if not self.change(name, Transition.TRANSITION_CONFIGURE):
            raise RobotError(f"{name} did not configure after its restart: {self.error_of(name)}")
        self.activate(name)

    def restart_control(self) -> None:
        """Restart control like a person. While a driver sees the dead node and its successor, it
        stops the arm again.

        Raises: RobotError if the stop does not end with the traces of the dead one.
        """
        self.restart("control")
        until_s = time.monotonic() + CLAIM_S
        while True:
            self.call("reset_stop")
            time.sleep(SETTLED_S)
            if not self.states[-1].stopped:
                return
            if time.monotonic() > until_s:
                raise RobotError(f"the arm stays stopped: {self.states[-1].reason}")

    def activate(self, name: str) -> None:
        """Activate a node, with retries: its predecessor or its hardware may need a while. Raises:
        RobotError with its reason.
        """
        until_s = time.monotonic() + CLAIM_S
        while not self.change(name, Transition.TRANSITION_ACTIVATE):
            if time.monotonic() > until_s:
                raise RobotError(f"{name} does not activate: {self.error_of(name)}")
            time.sleep(0.5)

    def error_of(self, name: str) -> str:
        """The last error that a node logged, after waiting for one; '' if none comes."""

        def last() -> str:
            errors = [
                line for node, line in self.lines if node == name and line.startswith("[ERROR]")
            ]
            return errors[-1] if errors else ""

        with contextlib.suppress(RobotError):
            self.wait(last, 3.0, "an error in the log")
        return last().removeprefix("[ERROR] ")

    def memory_mb(self, name: str) -> float:
        """Resident memory of a node, MB. Linux."""
        pages = int(Path(f"/proc/{self.graph.processes[name].pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def cpu_s(self, name: str) -> float:
        """Processor time used by a node, s. Linux."""
        fields = (
            Path(f"/proc/{self.graph.processes[name].pid}/stat")
            .read_text()
            .rpartition(")")[2]
            .split()
        )
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running_session(
    name: str, parameters: dict[str, Any], environment: dict[str, str] | None = None
) -> Iterator[Session]:
    """Run a graph, up and active, until the context ends.

    Args:
        name: Name of the graph.
        parameters: Values by graph argument or by `node.parameter`.
        environment: Variables that are added to the nodes' environment.

    Raises:
        RobotError: The graph does not come up.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="conure-")))
        variables = {**stack.enter_context(ros_environment()), **(environment or {})}
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = variables["ROS_AUTOMATIC_DISCOVERY_RANGE"]
        lines: list[tuple[str, str]] = []
        graph = RunningGraph(name, parameters, folder, variables, lambda *line: lines.append(line))
        stack.callback(graph.stop)
        graph.start()
        robot = load_robot(str(parameters.get("robot", "wx250s")))
        session = Session(graph, robot, int(variables["ROS_DOMAIN_ID"]))
        session.lines, session.robot_name = lines, str(parameters.get("robot", "wx250s"))
        stack.callback(session.close)
        _wait_until_up(session)
        yield session


def _wait_until_up(session: Session) -> None:
    manager = session.graph.processes["manager"]
    session.wait(lambda: manager.poll() is not None, UP_S, "the graph comes up")
    if manager.returncode:
        time.sleep(0.2)
        errors = "; ".join(
            f"{node}: {line}" for node, line in session.lines if line.startswith("[ERROR]")
        )
        raise RobotError(f"the graph did not come up: {errors}")
