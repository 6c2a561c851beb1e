"""Starts a graph's nodes as processes, as `ros2 launch` would, and leaves none behind. No ROS."""

import contextlib
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from conure_core.errors import ConureError
from conure_ros.bringup.graph_parameters import file_parameters, node_parameters, write_parameters
from conure_ros.bringup.graphs import NodeSpec, command_line, find_graph
from conure_ros.comms.domains import claimed_domain
from conure_ros.comms.ending import STARTER_VARIABLE
from conure_ros.comms.graph_identity import GRAPH_VARIABLE, new_graph_id
from conure_ros.comms.middleware import add_local_discovery, remove_dead_segments

GRACE_S = 5.0
LAST_WORDS_S = 0.3
LAST_LINES_S = 1.0
"""How long a dead node's output is waited for: its own children may hold it open."""
POLL_S = 0.1
OnLine = Callable[[str, str], None]


class GraphError(ConureError):
    """A node refused to start, or ended though it should not."""


def run_graph(
    graph: str,
    parameters: Mapping[str, Any] | None = None,
    on_line: OnLine | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a graph until the node that ends it is done; a graph without one runs until it is
    interrupted.

    Args: `parameters` by graph argument or `node.parameter`; `on_line` hears the name of a node and
    a line of its output (default: print); `environment` is added to the nodes'. Raises: GraphError
    naming the node that failed and why; KeyboardInterrupt on SIGINT, SystemExit with 128 and the
    number of another signal.
    """
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(_deferred_signals())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="conure-")))
        variables = {**stack.enter_context(ros_environment()), **(environment or {})}
        running = RunningGraph(
            graph, dict(parameters or {}), folder, variables, on_line or print_line
        )
        try:
            running.start()
            running.wait(signals)
        except BrokenPipeError as error:
            raise GraphError(
                "nobody reads the nodes' output any more: the graph was ended"
            ) from error
        finally:
            running.stop()
    if signals:
        raise KeyboardInterrupt if signals[0] == signal.SIGINT else SystemExit(128 + signals[0])


class RunningGraph:
    """The processes of one graph: each a session of its own, their output read line by line."""

    def __init__(
        self,
        graph: str,
        parameters: dict[str, Any],
        folder: Path,
        environment: dict[str, str],
        on_line: OnLine,
    ) -> None:
        self.nodes = find_graph(graph, parameters)
        self._parameters = node_parameters(graph, parameters)
        self._folder, self._on_line = folder, on_line
        self._environment = {**environment, GRAPH_VARIABLE: new_graph_id()}
        self._lines: queue.Queue[tuple[str, str]] = queue.Queue()
        self._readers: dict[str, threading.Thread] = {}
        self._words = LastWords()
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def start(self) -> None:
        for node in self.nodes:
            self.start_node(node, self._parameters[node.name])

    def start_node(self, node: NodeSpec, parameters: Mapping[str, Any]) -> None:
        """Start one node, one of the graph's again or another beside them; `parameters` come on top
        of its file's.
        """
        # One file: of two, ROS silently takes the first where they give a parameter values of
        # different types.
        path = write_parameters(
            self._folder / f"{node.name}.yaml", {**file_parameters(node), **parameters}
        )
        self._start(node, command_line(node, [path]))

    def parameters(self, name: str) -> dict[str, Any]:
        """What a node of the graph was started with, beside its file."""
        return dict(self._parameters[name])

    def listen(self, timeout_s: float) -> None:
        """Give waiting lines to whoever listens, for who looks after the processes instead of
        `wait`.
        """
        self._hand_on(timeout_s)

    def _start(self, node: NodeSpec, words: list[str]) -> None:
        process = subprocess.Popen(
            words,
            env={**node.environment(), **self._environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.processes[node.name] = process
        reader = threading.Thread(target=self._read, args=(node.name, process.stdout), daemon=True)
        reader.start()
        self._readers[node.name] = reader

    def _read(self, name: str, output: IO[str]) -> None:
        for line in output:
            self._lines.put((name, line.rstrip("\n")))

    def wait(self, interrupted: list[int]) -> None:
        """Until the graph ends, or a signal has come. Raises: GraphError."""
        while not interrupted:
            self._hand_on(POLL_S)
            for node in self.nodes:
                status = self.processes[node.name].poll()
                if status is None or (status == 0 and node.ends == "when done"):
                    continue
                if status == 0 and node.ends == "the graph":
                    return
                raise GraphError(self._account(node.name, status))

    def _hand_on(self, timeout_s: float) -> None:
        """Give waiting lines to whoever listens; wait for the first one at most this long."""
        with contextlib.suppress(queue.Empty):
            name, line = self._lines.get(timeout=timeout_s)
            while True:
                self._words.hear(name, line)
                self._on_line(name, line)
                name, line = self._lines.get_nowait()

    def _account(self, name: str, status: int) -> str:
        """What failed and every node's last error: the cause is often another node's."""
        self._readers[name].join(LAST_LINES_S)
        for _ in range(3):
            self._hand_on(POLL_S)
        how = (
            f"was killed by {signal.Signals(-status).name}"
            if status < 0
            else f"ended with status {status}"
        )
        causes = self._words.causes(name)
        return f"node {name} {how}{' - ' + causes if causes else ''}"

    def stop(self) -> None:
        """SIGINT to every node, SIGKILL to what is still there after a time of grace; returns when
        all are reaped.

        What is killed is asked first where it hangs (see running.ros_context), so that its last
        lines tell.
        """
        self._on_line = quietly(self._on_line)
        self._signal(signal.SIGINT)
        deadline_s = time.monotonic() + GRACE_S
        while (
            any(process.poll() is None for process in self.processes.values())
            and time.monotonic() < deadline_s
        ):
            self._hand_on(0.02)
        late = [name for name, process in self.processes.items() if process.poll() is None]
        for name in late:
            self._on_line(name, f"did not end within {GRACE_S:.0f} s: killed")
        if late:
            self._signal(signal.SIGUSR1)
            deadline_s = time.monotonic() + LAST_WORDS_S
            while time.monotonic() < deadline_s:
                self._hand_on(0.02)
        self._signal(signal.SIGKILL)
        for process in self.processes.values():
            process.wait()
        for reader in self._readers.values():
            reader.join(1.0)
        self._hand_on(0.0)

    def _signal(self, number: signal.Signals) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)


@contextlib.contextmanager
def ros_environment() -> Iterator[dict[str, str]]:
    """The variables that nodes run with: local discovery, a domain of their own unless one is
    set.
    """
    remove_dead_segments()
    defaults = {
        "ROS_LOG_DIR": str(Path("out/log/ros").resolve()),
        # Numerical libraries that spin a thread on every core take the time that the control loop
        # needs.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    fixed = {
        "RCUTILS_CONSOLE_OUTPUT_FORMAT": "[{severity}] {message}",
        "RCUTILS_COLORIZED_OUTPUT": "0",
        "PYTHONUNBUFFERED": "1",
        STARTER_VARIABLE: str(os.getpid()),
    }
    variables = {**defaults, **os.environ, **fixed}
    add_local_discovery(variables)
    with contextlib.ExitStack() as stack:
        if "ROS_DOMAIN_ID" not in os.environ:
            variables["ROS_DOMAIN_ID"] = str(stack.enter_context(claimed_domain()))
        yield variables


@contextlib.contextmanager
def _deferred_signals() -> Iterator[list[int]]:
    """SIGINT, SIGTERM and SIGHUP are noted in the list, not raised, so that none can cut a start or
    an end short.
    """
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    # A closed terminal; `nohup` has it ignored.
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {
        number: signal.signal(number, lambda received, _: noted.append(received))
        for number in numbers
    }
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class LastWords:
    """What of the nodes' output says why one of them ended."""

    def __init__(self) -> None:
        self._errors: dict[str, str] = {}
        self._last: dict[str, str] = {}
        self._in_traceback: set[str] = set()

    def hear(self, name: str, line: str) -> None:
        """A line that is logged as an error, or the one that ends a traceback."""
        if line.startswith(("[ERROR]", "[FATAL]")):
            self._errors[name] = line.split("] ", 1)[-1]
        elif line.startswith("Traceback (most recent call last)"):
            self._in_traceback.add(name)
        elif name in self._in_traceback and line.strip() and not line[0].isspace():
            self._in_traceback.remove(name)
            self._errors[name] = line
        if line.strip():
            self._last[name] = line.strip()

    def causes(self, ended: str) -> str:
        """Every node's last error; of the one that ended, its last line where it said none."""
        errors = {**self._errors, ended: self._errors.get(ended) or self._last.get(ended, "")}
        return "; ".join(f"{name}: {error}" for name, error in errors.items() if error)


def quietly(on_line: OnLine) -> OnLine:
    """The same, for the way out: whoever listens may be gone, and no node may stay behind for
    that.
    """

    def told(name: str, line: str) -> None:
        with contextlib.suppress(Exception):
            on_line(name, line)

    return told


def print_line(name: str, line: str) -> None:
    print(f"{name:>10} | {line}", flush=True)
